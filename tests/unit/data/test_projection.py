"""The projection of orders: events of several services, in any order and repeated, give the true history."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance, move
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS
from data.kit.ids import new_id
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.orders.sequencing import PredecessorMissing
from tests.support import event_examples as examples
from tests.support.event_examples import STORED_EVENTS

S = OrderStatus


class OrderEvents:
    """Events of one order as their services would write them, with their sequences."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[CloudEvent] = []

    def publish(self, kind: type[EventData], revision: int | None = None, **members: Any) -> None:
        example = next(event for event in examples.EVENTS if type(event) is kind).model_dump()
        if issubclass(kind, shop.OrderSubmitted):
            self.quote_id = members.setdefault("quote_id", new_id())
        elif issubclass(kind, QuoteEvent):
            members.setdefault("quote_id", self.quote_id)
        event = kind.model_validate({**example, "revision": revision, **members})
        self.counts[kind.SOURCE] = self.counts.get(kind.SOURCE, 0) + 1
        message = json.loads(examples.message(event, self.counts[kind.SOURCE]))
        self.events.append(CloudEvent.model_validate(message))


def kind_of(step: Step, status: OrderStatus, choose: random.Random) -> type[EventData]:
    """Return the event type that reports a step from a status."""
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
    """Return the events and the true history of a random order."""
    order, status, held_from = OrderEvents(), S.INITIATED, None
    order.publish(shop.OrderInitiated, 1)
    history = [status]
    while status not in FINAL and len(history) < longest:
        steps = sorted(step for source, step in GRAPH if source is status)
        if status is S.PRICE_FAILED:  # a late price crosses PricingOverdue: see its test
            steps = [step for step in steps if step not in (Step.PRICE, Step.REQUIRE_REVIEW)]
        step = choose.choice(steps)
        order.publish(kind_of(step, status, choose), len(history) + 1)
        status, held_from = advance(status, step, held_from=held_from), status if step is Step.HOLD else None
        history.append(status)
    return order.events, history


class Reader:
    """Apply events as a consumer does: early ones are parked, each with the later ones of its source."""

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
def test_any_order_of_arrival_results_in_the_true_history(choose: random.Random, longest: int) -> None:
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
def test_a_missing_event_blocks_only_its_successors(choose: random.Random, longest: int) -> None:
    events, history = life(choose, longest)
    missing = choose.randrange(len(events))
    reader = read(*(event for n, event in enumerate(events) if n != missing))
    assert [entry.status for entry in reader.entries] == history[: len(reader.entries)]
    reader.take(events[missing])
    assert [entry.status for entry in reader.entries] == history
    assert reader.parked == []


@pytest.mark.parametrize("path", STORED_EVENTS, ids=lambda path: path.stem)
def test_an_old_stored_event_applies_as_before(path: Path) -> None:
    event = CloudEvent.model_validate_json(path.read_bytes())
    step, quote_id = EVENTS[event.type].step, event.data.get("quote_id")
    stored = OrderState(submitted=(UUID(quote_id),) if quote_id else ())
    if event.type == "facet.OrderInitiated.v1":
        expected: OrderStatus | None = S.INITIATED
    elif step is None:
        stored = stored.model_copy(update={"status": S.SUBMITTED, "revision": 3})
        expected = S.SUBMITTED
    else:
        held_from = event.data.get("held_from") and OrderStatus(event.data["held_from"])
        before = held_from if step is Step.HOLD else min(source for source, each in GRAPH if each is step)
        stored = stored.model_copy(
            update={"status": before, "revision": 3, "held_from": held_from if step is Step.RESUME else None}
        )
        expected, _ = move(before, stored.held_from, step)
    after, entry = apply_event(stored, event)
    assert after.status is expected
    assert (entry is not None) == (step is not None or stored.status is None)
    assert after.model_dump(mode="json")["seen"] == {event.source: 1}


def test_an_old_stored_state_is_read_and_written_unchanged() -> None:
    stored = {
        "status": "SUBMITTED", "held_from": None, "owner_id": "customer-1", "partner": True, "priority": "express",
        "quote": None, "revision": 3, "submitted": [str(examples.QUOTE)], "seen": {"/facet/shop/orders": 3},
    }  # fmt: skip
    state = OrderState.model_validate(stored)
    assert state.last_sequences == {"/facet/shop/orders": 3}
    assert state.model_dump(mode="json") == stored
    assert OrderState.model_validate({}) == OrderState()


def submitted() -> OrderEvents:
    order = OrderEvents()
    order.publish(shop.OrderInitiated, 1)
    order.publish(shop.ModelUploaded, 2)
    order.publish(shop.OrderSubmitted, 3)
    return order


class TestCrossingSteps:
    def test_a_cancellation_that_crosses_an_approval_prevails(self) -> None:
        order = submitted()
        order.publish(pricing.QuotePriced)
        order.publish(crm.OrderApproved, 5)
        order.publish(shop.OrderCancelled, 5)
        *earlier, approval, cancellation = order.events
        reader = read(*earlier, approval, cancellation)
        assert [entry.status for entry in reader.entries[3:]] == [
            S.PRICE_CALCULATED, S.MANUFACTURING_APPROVED, S.CANCELLED,
        ]  # fmt: skip
        assert (reader.state.status, reader.parked) == (S.CANCELLED, [])
        reader = read(*earlier, cancellation, approval)
        assert [entry.status for entry in reader.entries[3:]] == [S.PRICE_CALCULATED, S.CANCELLED]
        assert (reader.state.status, reader.parked) == (S.CANCELLED, [])

    def test_a_late_price_replaces_the_overdue_status(self) -> None:
        order = submitted()
        order.publish(shop.PricingOverdue, 4)
        order.publish(pricing.QuotePriced)
        order.publish(crm.OrderApproved, 6)
        *earlier, overdue, priced, approved = order.events
        for arrivals in ([overdue, priced, approved], [priced, overdue, approved], [approved, priced, overdue]):
            reader = read(*earlier, *arrivals)
            assert (reader.state.status, reader.parked) == (S.MANUFACTURING_APPROVED, [])

    def test_an_outcome_of_an_earlier_submission_changes_nothing(self) -> None:
        order = submitted()
        first = order.quote_id
        order.publish(shop.PricingOverdue, 4)
        order.publish(shop.OrderSubmitted, 5)
        order.publish(pricing.QuoteFailed, quote_id=first)
        order.publish(pricing.QuotePriced)
        reader = read(*order.events)
        assert [entry.status for entry in reader.entries[2:]] == [
            S.SUBMITTED, S.PRICE_FAILED, S.SUBMITTED, S.PRICE_CALCULATED,
        ]  # fmt: skip
        assert reader.parked == []

    def test_an_event_without_its_predecessor_stays_parked(self) -> None:
        order = OrderEvents()
        order.publish(mes.ProductionStarted, 6)
        reader = read(*order.events)
        assert (reader.state, reader.parked) == (OrderState(), order.events)

    def test_production_that_crosses_a_hold_continues_after_it(self) -> None:
        order = submitted()
        order.publish(pricing.QuotePriced)
        order.publish(crm.OrderApproved, 5)
        order.publish(mes.ProductionStarted, 6)
        order.publish(crm.OrderHeld, 7)
        order.publish(mes.ProductionCompleted, 7)
        order.publish(crm.OrderResumed, 9)
        order.publish(mes.ProductionPackaged, 10)
        *earlier, held, completed, resumed, packaged = order.events
        for arrivals in ([held, completed], [completed, held]):
            reader = read(*earlier, *arrivals)
            assert (reader.state.status, reader.state.held_from) == (S.ON_HOLD, S.MANUFACTURING_COMPLETED)
            reader.take(packaged, resumed)
            assert (reader.state.status, reader.parked) == (S.PACKAGING, [])
