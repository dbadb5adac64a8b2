"""What a service does with an event of another service, which may be early, late, or cross a step of its own.

Statuses change in one service at a time but for crossings, and each event carries how often the status had changed
(``revision``), so a service sees whether it has missed a step that is still on its way on another topic. Answers of
pricing have no revision; their quote's id, which sorts by time, says which submission they answer.
"""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, crosses_hold
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS


class PredecessorMissing(Exception):
    """An event that this one builds on has not been applied: no fault of this event, which is parked meanwhile."""


class Decision(Enum):
    """Apply the event's step; defer it until its predecessor is applied; or skip it, for it has been overtaken."""

    APPLY = "apply"
    DEFER = "defer"
    SKIP = "skip"


def decide(
    status: OrderStatus,
    revision: int,
    quote_id: UUID | None,
    data: EventData,
    held_from: OrderStatus | None = None,
) -> Decision:
    """What to do with an event of another service, for an order as this service knows it."""
    step = EVENTS[data.event_type()].step
    if status in FINAL or step is None:
        return Decision.SKIP
    legal = (status, step) in GRAPH
    if isinstance(data, QuoteEvent):
        if quote_id is None or data.quote_id > quote_id:
            return Decision.DEFER  # the submission that it answers has not come yet
        return Decision.APPLY if legal and data.quote_id == quote_id else Decision.SKIP
    if isinstance(data, OrderEvent) and data.revision is not None and data.revision > revision + 1:
        return Decision.DEFER
    if legal or crosses(status, held_from, revision, data):
        return Decision.APPLY
    early = isinstance(data, OrderEvent) and data.revision is not None and data.revision == revision + 1
    return Decision.DEFER if early else Decision.SKIP


def crosses(status: OrderStatus, held_from: OrderStatus | None, revision: int, data: EventData) -> bool:
    """Whether an event is a step of production that was taken before its service knew that the order is on hold."""
    step = EVENTS[data.event_type()].step
    known = isinstance(data, OrderEvent) and data.revision is not None and data.revision <= revision
    return known and step is not None and crosses_hold(status, held_from, step)
