"""An order as every service shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from data.contracts.common import QuoteSummary
from data.contracts.lifecycle import OrderStatus
from serve_app.kit.texts import Text


class HistoryLine(BaseModel):
    """A status that the order got, when, and who did it."""

    status: OrderStatus
    at: AwareDatetime
    by: str


class HistoryRecord(Protocol):
    """A line of a history as databases have it."""

    @property
    def status(self) -> OrderStatus: ...
    @property
    def at(self) -> AwareDatetime: ...
    @property
    def by(self) -> str: ...


class OrderBody(BaseModel):
    """An order."""

    order_id: UUID
    status: OrderStatus
    priority: str
    quote: QuoteSummary | None
    history: list[HistoryLine]


class StepReason(BaseModel):
    """Why a step is taken."""

    reason: Text = Field(min_length=1, max_length=1000)


def history_of(lines: Iterable[HistoryRecord]) -> list[HistoryLine]:
    """The lines as they are shown."""
    return [HistoryLine(status=line.status, at=line.at, by=line.by) for line in lines]
