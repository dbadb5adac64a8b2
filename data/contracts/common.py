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


class OrderRequest(BaseModel):
    """What a customer orders: process, material, finish, quantity. Events that carry it inherit its members."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: str
    material: str
    finish: str | None = None
    quantity: int = Field(ge=1)
    priority: Priority = Priority.STANDARD
    product_id: UUID | None = None


class QuoteSummary(BaseModel):
    """The price of an order: amounts, currency, expiry, verdict and lead time of its quote."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quote_id: UUID
    unit_price: Money
    total: Money
    currency: str = Field(min_length=3, max_length=3)
    expires_at: AwareDatetime
    verdict: Verdict
    lead_time_days: int | None = None
    content_id: str | None = None


class QuoteReason(BaseModel):
    """Why a model needs a review or can't be manufactured, as in a quote's ``reasons``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    severity: str
    message: str


class OrderEvent(EventData):
    """An event about an order. ``by``: the person or service that took the step.

    ``revision``: how often the order's status has changed, this step included, in the state of the publishing service
    (a Lamport clock). It tells a reader of several topics which events of other services precede this one.
    """

    order_id: UUID
    by: str
    revision: int | None = None

    @property
    def subject(self) -> str:
        """Return the order's id."""
        return str(self.order_id)
