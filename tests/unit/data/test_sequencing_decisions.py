"""Decisions on single events at the limits of their revisions, and what services read from an event."""

from __future__ import annotations

from uuid import UUID

import pytest

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import OrderStatus, Step
from data.contracts.pricing import QuotePriced
from data.contracts.registry import EVENTS
from data.contracts.shop import QuoteRequested
from data.orders.sequencing import (
    Decision,
    PredecessorMissing,
    actor_and_revision,
    crosses,
    decide,
    next_step,
    order_id_of,
)
from tests.support import event_examples as examples

S = OrderStatus
OF_STEPS = {
    EVENTS[event.event_type()].step: event
    for event in examples.EVENTS
    if isinstance(event, OrderEvent) and EVENTS[event.event_type()].step is not None
}
PRICED = next(event for event in examples.EVENTS if isinstance(event, QuotePriced))
REQUESTED = next(event for event in examples.EVENTS if isinstance(event, QuoteRequested))
LATER_QUOTE = UUID(int=examples.QUOTE.int + 1)


def event_for(step: Step, revision: int | None) -> EventData:
    return OF_STEPS[step].model_copy(update={"revision": revision})


@pytest.mark.parametrize(
    ("status", "step", "revision", "decision"),
    [
        # A legal step of revision 5 is applied, and so is one that this service has counted already.
        (S.PRICE_CALCULATED, Step.APPROVE, 6, Decision.APPLY),
        (S.PRICE_CALCULATED, Step.APPROVE, 5, Decision.APPLY),
        (S.PRICE_CALCULATED, Step.APPROVE, None, Decision.APPLY),
        # After a gap a predecessor is missing, although the step is legal.
        (S.PRICE_CALCULATED, Step.APPROVE, 7, Decision.DEFER),
        # An illegal step is early if it is the next one, and superseded if it is not.
        (S.SUBMITTED, Step.APPROVE, 6, Decision.DEFER),
        (S.SUBMITTED, Step.APPROVE, 7, Decision.DEFER),
        (S.SUBMITTED, Step.APPROVE, 5, Decision.SKIP),
        (S.SUBMITTED, Step.APPROVE, None, Decision.SKIP),
        (S.CANCELLED, Step.APPROVE, 6, Decision.SKIP),
    ],
)
def test_a_step_is_decided_by_its_revision(
    status: OrderStatus, step: Step, revision: int | None, decision: Decision
) -> None:
    assert decide(status, 5, None, event_for(step, revision)) is decision


@pytest.mark.parametrize(
    ("held_from", "revision", "decision"),
    [
        (S.MANUFACTURING_STARTED, 5, Decision.APPLY),  # taken before the hold was known
        (S.MANUFACTURING_STARTED, 4, Decision.APPLY),
        (S.MANUFACTURING_STARTED, 6, Decision.DEFER),  # taken after the hold: its end is still to arrive
        (S.MANUFACTURING_STARTED, None, Decision.SKIP),
        (S.PACKAGING, 5, Decision.SKIP),
        (None, 5, Decision.SKIP),
    ],
)
def test_production_of_an_order_on_hold(
    held_from: OrderStatus | None, revision: int | None, decision: Decision
) -> None:
    completed = event_for(Step.COMPLETE, revision)
    assert decide(S.ON_HOLD, 5, None, completed, held_from) is decision
    assert crosses(S.ON_HOLD, held_from, 5, completed) is (decision is Decision.APPLY)


def test_an_event_without_a_step_or_without_a_revision_crosses_nothing() -> None:
    assert not crosses(S.ON_HOLD, S.PACKAGING, 5, PRICED)
    initiated = next(event for event in examples.EVENTS if type(event).__name__ == "OrderInitiated")
    assert not crosses(S.ON_HOLD, S.PACKAGING, 5, initiated.model_copy(update={"revision": 1}))
    assert not crosses(S.ON_HOLD, S.PACKAGING, 5, REQUESTED)


def test_a_price_for_another_status_is_superseded() -> None:
    assert decide(S.QUOTE_EXPIRED, 5, examples.QUOTE, PRICED) is Decision.SKIP
    assert decide(S.SUBMITTED, 5, LATER_QUOTE, PRICED) is Decision.SKIP


def test_the_next_step_is_that_of_an_event_that_applies() -> None:
    assert next_step(S.PRICE_CALCULATED, 5, None, event_for(Step.APPROVE, 6)) is Step.APPROVE
    assert next_step(S.SUBMITTED, 5, examples.QUOTE, PRICED) is Step.PRICE
    assert next_step(S.ON_HOLD, 5, None, event_for(Step.SHIP, 5), S.PACKAGING) is Step.SHIP


def test_a_superseded_event_means_no_step() -> None:
    assert next_step(S.SUBMITTED, 5, None, event_for(Step.APPROVE, 5)) is None
    assert next_step(S.ON_HOLD, 5, None, event_for(Step.SHIP, 5)) is None


def test_an_early_event_is_an_error_that_names_it() -> None:
    with pytest.raises(PredecessorMissing) as caught:
        next_step(S.PRICE_CALCULATED, 5, None, event_for(Step.APPROVE, 7))
    assert str(caught.value) == (
        f"facet.OrderApproved.v1 of {examples.ORDER} builds on an event that is not applied yet"
    )


def test_the_order_of_an_event() -> None:
    assert order_id_of(event_for(Step.SHIP, 1)) == examples.ORDER
    assert order_id_of(PRICED) == examples.ORDER
    assert order_id_of(PRICED.model_copy(update={"order_id": None})) is None
    assert order_id_of(REQUESTED) is None  # a request to pricing is no event of an order


def test_the_actor_and_the_revision_of_an_event() -> None:
    assert actor_and_revision(event_for(Step.SHIP, 8)) == (examples.ORDER_FIELDS["by"], 8)
    assert actor_and_revision(event_for(Step.SHIP, None)) == (examples.ORDER_FIELDS["by"], None)
    assert actor_and_revision(PRICED) == ("pricing", None)
