"""The order's state machine: no step leaves the graph, and an illegal step names the legal ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from data.contracts.lifecycle import (
    FINAL,
    GRAPH,
    Actor,
    IllegalStep,
    OrderStatus,
    Step,
    advance,
    is_allowed,
    legal_steps,
)

S = OrderStatus


class Walk(RuleBasedStateMachine):
    """Any steps in any order: legal ones follow an edge, others change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.status = S.INITIATED
        self.held_from: OrderStatus | None = None

    @rule(step=st.sampled_from(Step), actor=st.one_of(st.none(), st.sampled_from(Actor)))
    def step(self, step: Step, actor: Actor | None) -> None:
        before = self.status
        legal = legal_steps(before, actor)
        if step not in legal:
            with pytest.raises(IllegalStep) as refused:
                advance(before, step, actor, self.held_from)
            assert list(refused.value.legal) == legal
            return
        after = advance(before, step, actor, self.held_from)
        assert after in GRAPH[before, step]
        assert actor is None or is_allowed(before, step, actor)
        if step is Step.RESUME:
            assert after is self.held_from
        self.held_from = before if step is Step.HOLD else None
        self.status = after

    @invariant()
    def held_orders_store_their_former_status(self) -> None:
        assert (self.status is S.ON_HOLD) == (self.held_from is not None)


TestWalk = Walk.TestCase


def test_an_order_passes_from_upload_to_closed() -> None:
    status = S.INITIATED
    statuses = [status]
    for step in ("upload", "submit", "price", "approve", "claim", "complete", "package", "ship", "close"):
        status = advance(status, Step(step))
        statuses.append(status)
    assert statuses == [
        "INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED",
        "MANUFACTURING_STARTED", "MANUFACTURING_COMPLETED", "PACKAGING", "SHIPPED", "CLOSED",
    ]  # fmt: skip


@given(st.sampled_from(sorted(FINAL)), st.sampled_from(Step))
def test_a_final_status_has_no_legal_step(status: OrderStatus, step: Step) -> None:
    with pytest.raises(IllegalStep) as refused:
        advance(status, step)
    assert refused.value.legal == ()


def test_every_status_that_is_not_final_has_a_step() -> None:
    assert {status for status, _ in GRAPH} == set(OrderStatus) - FINAL


def test_an_illegal_step_names_the_legal_ones() -> None:
    with pytest.raises(IllegalStep, match="SHIPPED can't take the step cancel; legal steps: close"):
        advance(S.SHIPPED, Step.CANCEL)


@pytest.mark.parametrize(
    ("status", "step", "may", "may_not"),
    [
        (S.PRICE_CALCULATED, Step.APPROVE, Actor.SELLER, Actor.CUSTOMER),
        (S.MANUFACTURING_APPROVED, Step.CLAIM, Actor.OPERATOR, Actor.ADMIN),
        (S.MANUFACTURING_APPROVED, Step.CANCEL, Actor.CUSTOMER, Actor.OPERATOR),
        (S.MANUFACTURING_STARTED, Step.CANCEL, Actor.SELLER, Actor.CUSTOMER),
        (S.SUBMITTED, Step.REJECT, Actor.PRICING, Actor.SELLER),
        (S.SUBMITTED, Step.PRICE, Actor.PRICING, Actor.SELLER),
        (S.REVIEW_REQUIRED, Step.RELEASE, Actor.SELLER, Actor.OPERATOR),
    ],
)
def test_only_permitted_actors_may_take_a_step(status: OrderStatus, step: Step, may: Actor, may_not: Actor) -> None:
    advance(status, step, may)
    with pytest.raises(IllegalStep):
        advance(status, step, may_not)


def test_an_order_on_hold_resumes_to_its_former_status() -> None:
    held = advance(S.PACKAGING, Step.HOLD, Actor.OPERATOR)
    assert advance(held, Step.RESUME, Actor.OPERATOR, held_from=S.PACKAGING) is S.PACKAGING
    with pytest.raises(IllegalStep):
        advance(held, Step.RESUME, Actor.OPERATOR)
    with pytest.raises(IllegalStep):
        advance(held, Step.RESUME, Actor.OPERATOR, held_from=S.SHIPPED)
