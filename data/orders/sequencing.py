"""Decide what a service does with an event of another service, which may be early, late, or cross a step of its own.

An order's status changes in one service at a time except for crossing steps, and each event has the number of status
changes so far (``revision``), so a service detects that it has missed a step that is still to arrive on another topic.
Events of pricing have no revision; their quote id, which sorts by time, identifies the submission that they answer.
"""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import FINAL, GRAPH, Actor, OrderStatus, Step, crosses_hold
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS


class PredecessorMissing(Exception):
    """An event that this one builds on has not been applied yet; the consumer parks this event until then."""


class Decision(Enum):
    """Apply the event's step; defer it until its predecessor is applied; or skip it, because it is superseded."""

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
    """Return what to do with an event of another service, for the order's state in this service."""
    step = EVENTS[data.event_type()].step
    if status in FINAL or step is None:
        return Decision.SKIP
    legal = (status, step) in GRAPH
    if isinstance(data, QuoteEvent):
        if quote_id is None or data.quote_id > quote_id:
            return Decision.DEFER  # the submission that it answers has not been applied yet
        return Decision.APPLY if legal and data.quote_id == quote_id else Decision.SKIP
    if isinstance(data, OrderEvent) and data.revision is not None and data.revision > revision + 1:
        return Decision.DEFER
    if legal or crosses(status, held_from, revision, data):
        return Decision.APPLY
    early = isinstance(data, OrderEvent) and data.revision is not None and data.revision == revision + 1
    return Decision.DEFER if early else Decision.SKIP


def crosses(status: OrderStatus, held_from: OrderStatus | None, revision: int, data: EventData) -> bool:
    """Return whether an event is a production step that was taken before its service had applied the order's hold."""
    step = EVENTS[data.event_type()].step
    concurrent = isinstance(data, OrderEvent) and data.revision is not None and data.revision <= revision
    return concurrent and step is not None and crosses_hold(status, held_from, step)


def next_step(
    status: OrderStatus,
    revision: int,
    quote_id: UUID | None,
    data: EventData,
    held_from: OrderStatus | None = None,
) -> Step | None:
    """Return the step that an event means for the order; None if the event is superseded.

    Raises PredecessorMissing if an event that it builds on has not been applied.
    """
    decision = decide(status, revision, quote_id, data, held_from)
    if decision is Decision.DEFER:
        raise PredecessorMissing(f"{data.event_type()} of {data.subject} builds on an event that is not applied yet")
    return EVENTS[data.event_type()].step if decision is Decision.APPLY else None


def order_id_of(data: EventData) -> UUID | None:
    """Return the order that an event is about; None for a quote without one."""
    return data.order_id if isinstance(data, OrderEvent | QuoteEvent) else None


def actor_and_revision(data: EventData) -> tuple[str, int | None]:
    """Return who took the event's step, and the revision that it produced."""
    return (data.by, data.revision) if isinstance(data, OrderEvent) else (Actor.PRICING.value, None)
