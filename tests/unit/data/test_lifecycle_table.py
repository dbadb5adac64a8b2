"""The lifecycle against its table: every status, step and actor, and every crossing of a hold."""

from __future__ import annotations

import itertools
from typing import cast

import pytest

from data.contracts import lifecycle
from data.contracts.lifecycle import (
    FINAL,
    GRAPH,
    Actor,
    IllegalStep,
    OrderStatus,
    Step,
    advance,
    crosses_hold,
    is_allowed,
    legal_steps,
    move,
)

# status, step, status after the step, actors
TABLE = """
INITIATED               upload          FILE_UPLOADED            customer partner
INITIATED               cancel          CANCELLED                customer partner seller admin
FILE_UPLOADED           upload          FILE_UPLOADED            customer partner
FILE_UPLOADED           submit          SUBMITTED                customer partner
FILE_UPLOADED           cancel          CANCELLED                customer partner seller admin
SUBMITTED               price           PRICE_CALCULATED         pricing
SUBMITTED               require_review  REVIEW_REQUIRED          pricing
SUBMITTED               reject          REJECTED                 pricing
SUBMITTED               fail_price      PRICE_FAILED             pricing timer
SUBMITTED               cancel          CANCELLED                customer partner seller admin
PRICE_CALCULATED        approve         MANUFACTURING_APPROVED   seller admin
PRICE_CALCULATED        reject          REJECTED                 seller admin
PRICE_CALCULATED        expire          QUOTE_EXPIRED            timer
PRICE_CALCULATED        hold            ON_HOLD                  operator seller admin
PRICE_CALCULATED        cancel          CANCELLED                customer partner seller admin
REVIEW_REQUIRED         release         PRICE_CALCULATED         seller admin
REVIEW_REQUIRED         reject          REJECTED                 seller admin
REVIEW_REQUIRED         expire          QUOTE_EXPIRED            timer
REVIEW_REQUIRED         hold            ON_HOLD                  operator seller admin
REVIEW_REQUIRED         cancel          CANCELLED                customer partner seller admin
PRICE_FAILED            submit          SUBMITTED                customer partner
PRICE_FAILED            price           PRICE_CALCULATED         pricing
PRICE_FAILED            require_review  REVIEW_REQUIRED          pricing
PRICE_FAILED            reject          REJECTED                 seller admin
PRICE_FAILED            cancel          CANCELLED                customer partner seller admin
QUOTE_EXPIRED           submit          SUBMITTED                customer partner
QUOTE_EXPIRED           cancel          CANCELLED                customer partner seller admin
MANUFACTURING_APPROVED  claim           MANUFACTURING_STARTED    operator
MANUFACTURING_APPROVED  hold            ON_HOLD                  operator seller admin
MANUFACTURING_APPROVED  cancel          CANCELLED                customer partner seller admin
MANUFACTURING_STARTED   complete        MANUFACTURING_COMPLETED  operator admin
MANUFACTURING_STARTED   rework          REWORK                   operator seller admin
MANUFACTURING_STARTED   hold            ON_HOLD                  operator seller admin
MANUFACTURING_STARTED   cancel          CANCELLED                seller admin
MANUFACTURING_COMPLETED package         PACKAGING                operator admin
MANUFACTURING_COMPLETED rework          REWORK                   operator seller admin
MANUFACTURING_COMPLETED hold            ON_HOLD                  operator seller admin
MANUFACTURING_COMPLETED cancel          CANCELLED                seller admin
PACKAGING               ship            SHIPPED                  operator admin
PACKAGING               rework          REWORK                   operator seller admin
PACKAGING               hold            ON_HOLD                  operator seller admin
PACKAGING               cancel          CANCELLED                seller admin
REWORK                  claim           MANUFACTURING_STARTED    operator
REWORK                  hold            ON_HOLD                  operator seller admin
REWORK                  cancel          CANCELLED                seller admin
ON_HOLD                 resume          *                        operator seller admin
ON_HOLD                 cancel          CANCELLED                seller admin
SHIPPED                 close           CLOSED                   seller admin
"""

S = OrderStatus
ROWS = {
    (OrderStatus(status), Step(step)): (after, actors)
    for status, step, after, *actors in map(str.split, TABLE.strip().splitlines())
}
HOLDABLE = frozenset(status for status, step in ROWS if step is Step.HOLD)
TARGETS = {key: HOLDABLE if after == "*" else frozenset({OrderStatus(after)}) for key, (after, _) in ROWS.items()}
ACTORS = {key: frozenset(map(Actor, actors)) for key, (_, actors) in ROWS.items()}
ALL_STEPS = list(itertools.product(OrderStatus, Step))
PRODUCTION = (Step.CLAIM, Step.COMPLETE, Step.PACKAGE, Step.SHIP, Step.REWORK)


def steps_of(status: OrderStatus, actor: Actor | None) -> list[Step]:
    return sorted(
        step for source, step in ROWS if source is status and (actor is None or actor in ACTORS[source, step])
    )


def after(status: OrderStatus, step: Step, actor: Actor | None, held_from: OrderStatus | None) -> OrderStatus | None:
    """Return the status after a step by the table, None if it is illegal."""
    targets = TARGETS.get((status, step), frozenset())
    if actor is not None and actor not in ACTORS.get((status, step), ()):
        return None
    if step is Step.RESUME:
        return held_from if held_from in targets else None
    return next(iter(targets), None)


def test_the_graph_is_the_table() -> None:
    assert GRAPH == TARGETS
    assert lifecycle._transitions() == TARGETS  # read again: the one above was read when the module was imported


def test_a_resumed_order_has_the_status_of_any_order_that_can_be_held() -> None:
    assert {status.name for status in HOLDABLE} == {
        "PRICE_CALCULATED", "REVIEW_REQUIRED", "MANUFACTURING_APPROVED", "MANUFACTURING_STARTED",
        "MANUFACTURING_COMPLETED", "PACKAGING", "REWORK",
    }  # fmt: skip
    assert {status.name for status in FINAL} == {"CLOSED", "REJECTED", "CANCELLED"}


def test_actors_are_those_of_the_table() -> None:
    for (status, step), actor in itertools.product(ALL_STEPS, Actor):
        assert is_allowed(status, step, actor) is (actor in ACTORS.get((status, step), ())), (status, step, actor)


@pytest.mark.parametrize("actor", [None, *Actor])
def test_legal_steps_are_those_of_the_table_in_alphabetical_order(actor: Actor | None) -> None:
    for status in OrderStatus:
        assert legal_steps(status, actor) == steps_of(status, actor)
    assert legal_steps(S.SUBMITTED) == ["cancel", "fail_price", "price", "reject", "require_review"]


@pytest.mark.parametrize("actor", [None, *Actor])
@pytest.mark.parametrize("held_from", [None, S.PACKAGING, S.SHIPPED])
def test_a_step_leads_to_the_status_of_the_table_or_is_illegal(
    actor: Actor | None, held_from: OrderStatus | None
) -> None:
    for status, step in ALL_STEPS:
        expected = after(status, step, actor, held_from)
        if expected is not None:
            assert advance(status, step, actor, held_from) is expected
            continue
        with pytest.raises(IllegalStep) as caught:
            advance(status, step, actor, held_from)
        assert (caught.value.status, caught.value.step) == (status, step)
        assert caught.value.legal == tuple(steps_of(status, actor))


def test_a_status_may_be_the_text_of_a_stored_row() -> None:
    assert advance(cast("OrderStatus", "PACKAGING"), Step.SHIP) is S.SHIPPED
    with pytest.raises(ValueError, match="LOST"):
        advance(cast("OrderStatus", "LOST"), Step.SHIP)


def test_an_illegal_step_is_described_with_the_legal_ones_sorted() -> None:
    error = IllegalStep(S.PACKAGING, Step.CLOSE, [Step.SHIP, Step.HOLD])
    assert (error.status, error.step, error.legal) == (S.PACKAGING, Step.CLOSE, (Step.HOLD, Step.SHIP))
    assert str(error) == "an order that is PACKAGING can't take the step close; legal steps: hold, ship"
    final = IllegalStep(S.CLOSED, Step.CANCEL, ())
    assert str(final) == "an order that is CLOSED can't take the step cancel; legal steps: none"


def test_only_production_crosses_a_hold() -> None:
    for (status, step), held_from in itertools.product(ALL_STEPS, [None, *OrderStatus]):
        crossed = status is S.ON_HOLD and step in PRODUCTION and (held_from, step) in ROWS
        assert crosses_hold(status, held_from, step) is crossed, (status, held_from, step)


@pytest.mark.parametrize("actor", [None, Actor.OPERATOR, Actor.SELLER])
def test_a_move_has_the_status_of_the_table_and_the_one_to_resume_to(actor: Actor | None) -> None:
    for (status, step), held_from in itertools.product(ALL_STEPS, [None, *OrderStatus]):
        if held_from is not None and actor is None and crosses_hold(status, held_from, step):
            continue
        expected = after(status, step, actor, held_from)
        if expected is None:
            with pytest.raises(IllegalStep):
                move(status, held_from, step, actor)
        else:
            assert move(status, held_from, step, actor) == (expected, status if step is Step.HOLD else None)


@pytest.mark.parametrize(
    ("held_from", "step", "expected"),
    [
        (S.MANUFACTURING_APPROVED, Step.CLAIM, (S.ON_HOLD, S.MANUFACTURING_STARTED)),
        (S.MANUFACTURING_STARTED, Step.COMPLETE, (S.ON_HOLD, S.MANUFACTURING_COMPLETED)),
        (S.MANUFACTURING_STARTED, Step.REWORK, (S.ON_HOLD, S.REWORK)),
        (S.MANUFACTURING_COMPLETED, Step.PACKAGE, (S.ON_HOLD, S.PACKAGING)),
        (S.REWORK, Step.CLAIM, (S.ON_HOLD, S.MANUFACTURING_STARTED)),
        (S.PACKAGING, Step.SHIP, (S.SHIPPED, None)),  # a shipped order can't be on hold
    ],
)
def test_production_that_crossed_a_hold_moves_the_status_to_resume_to(
    held_from: OrderStatus, step: Step, expected: tuple[OrderStatus, OrderStatus | None]
) -> None:
    assert move(S.ON_HOLD, held_from, step) == expected
    with pytest.raises(IllegalStep):  # nothing crosses in the service that takes the step itself
        move(S.ON_HOLD, held_from, step, Actor.OPERATOR)
