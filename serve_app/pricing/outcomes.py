"""How a job's outcome ends a quote: its status, what is kept of it, and the event that tells it."""

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
    """``result``: the engine's quote; ``error``: why there is none, with its code first."""

    status: QuoteStatus
    result: dict[str, Any] | None = None
    content_id: str | None = None
    error: str | None = None
    expires_at: datetime | None = None

    def event(self, ended: QuoteRow) -> QuoteEvent:
        """What the others are told."""
        about: dict[str, Any] = {"quote_id": ended.id, "order_id": ended.order_id, "owner_id": ended.owner_id}
        if self.status is QuoteStatus.CANCELLED:
            return QuoteCancelled(**about)
        if self.result is None:
            return QuoteFailed(**about, error=self.error or "no reason was given")
        option = self.result["options"][0]
        reasons = tuple(QuoteReason.model_validate(each) for each in option["reasons"])
        if option["verdict"] == Verdict.REJECTED:
            return QuoteRejected(**about, reasons=reasons)
        summary = QuoteSummary.model_validate(
            {**option, "quote_id": ended.id, "expires_at": self.expires_at, "content_id": self.content_id}
        )
        if option["verdict"] == Verdict.REVIEW:
            return QuoteNeedsReview(**about, quote=summary, reasons=reasons)
        return QuotePriced(**about, quote=summary)


def outcome_of(asked: QuoteRow, outcome: JobOutcome) -> QuoteOutcome:
    """Price what was measured: arithmetic, some milliseconds, most of them for reading the analysis."""
    if outcome.status is JobStatus.CANCELLED:
        return cancelled()
    if outcome.analysis is None:
        return failed(outcome.code, outcome.message)
    analysis = Analysis.from_dict(json.loads(outcome.analysis))
    request = Request(asked.process, (asked.material,), asked.finish, (asked.quantity,))
    priced = quote(analysis, price_book(), request)
    under_review = priced.options[0].verdict == Verdict.REVIEW
    return QuoteOutcome(
        QuoteStatus.REVIEW if under_review else QuoteStatus.DONE,
        priced.to_dict(),
        priced.content_id,
        expires_at=clock.now() + timedelta(days=settings().quote_valid_days),
    )


def failed(code: str, message: str) -> QuoteOutcome:
    """No price could be found."""
    return QuoteOutcome(QuoteStatus.FAILED, error=f"{code}: {message}")


def cancelled() -> QuoteOutcome:
    """Nobody wants it any more."""
    return QuoteOutcome(QuoteStatus.CANCELLED)
