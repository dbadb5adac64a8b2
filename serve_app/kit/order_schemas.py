"""Orders in requests and responses, as every service shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from data.contracts.common import OrderSpecification, Priority, Process, Quantity, QuoteSummary
from data.contracts.lifecycle import OrderStatus

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Free text without NUL, which PostgreSQL does not store: an event that contains one could never be consumed."""


class OrderRequestBody(OrderSpecification):
    """The body of a request for an order or a quote: the shared fields, with the defaults of HTTP."""

    process: Process = "casting"
    quantity: Quantity = 1


class CustomerOrderRequest(OrderRequestBody):
    """The same from customers and partners, who can't choose `bulk`."""

    priority: Literal[Priority.STANDARD, Priority.EXPRESS] = Field(
        default=Priority.STANDARD, description="How urgent pricing is"
    )


class HistoryLine(BaseModel):
    """A status that the order entered, when, and who took the step."""

    status: OrderStatus = Field(description="The status that the order entered")
    at: AwareDatetime = Field(description="When it entered the status")
    by: str = Field(description="Who took the step: a user, a partner or a service")


class HistoryRecord(Protocol):
    """A row of an order's history."""

    @property
    def status(self) -> OrderStatus:
        """Status that the order entered."""

    @property
    def at(self) -> AwareDatetime:
        """Time at which it entered the status."""

    @property
    def by(self) -> str:
        """Caller who took the step."""


class OrderBody(BaseModel):
    """An order with its quote and its history."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Current status")
    priority: str = Field(description="How urgent pricing is: `standard`, `express` or `bulk`")
    quote: QuoteSummary | None = Field(description="The current price; null until one is calculated")
    history: list[HistoryLine] = Field(description="Every status that the order entered, oldest first")


class StepReason(BaseModel):
    """Why a step is taken."""

    reason: Text = Field(min_length=1, max_length=1000, description="Why the step is taken, in free text")


def history_lines(records: Iterable[HistoryRecord]) -> list[HistoryLine]:
    """Return the rows of a history as response bodies."""
    return [HistoryLine(status=record.status, at=record.at, by=record.by) for record in records]
