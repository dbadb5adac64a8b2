"""Types that several events share."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from data.contracts.envelope import EventData

Money = Annotated[
    Decimal,
    Field(max_digits=14, decimal_places=2),
    PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str),
]
"""An exact amount; in JSON a decimal string with cents."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Priority(StrEnum):
    """The urgency of pricing; each priority has a separate topic and separate consumers."""

    EXPRESS = "express"
    STANDARD = "standard"
    BULK = "bulk"


class Verdict(StrEnum):
    """The engine's verdict on whether a model can be manufactured."""

    MANUFACTURABLE = "manufacturable"
    REVIEW = "review"
    REJECTED = "rejected"


Identifier = Annotated[str, Field(max_length=100)]
"""An id of the price book."""
Process = Annotated[Identifier, Field(description="Manufacturing process, an id of the price book")]
Quantity = Annotated[int, Field(ge=1, le=1_000_000, description="Number of pieces to make")]


class OrderSpecification(BaseModel):
    """What to manufacture, and how soon: the fields that HTTP bodies and events share, with their limits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: Process
    material: Identifier = Field(description="Material, an id of the price book that the process offers")
    finish: Identifier | None = Field(default=None, description="Finish; null for the default of the process")
    quantity: Quantity
    priority: Priority = Field(default=Priority.STANDARD, description="How urgent pricing is")


class OrderRequest(OrderSpecification):
    """What a customer orders, as events carry it, which inherit its members."""

    product_id: UUID | None = None


class QuoteSummary(BaseModel):
    """The price of an order: amounts, currency, expiry, verdict and lead time of its quote."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quote_id: UUID = Field(description="Identifier of the quote")
    unit_price: Money = Field(description="Price of one piece, a decimal string with cents")
    total: Money = Field(description="Price of the complete order, a decimal string with cents")
    currency: str = Field(min_length=3, max_length=3, description="Currency of the amounts (ISO 4217)")
    expires_at: AwareDatetime = Field(description="Until when the price is valid")
    verdict: Verdict = Field(description="Whether the model can be made: `manufacturable`, `review` or `rejected`")
    lead_time_days: int | None = Field(default=None, description="Working days until shipment")
    content_id: str | None = Field(default=None, description="Hash of everything that determined the price")


class QuoteReason(BaseModel):
    """Why a model needs a review or can't be manufactured, as in a quote's ``reasons``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = Field(description="Stable code of the check")
    severity: str = Field(description="`info`, `warning` or `error`")
    message: str = Field(description="What was found, in words")


class OrderEvent(EventData):
    """An event about an order. ``by``: the person or service that took the step.

    ``revision``: how often the order's status has changed, this step included, in the state of the publishing service
    (a Lamport clock). A reader of several topics orders events of different services by it.
    """

    order_id: UUID
    by: str
    revision: int | None = None

    @property
    def subject(self) -> str:
        """Return the order's id."""
        return str(self.order_id)
