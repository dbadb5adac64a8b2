"""The projection of orders: events of several services, in any order and repeated, give the true history."""

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent
from data.contracts.lifecycle import GRAPH, OrderStatus, Step, move
from data.contracts.registry import EVENTS
from data.orders.projection import OrderState, apply_event
from tests.support import event_examples as examples
from tests.support.event_examples import STORED_EVENTS
from tests.support.order_events import OrderEvents, life, read, submitted

S = OrderStatus


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
        held_from = OrderStatus(event.data["held_from"]) if "held_from" in event.data else None
        before = min(source for source, each in GRAPH if each is step)
        if step is Step.HOLD:
            assert held_from is not None
            before = held_from
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
