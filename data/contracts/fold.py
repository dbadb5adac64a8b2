"""Builds an order's status and history from the events of all services, in whatever order they arrive.

Of one source, events apply by their sequence. Between sources, their revision says which comes first, and of pricing's
events, the submission that they answer. What came too early is parked and tried again after each that was applied.
Steps of two services may cross (a cancellation and an approval): whichever comes second applies if it still can, and is
passed over if not. After an end nothing changes any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from data.contracts.common import OrderEvent, QuoteSummary
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance
from data.contracts.pricing import QuoteEvent, QuoteNeedsReview, QuotePriced
from data.contracts.registry import EVENTS, payload
from data.contracts.shop import OrderInitiated, OrderSubmitted

PATIENCE = timedelta(minutes=10)
"""When what an event builds on will not come, also while the whole model is built anew from Kafka."""


class Parked(BaseModel):
    """An event that waits for others."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    event: CloudEvent


class State(BaseModel):
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
    parked: tuple[Parked, ...] = ()


class Entry(BaseModel):
    """A line that the history gets. ``quote``: the order's then."""

    model_config = ConfigDict(frozen=True)

    status: OrderStatus
    at: datetime
    by: str
    quote: QuoteSummary | None
    event: CloudEvent


def fold(state: State, event: CloudEvent | None, now: datetime) -> tuple[State, list[Entry]]:
    """The state after ``event`` and what it let go on, with the new lines of the history.

    ``event``: None to see only which parked events have waited too long. An event that was seen changes nothing.
    """
    waiting = {(each.event.source, each.event.sequence): each for each in state.parked}
    if event is not None and event.sequence > state.seen.get(event.source, 0):
        waiting.setdefault((event.source, event.sequence), Parked(since=now, event=event))
    entries: list[Entry] = []
    while turn := _next(state, waiting, now):
        del waiting[turn.event.source, turn.event.sequence]
        state, entry = _apply(state, turn.event)
        entries += [entry] if entry else []
    return state.model_copy(update={"parked": tuple(waiting[at] for at in sorted(waiting))}), entries


def _next(state: State, waiting: dict[tuple[str, int], Parked], now: datetime) -> Parked | None:
    """The parked event to go on with: one whose turn it is, else one that has waited without hope."""
    heads: dict[str, Parked] = {}
    for (source, _), parked in sorted(waiting.items()):
        heads.setdefault(source, parked)
    for source, parked in heads.items():
        if parked.event.sequence == state.seen.get(source, 0) + 1 and _has_its_turn(state, parked.event):
            return parked
    return next((parked for parked in heads.values() if parked.since + PATIENCE < now), None)


def _has_its_turn(state: State, event: CloudEvent) -> bool:
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


def _is_legal(state: State, event: CloudEvent) -> bool:
    entry = EVENTS[event.type]
    if entry.model is OrderInitiated:
        return state.status is None
    return state.status is not None and (entry.step is None or (state.status, entry.step) in GRAPH)


def _apply(state: State, event: CloudEvent) -> tuple[State, Entry | None]:
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
        changes["status"] = advance(state.status, step, held_from=state.held_from)
        changes["held_from"] = state.status if step is Step.HOLD else None
    if "status" not in changes:
        return state.model_copy(update=changes), None
    told = data.revision or 0 if isinstance(data, OrderEvent) else 0
    changes["revision"] = max(state.revision + 1, told)
    by = data.by if isinstance(data, OrderEvent) else "pricing"
    after = state.model_copy(update=changes)
    return after, Entry(status=changes["status"], at=event.time, by=by, quote=after.quote, event=event)


def _is_obsolete(state: State, data: EventData) -> bool:
    """Whether it answers a submission that a later one has replaced."""
    return isinstance(data, QuoteEvent) and state.submitted[-1:] != (data.quote_id,)
