"""What services do alike with an event of another one about an order that they know."""

from __future__ import annotations

from uuid import UUID

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, OrderStatus, Step
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS
from data.orders.sequencing import Decision, PredecessorMissing, decide


def order_id_of(data: EventData) -> UUID | None:
    """The order that an event is about; None for a quote without one."""
    return data.order_id if isinstance(data, OrderEvent | QuoteEvent) else None


def next_step(
    status: OrderStatus,
    revision: int,
    quote_id: UUID | None,
    data: EventData,
    held_from: OrderStatus | None = None,
) -> Step | None:
    """The step that an event means for the order; None where it was overtaken.

    Raises PredecessorMissing where an event that it builds on has not been applied.
    """
    decision = decide(status, revision, quote_id, data, held_from)
    if decision is Decision.DEFER:
        raise PredecessorMissing(f"{data.event_type()} of {data.subject} builds on an event that has not come")
    return EVENTS[data.event_type()].step if decision is Decision.APPLY else None


def actor_and_revision(data: EventData) -> tuple[str, int | None]:
    """Who took the step, and the revision that it made."""
    return (data.by, data.revision) if isinstance(data, OrderEvent) else (Actor.PRICING.value, None)
