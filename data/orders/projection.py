"""Builds an order's status and history from the events of all services.

Of one source, events apply by their sequence. Between sources, their revision says which comes first, and of pricing's
events, the submission that they answer. An event whose predecessor has not been applied raises PredecessorMissing; the
consumer parks it (:mod:`data.kit.parking`) and applies it after its predecessor. Steps of two services may cross (a
cancellation and an approval): the second one applies if it still can, and is skipped if not. After a final status
nothing changes any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from data.contracts.common import OrderEvent, QuoteSummary
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, move
from data.contracts.pricing import QuoteEvent, QuoteNeedsReview, QuotePriced
from data.contracts.registry import EVENTS, payload
from data.contracts.shop import OrderInitiated, OrderSubmitted
from data.orders.sequencing import PredecessorMissing, crosses


class OrderState(BaseModel):
    """What is known of an order.

    ``revision``: how often its status has changed. ``submitted``: the quotes asked for, the newest last.
    ``seen``: the last sequence that was applied of each source.
    """

    model_config = ConfigDict(frozen=True)

    status: OrderStatus | None = None
    held_from: OrderStatus | None = None
    owner_id: str | None = None
    partner: bool = False
    priority: str | None = None
    quote: QuoteSummary | None = None
    revision: int = 0
    submitted: tuple[UUID, ...] = ()
    seen: dict[str, int] = {}


class HistoryEntry(BaseModel):
    """A line that the history gets. ``quote``: the order's then."""

    model_config = ConfigDict(frozen=True)

    status: OrderStatus
    at: datetime
    by: str
    quote: QuoteSummary | None
    event: CloudEvent


def apply_event(state: OrderState, event: CloudEvent) -> tuple[OrderState, HistoryEntry | None]:
    """The state after ``event``, and the new line of the history if there is one.

    An event that was applied before changes nothing. Raises PredecessorMissing where an event that it builds on has
    not been applied. O(1).
    """
    last = state.seen.get(event.source, 0)
    if event.sequence <= last:
        return state, None
    if event.sequence > last + 1:
        missing = f"event {last + 1} of {event.source}"
        raise PredecessorMissing(f"{event.type} of {event.subject} builds on {missing}")
    if not _has_its_turn(state, event):
        raise PredecessorMissing(f"{event.type} of {event.subject} builds on an event of another service")
    return _apply(state, event)


def _has_its_turn(state: OrderState, event: CloudEvent) -> bool:
    """Whether all that an event builds on has come: then it applies, or never will."""
    data = payload(event)
    if data is None or state.status in FINAL or isinstance(data, OrderInitiated):
        return True
    if state.status is None:
        return False
    if isinstance(data, QuoteEvent):
        return data.quote_id in state.submitted
    if not isinstance(data, OrderEvent) or data.revision is None:
        return _is_legal(state, event)
    return data.revision <= state.revision or (data.revision == state.revision + 1 and _is_legal(state, event))


def _is_legal(state: OrderState, event: CloudEvent) -> bool:
    entry = EVENTS[event.type]
    if entry.model is OrderInitiated:
        return state.status is None
    if state.status is None:
        return False
    if entry.step is None or (state.status, entry.step) in GRAPH:
        return True
    data = payload(event)
    return data is not None and crosses(state.status, state.held_from, state.revision, data)


def _apply(state: OrderState, event: CloudEvent) -> tuple[OrderState, HistoryEntry | None]:
    """The state after an event, and the history's new line; one whose step is not legal changes no status."""
    data = payload(event)
    seen = {**state.seen, event.source: event.sequence}
    if data is None or state.status in FINAL or not _is_legal(state, event) or _is_obsolete(state, data):
        # Those who saw the crossing steps in the other order have counted this one too.
        counted = state.revision + (isinstance(data, OrderEvent) and data.revision is not None)
        return state.model_copy(update={"seen": seen, "revision": counted}), None
    changes: dict[str, Any] = {"seen": seen}
    step = EVENTS[event.type].step
    if isinstance(data, OrderInitiated):
        changes |= {"owner_id": data.owner_id, "partner": data.partner, "priority": data.priority.value}
        changes["status"] = OrderStatus.INITIATED
    elif isinstance(data, QuotePriced | QuoteNeedsReview):
        changes["quote"] = data.quote
    elif isinstance(data, OrderSubmitted):
        changes["submitted"] = (*state.submitted, data.quote_id)
    if step is not None and state.status is not None:
        changes["status"], changes["held_from"] = move(state.status, state.held_from, step)
    if "status" not in changes:
        return state.model_copy(update=changes), None
    told = data.revision or 0 if isinstance(data, OrderEvent) else 0
    changes["revision"] = max(state.revision + 1, told)
    by = data.by if isinstance(data, OrderEvent) else "pricing"
    after = state.model_copy(update=changes)
    return after, HistoryEntry(status=changes["status"], at=event.time, by=by, quote=after.quote, event=event)


def _is_obsolete(state: OrderState, data: EventData) -> bool:
    """Whether it answers a submission that a later one has replaced."""
    return isinstance(data, QuoteEvent) and state.submitted[-1:] != (data.quote_id,)
