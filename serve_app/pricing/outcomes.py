"""The outcome of a job as the outcome of a quote: its status, what is stored, and its event."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from data.contracts.common import QuoteReason, QuoteSummary, Verdict
from data.contracts.pricing import (
    QuoteCancelled,
    QuoteEvent,
    QuoteFailed,
    QuoteNeedsReview,
    QuotePriced,
    QuoteRejected,
)
from data.kit import clock
from data.pricing.repository import QuoteRow, QuoteStatus
from pricing_engine.analysis.schema import Analysis
from pricing_engine.distributed.jobs import JobOutcome, JobStatus
from pricing_engine.pricing.quote import Request, quote
from serve_app.kit.price_book import price_book
from serve_app.kit.settings import settings


@dataclass(frozen=True, slots=True)
class QuoteOutcome:
    """The outcome of a quote. ``result``: the engine's quote; ``error``: code and message if there is none."""

    status: QuoteStatus
    result: dict[str, Any] | None = None
    content_id: str | None = None
    error: str | None = None
    expires_at: datetime | None = None

    def event(self, finished: QuoteRow) -> QuoteEvent:
        """Return the event that publishes the outcome."""
        ids: dict[str, Any] = {
            "quote_id": finished.id,
            "order_id": finished.order_id,
            "owner_id": finished.owner_id,
        }
        if self.status is QuoteStatus.CANCELLED:
            return QuoteCancelled(**ids)
        if self.result is None:
            return QuoteFailed(**ids, error=self.error or "no reason was given")
        option = self.result["options"][0]
        reasons = tuple(QuoteReason.model_validate(each) for each in option["reasons"])
        if option["verdict"] == Verdict.REJECTED:
            return QuoteRejected(**ids, reasons=reasons)
        summary = QuoteSummary.model_validate(
            {**option, "quote_id": finished.id, "expires_at": self.expires_at, "content_id": self.content_id}
        )
        if option["verdict"] == Verdict.REVIEW:
            return QuoteNeedsReview(**ids, quote=summary, reasons=reasons)
        return QuotePriced(**ids, quote=summary)


def outcome_of(requested: QuoteRow, outcome: JobOutcome) -> QuoteOutcome:
    """Price the analysis of a job; takes some milliseconds, mostly for parsing the analysis."""
    if outcome.status is JobStatus.CANCELLED:
        return cancelled()
    if outcome.analysis is None:
        return failed(outcome.code, outcome.message)
    analysis = Analysis.from_dict(json.loads(outcome.analysis))
    request = Request(requested.process, (requested.material,), requested.finish, (requested.quantity,))
    priced = quote(analysis, price_book(), request)
    under_review = priced.options[0].verdict == Verdict.REVIEW
    return QuoteOutcome(
        QuoteStatus.REVIEW if under_review else QuoteStatus.DONE,
        priced.to_dict(),
        priced.content_id,
        expires_at=clock.now() + timedelta(days=settings().quote_valid_days),
    )


def failed(code: str, message: str) -> QuoteOutcome:
    """Return the outcome of a quote without a price."""
    return QuoteOutcome(QuoteStatus.FAILED, error=f"{code}: {message}")


def cancelled() -> QuoteOutcome:
    """Return the outcome of a cancelled quote."""
    return QuoteOutcome(QuoteStatus.CANCELLED)
