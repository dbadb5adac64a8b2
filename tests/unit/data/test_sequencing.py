"""Sequencing: events of other services are applied in the order of their revisions, in whatever order they arrive."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contracts.common import OrderEvent
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance, move
from data.contracts.registry import EVENTS
from data.orders.sequencing import Decision, decide
from tests.support.event_examples import EVENTS as EXAMPLES
from tests.support.event_examples import QUOTE

S = OrderStatus
BY_TYPE = {type(event).__name__: event for event in EXAMPLES}
OF_ORDERS = {
    step: event
    for event in EXAMPLES
    if isinstance(event, OrderEvent) and (step := EVENTS[event.event_type()].step) is not None
}
BEFORE, AFTER = UUID(int=QUOTE.int - 1), UUID(int=QUOTE.int + 1)


def event_for(step: Step, revision: int | None) -> OrderEvent:
    return OF_ORDERS[step].model_copy(update={"revision": revision})


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Step, OrderStatus]]:
    """Draw a walk through the graph by steps of order events: each step with the status before it."""
    status, held_from, walk = draw(st.sampled_from([S.PRICE_CALCULATED, S.REVIEW_REQUIRED])), None, []
    for _ in range(draw(st.integers(1, 12))):
        steps = sorted(step for source, step in GRAPH if source is status and step in OF_ORDERS)
        if not steps:
            break
        step = draw(st.sampled_from(steps))
        before, status = status, advance(status, step, None, held_from)
        held_from = before if step is Step.HOLD else None
        walk.append((step, before))
    return walk


@settings(deadline=None)
@given(lives(), st.randoms(use_true_random=False), st.integers(0, 5))
def test_steps_are_applied_in_their_order_whatever_the_order_of_arrival(
    life: list[tuple[Step, OrderStatus]], random: Random, start: int
) -> None:
    waiting = [(start + n, step) for n, (step, _) in enumerate(life, 1)]
    random.shuffle(waiting)
    status, revision, held_from, applied = life[0][1], start, None, []
    while waiting:
        applicable = [
            (n, step) for n, step in waiting if decide(status, revision, None, event_for(step, n)) is Decision.APPLY
        ]
        assert len(applicable) == 1, f"{status}: {waiting}"  # the next one and no other
        assert not [
            step
            for n, step in waiting
            if status not in FINAL and decide(status, revision, None, event_for(step, n)) is Decision.SKIP
        ]
        (revision, step) = applicable[0]
        before, status = status, advance(status, step, None, held_from)
        held_from = before if step is Step.HOLD else None
        applied.append(step)
        waiting.remove((revision, step))
    assert applied == [step for step, _ in life]


@pytest.mark.parametrize("name", ["QuotePriced", "QuoteNeedsReview", "QuoteRejected", "QuoteFailed"])
@pytest.mark.parametrize(
    ("status", "quote_id", "decision"),
    [
        (S.FILE_UPLOADED, None, Decision.DEFER),  # the submission that it answers is not applied yet
        (S.SUBMITTED, BEFORE, Decision.DEFER),  # nor this one's, which is a second
        (S.SUBMITTED, QUOTE, Decision.APPLY),
        (S.SUBMITTED, AFTER, Decision.SKIP),  # submitted again meanwhile
        (S.MANUFACTURING_APPROVED, QUOTE, Decision.SKIP),
        (S.CANCELLED, None, Decision.SKIP),
        (S.CANCELLED, BEFORE, Decision.SKIP),
    ],
)
def test_an_outcome_of_pricing_applies_to_its_submission_only(
    name: str, status: OrderStatus, quote_id: UUID | None, decision: Decision
) -> None:
    assert decide(status, 3, quote_id, BY_TYPE[name]) is decision


def test_a_price_after_the_overdue_timer_is_applied() -> None:
    assert decide(S.PRICE_FAILED, 4, QUOTE, BY_TYPE["QuotePriced"]) is Decision.APPLY
    assert decide(S.PRICE_FAILED, 4, QUOTE, BY_TYPE["QuoteFailed"]) is Decision.SKIP


@pytest.mark.parametrize("name", ["OrderInitiated", "QuoteRequested", "QuoteWithdrawn", "QuoteCancelled"])
@pytest.mark.parametrize("status", list(OrderStatus))
def test_an_event_without_a_step_is_skipped(name: str, status: OrderStatus) -> None:
    assert decide(status, 1, QUOTE, BY_TYPE[name]) is Decision.SKIP


@pytest.mark.parametrize("status", sorted(FINAL))
@pytest.mark.parametrize("step", sorted(OF_ORDERS))
def test_a_final_status_never_changes(status: OrderStatus, step: Step) -> None:
    for revision in (None, 1, 5, 6, 99):
        assert decide(status, 5, QUOTE, event_for(step, revision)) is Decision.SKIP


def test_crossing_steps_are_applied_or_skipped() -> None:
    # The customer cancelled while the seller approved: after the approval the cancellation prevails.
    assert decide(S.MANUFACTURING_APPROVED, 5, QUOTE, event_for(Step.CANCEL, 5)) is Decision.APPLY
    # A superseded step.
    assert decide(S.MANUFACTURING_STARTED, 6, QUOTE, event_for(Step.APPROVE, 5)) is Decision.SKIP
    # Without a revision there is nothing to wait for.
    assert decide(S.SUBMITTED, 3, QUOTE, event_for(Step.SHIP, None)) is Decision.SKIP
    assert decide(S.SUBMITTED, 3, QUOTE, event_for(Step.SHIP, 4)) is Decision.DEFER


class Service:
    """An order in one service: it takes its own steps and applies those of others, early ones later."""

    def __init__(self, status: OrderStatus, revision: int) -> None:
        self.status, self.revision = status, revision
        self.held_from: OrderStatus | None = None
        self.parked: list[OrderEvent] = []

    def take(self, step: Step) -> OrderEvent:
        """Take a step of this service; return its event."""
        self.status, self.held_from = move(self.status, self.held_from, step)
        self.revision += 1
        return event_for(step, self.revision)

    def handle(self, *events: OrderEvent) -> None:
        """Apply events of other services, early ones after their predecessors."""
        self.parked += events
        while any(self._handled(event) for event in list(self.parked)):
            pass

    def _handled(self, event: OrderEvent) -> bool:
        decision = decide(self.status, self.revision, None, event, self.held_from)
        if decision is Decision.DEFER:
            return False
        self.parked.remove(event)
        if decision is Decision.APPLY:
            step = EVENTS[event.event_type()].step
            assert step is not None
            self.status, self.held_from = move(self.status, self.held_from, step)
            self.revision = max(self.revision + 1, event.revision or 0)
        return True


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.randoms(use_true_random=False))
def test_production_that_crosses_a_hold_leaves_services_consistent(before: int, crossing: int, random: Random) -> None:
    """The CRM puts an order on hold while the MES continues: all agree afterwards, and production continues."""
    production = [Step.CLAIM, Step.COMPLETE, Step.PACKAGE, Step.SHIP]
    crm, mes, shop = (Service(S.MANUFACTURING_APPROVED, 5) for _ in range(3))
    common = production[: min(before, 3)]
    for step in common:
        event = mes.take(step)
        crm.handle(event)
        shop.handle(event)
    held = crm.take(Step.HOLD)
    crossed = [mes.take(step) for step in production[len(common) : len(common) + crossing]]
    for event in crossed:
        crm.handle(event)
    mes.handle(held)
    arrivals = [[held], list(crossed)]  # each topic in its order
    while any(arrivals):
        shop.handle(random.choice([topic for topic in arrivals if topic]).pop(0))
    assert crm.status == mes.status == shop.status
    if crm.status is S.ON_HOLD:
        assert crm.held_from == mes.held_from == shop.held_from
        resumed = crm.take(Step.RESUME)
        mes.handle(resumed)
        shop.handle(resumed)
    applied = len(common) + len(crossed)
    for step in production[applied:]:
        event = mes.take(step)
        crm.handle(event)
        shop.handle(event)
    assert {service.status for service in (crm, mes, shop)} == {S.SHIPPED}
    assert not [service.parked for service in (crm, mes, shop) if service.parked]
