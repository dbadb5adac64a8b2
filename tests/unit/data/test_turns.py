"""Whose turn it is: events of other services are taken in the order in which they happened, however they arrive."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance
from data.contracts.registry import EVENTS
from data.contracts.turns import Decision, decide
from tests.unit.data.examples import EVENTS as EXAMPLES
from tests.unit.data.examples import QUOTE

S = OrderStatus
BY_TYPE = {type(event).__name__: event for event in EXAMPLES}
OF_ORDERS = {
    EVENTS[event.event_type()].step: event
    for event in EXAMPLES
    if isinstance(event, OrderEvent) and EVENTS[event.event_type()].step is not None
}
BEFORE, AFTER = UUID(int=QUOTE.int - 1), UUID(int=QUOTE.int + 1)


def told(step: Step, revision: int | None) -> EventData:
    return OF_ORDERS[step].model_copy(update={"revision": revision})


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Step, OrderStatus]]:
    """A walk through the graph by steps that events of orders tell: each step with the status before it."""
    status, held_from, walk = draw(st.sampled_from([S.PRICE_CALCULATED, S.REVIEW_REQUIRED])), None, []
    for _ in range(draw(st.integers(1, 12))):
        steps = sorted(step for known, step in GRAPH if known is status and step in OF_ORDERS)
        if not steps:
            break
        step = draw(st.sampled_from(steps))
        before, status = status, advance(status, step, None, held_from)
        held_from = before if step is Step.HOLD else None
        walk.append((step, before))
    return walk


@settings(deadline=None)
@given(lives(), st.randoms(use_true_random=False), st.integers(0, 5))
def test_steps_are_taken_in_their_order_whatever_the_order_of_arrival(
    life: list[tuple[Step, OrderStatus]], random: Random, begin: int
) -> None:
    waiting = [(begin + n, step) for n, (step, _) in enumerate(life, 1)]
    random.shuffle(waiting)
    status, revision, held_from, taken = life[0][1], begin, None, []
    while waiting:
        told_now = [(n, step) for n, step in waiting if decide(status, revision, None, told(step, n)) is Decision.APPLY]
        assert len(told_now) == 1, f"{status}: {waiting}"  # the next one and no other
        assert not [
            step
            for n, step in waiting
            if status not in FINAL and decide(status, revision, None, told(step, n)) is Decision.SKIP
        ]
        (revision, step) = told_now[0]
        before, status = status, advance(status, step, None, held_from)
        held_from = before if step is Step.HOLD else None
        taken.append(step)
        waiting.remove((revision, step))
    assert taken == [step for step, _ in life]


@pytest.mark.parametrize("name", ["QuotePriced", "QuoteNeedsReview", "QuoteRejected", "QuoteFailed"])
@pytest.mark.parametrize(
    ("status", "quote_id", "decision"),
    [
        (S.FILE_UPLOADED, None, Decision.DEFER),  # the submission that it answers has not come
        (S.SUBMITTED, BEFORE, Decision.DEFER),  # nor this one's, which is a second
        (S.SUBMITTED, QUOTE, Decision.APPLY),
        (S.SUBMITTED, AFTER, Decision.SKIP),  # submitted again meanwhile
        (S.MANUFACTURING_APPROVED, QUOTE, Decision.SKIP),
        (S.CANCELLED, None, Decision.SKIP),
        (S.CANCELLED, BEFORE, Decision.SKIP),
    ],
)
def test_an_answer_of_pricing_is_for_its_submission(
    name: str, status: OrderStatus, quote_id: UUID | None, decision: Decision
) -> None:
    assert decide(status, 3, quote_id, BY_TYPE[name]) is decision


def test_a_price_that_comes_after_the_timer_gave_it_up_is_taken() -> None:
    assert decide(S.PRICE_FAILED, 4, QUOTE, BY_TYPE["QuotePriced"]) is Decision.APPLY
    assert decide(S.PRICE_FAILED, 4, QUOTE, BY_TYPE["QuoteFailed"]) is Decision.SKIP


@pytest.mark.parametrize("name", ["OrderInitiated", "QuoteRequested", "QuoteWithdrawn", "QuoteCancelled"])
@pytest.mark.parametrize("status", list(OrderStatus))
def test_what_is_no_step_is_left(name: str, status: OrderStatus) -> None:
    assert decide(status, 1, QUOTE, BY_TYPE[name]) is Decision.SKIP


@pytest.mark.parametrize("status", sorted(FINAL))
@pytest.mark.parametrize("step", sorted(OF_ORDERS))
def test_what_has_ended_stays_so(status: OrderStatus, step: Step) -> None:
    for revision in (None, 1, 5, 6, 99):
        assert decide(status, 5, QUOTE, told(step, revision)) is Decision.SKIP


def test_steps_that_crossed() -> None:
    # The customer cancelled while the seller approved: here the approval is known, and the cancellation holds.
    assert decide(S.MANUFACTURING_APPROVED, 5, QUOTE, told(Step.CANCEL, 5)) is Decision.APPLY
    # An old step that the order has left behind.
    assert decide(S.MANUFACTURING_STARTED, 6, QUOTE, told(Step.APPROVE, 5)) is Decision.SKIP
    # Without a revision there is nothing to wait for.
    assert decide(S.SUBMITTED, 3, QUOTE, told(Step.SHIP, None)) is Decision.SKIP
    assert decide(S.SUBMITTED, 3, QUOTE, told(Step.SHIP, 4)) is Decision.DEFER
