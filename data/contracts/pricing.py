"""Events of pricing: the outcome of each quote."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from data.contracts.common import QuoteReason, QuoteSummary
from data.contracts.envelope import EventData


class QuoteEvent(EventData):
    """An event of pricing about a quote; its subject is the order, or the quote if there is no order."""

    SOURCE: ClassVar[str] = "/facet/pricing"
    TOPIC: ClassVar[str] = "pricing.quotes.v1"

    quote_id: UUID
    order_id: UUID | None = None
    owner_id: str

    @property
    def subject(self) -> str:
        """Return the order's id, or the quote's if there is no order."""
        return str(self.order_id or self.quote_id)


class QuotePriced(QuoteEvent):
    """A model was priced and can be manufactured.

    Pricing publishes it with the quote. Offer the price to the customer; it is valid until ``quote.expires_at``.
    """

    quote: QuoteSummary


class QuoteNeedsReview(QuoteEvent):
    """A model was priced, but a person must review it.

    Pricing publishes it with the quote and the reasons for the review. Wait for a seller's decision: the price is
    valid once the order is released.
    """

    quote: QuoteSummary
    reasons: tuple[QuoteReason, ...] = ()


class QuoteRejected(QuoteEvent):
    """A model can't be manufactured as requested.

    Pricing publishes it with the reasons. There is no price: show the reasons to the customer.
    """

    reasons: tuple[QuoteReason, ...] = ()


class QuoteFailed(QuoteEvent):
    """Pricing of a model failed.

    Pricing publishes it with the ``error`` in one line, as for an unreadable file. There is no price: correct the cause
    and submit the model again.
    """

    error: str


class QuoteCancelled(QuoteEvent):
    """A quote was cancelled before it was finished.

    Pricing publishes it after the request was withdrawn. Expect no price for this quote.
    """
