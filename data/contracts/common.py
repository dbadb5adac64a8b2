"""Words that several events share."""

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
"""An exact amount, a decimal string with cents on the wire."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Priority(StrEnum):
    """How urgent pricing is; each has a topic and consumers of its own."""

    EXPRESS = "express"
    STANDARD = "standard"
    BULK = "bulk"


class Verdict(StrEnum):
    """What the engine says of a model."""

    MANUFACTURABLE = "manufacturable"
    REVIEW = "review"
    REJECTED = "rejected"


class OrderRequest(BaseModel):
    """What somebody wants to have made. Events that tell it are one, so that its members are theirs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: str
    material: str
    finish: str | None = None
    quantity: int = Field(ge=1)
    priority: Priority = Priority.STANDARD
    product_id: UUID | None = None


class QuoteSummary(BaseModel):
    """A quote as orders show it."""

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
    """Why a model needs a look or can't be made: as in a quote's ``reasons``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    severity: str
    message: str


class OrderEvent(EventData):
    """An event about an order. ``by``: who took the step, a person or a service.

    ``revision``: how often the order's status has changed, this step included, as far as its service knew (a Lamport
    clock). By it a reader of several topics knows which events of other services came before.
    """

    order_id: UUID
    by: str
    revision: int | None = None

    @property
    def subject(self) -> str:
        """The order."""
        return str(self.order_id)
