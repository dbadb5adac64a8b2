"""What services do alike with an event of another one about an order that they know."""

from __future__ import annotations

from uuid import UUID

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, OrderStatus, Step
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS
from data.contracts.turns import Turn, turn
from data.kit.errors import NotYet


def order_of(data: EventData) -> UUID | None:
    """The order that an event is about; None for a quote without one."""
    return data.order_id if isinstance(data, OrderEvent | QuoteEvent) else None


def step_to_take(status: OrderStatus, revision: int, quote_id: UUID | None, data: EventData) -> Step | None:
    """The step that an event means for the order; None where it was overtaken. Raises NotYet where it is early."""
    whose = turn(status, revision, quote_id, data)
    if whose is Turn.WAIT:
        raise NotYet(f"{data.event_type()} of {data.subject} came before what it builds on")
    return EVENTS[data.event_type()].step if whose is Turn.TAKE else None


def told_by(data: EventData) -> tuple[str, int | None]:
    """Who took the step, and the revision that it made."""
    return (data.by, data.revision) if isinstance(data, OrderEvent) else (Actor.PRICING.value, None)
