"""The read model: whatever order events of several services arrive in, and however often, it tells what happened."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance
from data.contracts.pricing import QuoteEvent
from data.kit.ids import new_id
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.orders.sequencing import PredecessorMissing
from tests.unit.data import examples

S = OrderStatus


class Orders:
    """Events of one order as their services would write them, with their sequences."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[CloudEvent] = []

    def say(self, kind: type[EventData], revision: int | None = None, **members: Any) -> None:
        known = next(event for event in examples.EVENTS if type(event) is kind).model_dump()
        if issubclass(kind, shop.OrderSubmitted):
            self.quote_id = members.setdefault("quote_id", new_id())
        elif issubclass(kind, QuoteEvent):
            members.setdefault("quote_id", self.quote_id)
        event = kind.model_validate({**known, "revision": revision, **members})
        self.counts[kind.SOURCE] = self.counts.get(kind.SOURCE, 0) + 1
        message = json.loads(examples.message(event, self.counts[kind.SOURCE]))
        self.events.append(CloudEvent.model_validate(message))


def kind_of(step: Step, status: OrderStatus, choose: random.Random) -> type[EventData]:
    """Which service takes a step from a status, and by which event it says so."""
    ambiguous: dict[Step, type[EventData]] = {
        Step.CANCEL: choose.choice([shop.OrderCancelled, crm.OrderWithdrawn]),
        Step.REJECT: pricing.QuoteRejected if status is S.SUBMITTED else crm.OrderRejected,
        Step.FAIL_PRICE: choose.choice([shop.PricingOverdue, pricing.QuoteFailed]),
        Step.HOLD: choose.choice([crm.OrderHeld, mes.ProductionHeld]),
        Step.RESUME: choose.choice([crm.OrderResumed, mes.ProductionResumed]),
    }
    plain: dict[Step, type[EventData]] = {
        Step.UPLOAD: shop.ModelUploaded,
        Step.SUBMIT: shop.OrderSubmitted,
        Step.PRICE: pricing.QuotePriced,
        Step.REQUIRE_REVIEW: pricing.QuoteNeedsReview,
        Step.RELEASE: crm.OrderReleased,
        Step.EXPIRE: crm.QuoteExpired,
        Step.APPROVE: crm.OrderApproved,
        Step.CLAIM: mes.ProductionStarted,
        Step.COMPLETE: mes.ProductionCompleted,
        Step.PACKAGE: mes.ProductionPackaged,
        Step.SHIP: mes.ProductionShipped,
        Step.REWORK: mes.ReworkOrdered,
        Step.CLOSE: crm.OrderClosed,
    }
    return {**plain, **ambiguous}[step]


def life(choose: random.Random, longest: int) -> tuple[list[CloudEvent], list[OrderStatus]]:
    """A random life of an order: its events and its true history."""
    orders, status, held_from = Orders(), S.INITIATED, None
    orders.say(shop.OrderInitiated, 1)
    history = [status]
    while status not in FINAL and len(history) < longest:
        steps = sorted(step for known, step in GRAPH if known is status)
        if status is S.PRICE_FAILED:  # a late price crosses the timer's word: see its test
            steps = [step for step in steps if step not in (Step.PRICE, Step.REQUIRE_REVIEW)]
        step = choose.choice(steps)
        orders.say(kind_of(step, status, choose), len(history) + 1)
        status, held_from = advance(status, step, held_from=held_from), status if step is Step.HOLD else None
        history.append(status)
    return orders.events, history


class Reader:
    """Applies events as a consumer does: those that are early wait, each with the later ones of its source."""

    def __init__(self) -> None:
        self.state, self.entries, self.parked = OrderState(), list[HistoryEntry](), list[CloudEvent]()

    def take(self, *arrivals: CloudEvent) -> None:
        for event in arrivals:
            if event.id not in {parked.id for parked in self.parked}:
                self.parked.append(event)
            while any(self._applied(parked) for parked in list(self.parked)):
                pass

    def _applied(self, event: CloudEvent) -> bool:
        try:
            self.state, entry = apply_event(OrderState.model_validate_json(self.state.model_dump_json()), event)
        except PredecessorMissing:
            return False
        self.parked.remove(event)
        self.entries += [entry] if entry else []
        return True


def read(*arrivals: CloudEvent) -> Reader:
    reader = Reader()
    reader.take(*arrivals)
    return reader


@given(st.randoms(use_true_random=False), st.integers(1, 25))
def test_any_arrival_gives_the_true_history(choose: random.Random, longest: int) -> None:
    events, history = life(choose, longest)
    arrivals = [*events, *choose.choices(events, k=choose.randrange(5))]
    choose.shuffle(arrivals)
    reader = read(*arrivals)
    assert [entry.status for entry in reader.entries] == history
    assert reader.state.status is history[-1]
    assert reader.parked == []


@given(st.randoms(use_true_random=False), st.integers(1, 25))
def test_an_event_that_was_applied_changes_nothing(choose: random.Random, longest: int) -> None:
    events, _ = life(choose, longest)
    state = read(*events).state
    for event in events:
        assert apply_event(state, event) == (state, None)


@given(st.randoms(use_true_random=False), st.integers(2, 25))
def test_a_missing_event_holds_up_only_what_builds_on_it(choose: random.Random, longest: int) -> None:
    events, history = life(choose, longest)
    missing = choose.randrange(len(events))
    reader = read(*(event for n, event in enumerate(events) if n != missing))
    assert [entry.status for entry in reader.entries] == history[: len(reader.entries)]
    reader.take(events[missing])
    assert [entry.status for entry in reader.entries] == history
    assert reader.parked == []


def submitted() -> Orders:
    orders = Orders()
    orders.say(shop.OrderInitiated, 1)
    orders.say(shop.ModelUploaded, 2)
    orders.say(shop.OrderSubmitted, 3)
    return orders


class TestCrossingSteps:
    def test_a_cancellation_that_crossed_an_approval_holds(self) -> None:
        orders = submitted()
        orders.say(pricing.QuotePriced)
        orders.say(crm.OrderApproved, 5)
        orders.say(shop.OrderCancelled, 5)
        *rest, approval, cancellation = orders.events
        reader = read(*rest, approval, cancellation)
        assert [entry.status for entry in reader.entries[3:]] == [
            S.PRICE_CALCULATED, S.MANUFACTURING_APPROVED, S.CANCELLED,
        ]  # fmt: skip
        assert (reader.state.status, reader.parked) == (S.CANCELLED, [])
        reader = read(*rest, cancellation, approval)
        assert [entry.status for entry in reader.entries[3:]] == [S.PRICE_CALCULATED, S.CANCELLED]
        assert (reader.state.status, reader.parked) == (S.CANCELLED, [])

    def test_a_late_price_replaces_the_timers_word(self) -> None:
        orders = submitted()
        orders.say(shop.PricingOverdue, 4)
        orders.say(pricing.QuotePriced)
        orders.say(crm.OrderApproved, 6)
        *rest, overdue, priced, approved = orders.events
        for arrivals in ([overdue, priced, approved], [priced, overdue, approved], [approved, priced, overdue]):
            reader = read(*rest, *arrivals)
            assert (reader.state.status, reader.parked) == (S.MANUFACTURING_APPROVED, [])

    def test_an_answer_to_an_earlier_submission_changes_nothing(self) -> None:
        orders = submitted()
        first = orders.quote_id
        orders.say(shop.PricingOverdue, 4)
        orders.say(shop.OrderSubmitted, 5)
        orders.say(pricing.QuoteFailed, quote_id=first)
        orders.say(pricing.QuotePriced)
        reader = read(*orders.events)
        assert [entry.status for entry in reader.entries[2:]] == [
            S.SUBMITTED, S.PRICE_FAILED, S.SUBMITTED, S.PRICE_CALCULATED,
        ]  # fmt: skip
        assert reader.parked == []

    def test_what_builds_on_what_never_comes_waits(self) -> None:
        orders = Orders()
        orders.say(mes.ProductionStarted, 6)
        reader = read(*orders.events)
        assert (reader.state, reader.parked) == (OrderState(), orders.events)

    def test_production_that_crossed_a_hold_goes_on_after_it(self) -> None:
        orders = submitted()
        orders.say(pricing.QuotePriced)
        orders.say(crm.OrderApproved, 5)
        orders.say(mes.ProductionStarted, 6)
        orders.say(crm.OrderHeld, 7)
        orders.say(mes.ProductionCompleted, 7)
        orders.say(crm.OrderResumed, 9)
        orders.say(mes.ProductionPackaged, 10)
        *rest, held, completed, resumed, packaged = orders.events
        for arrivals in ([held, completed], [completed, held]):
            reader = read(*rest, *arrivals)
            assert (reader.state.status, reader.state.held_from) == (S.ON_HOLD, S.MANUFACTURING_COMPLETED)
            reader.take(packaged, resumed)
            assert (reader.state.status, reader.parked) == (S.PACKAGING, [])
