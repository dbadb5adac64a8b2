"""What pricing says: how a quote ended."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from data.contracts.common import QuoteReason, QuoteSummary
from data.contracts.envelope import EventData


class QuoteEvent(EventData):
    """Of pricing, about a quote; its subject is the order, or the quote where there is no order."""

    SOURCE: ClassVar[str] = "/facet/pricing"
    TOPIC: ClassVar[str] = "pricing.quotes.v1"

    quote_id: UUID
    order_id: UUID | None = None
    owner_id: str

    @property
    def subject(self) -> str:
        """The order, or the quote where there is no order."""
        return str(self.order_id or self.quote_id)


class QuotePriced(QuoteEvent):
    """It can be made, for this price."""

    quote: QuoteSummary


class QuoteNeedsReview(QuoteEvent):
    """A person must look at it first; the price holds if they release it."""

    quote: QuoteSummary
    reasons: tuple[QuoteReason, ...] = ()


class QuoteRejected(QuoteEvent):
    """It can't be made."""

    reasons: tuple[QuoteReason, ...] = ()


class QuoteFailed(QuoteEvent):
    """No price could be found. ``error``: what went wrong, in one line."""

    error: str


class QuoteCancelled(QuoteEvent):
    """Whoever asked does not want it any more."""
