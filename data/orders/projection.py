"""Build an order's status and history from the events of all services.

Events of one source are applied by their sequence. Between sources, the revision determines the order, and for events
of pricing, the submission that they answer. An event whose predecessor has not been applied raises PredecessorMissing;
the consumer parks it (:mod:`data.kit.parking`) and applies it after its predecessor. Steps of two services may cross (a
cancellation and an approval): the second one is applied if it is still legal, and skipped if not. A final status never
changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from data.contracts.common import OrderEvent, QuoteSummary
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, move
from data.contracts.pricing import QuoteEvent, QuoteNeedsReview, QuotePriced
from data.contracts.registry import EVENTS, payload
from data.contracts.shop import OrderInitiated, OrderSubmitted
from data.orders.sequencing import PredecessorMissing, crosses


class OrderState(BaseModel):
    """The state of an order after the applied events.

    ``revision``: how often its status has changed. ``submitted``: the ids of the requested quotes, the newest last.
    ``last_sequences``: the last applied sequence of each source, stored as ``seen``.
    """

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    status: OrderStatus | None = None
    held_from: OrderStatus | None = None
    owner_id: str | None = None
    partner: bool = False
    priority: str | None = None
    quote: QuoteSummary | None = None
    revision: int = 0
    submitted: tuple[UUID, ...] = ()
    last_sequences: dict[str, int] = Field(default={}, alias="seen")


class HistoryEntry(BaseModel):
    """A new entry of an order's history. ``quote``: the order's quote at that time."""

    model_config = ConfigDict(frozen=True)

    status: OrderStatus
    at: datetime
    by: str
    quote: QuoteSummary | None
    event: CloudEvent


def apply_event(state: OrderState, event: CloudEvent) -> tuple[OrderState, HistoryEntry | None]:
    """Return the state after ``event``, and the new entry of the history if there is one.

    An event that was applied before changes nothing. Raises PredecessorMissing if an event that it builds on has not
    been applied. O(1).
    """
    last = state.last_sequences.get(event.source, 0)
    if event.sequence <= last:
        return state, None
    if event.sequence > last + 1:
        missing = f"event {last + 1} of {event.source}"
        raise PredecessorMissing(f"{event.type} of {event.subject} builds on {missing}")
    if not _has_predecessors(state, event):
        raise PredecessorMissing(f"{event.type} of {event.subject} builds on an event of another service")
    return _apply(state, event)


def _has_predecessors(state: OrderState, event: CloudEvent) -> bool:
    """Return whether all that an event builds on is applied: then it can be applied, or will be skipped for good."""
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
    """Return the state after an event, and the new history entry; an event with an illegal step changes no status."""
    data = payload(event)
    last_sequences = {**state.last_sequences, event.source: event.sequence}
    if data is None or state.status in FINAL or not _is_legal(state, event) or _is_obsolete(state, data):
        # Services that applied the crossing steps in the other order have counted this one too.
        counted = state.revision + (isinstance(data, OrderEvent) and data.revision is not None)
        return state.model_copy(update={"last_sequences": last_sequences, "revision": counted}), None
    changes: dict[str, Any] = {"last_sequences": last_sequences}
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
    event_revision = data.revision or 0 if isinstance(data, OrderEvent) else 0
    changes["revision"] = max(state.revision + 1, event_revision)
    by = data.by if isinstance(data, OrderEvent) else "pricing"
    after = state.model_copy(update=changes)
    return after, HistoryEntry(status=changes["status"], at=event.time, by=by, quote=after.quote, event=event)


def _is_obsolete(state: OrderState, data: EventData) -> bool:
    """Return whether an event answers a submission that a later one has replaced."""
    return isinstance(data, QuoteEvent) and state.submitted[-1:] != (data.quote_id,)
