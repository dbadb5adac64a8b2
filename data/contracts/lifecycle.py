"""The lifecycle of an order: its statuses, the steps between them, and the actors that may take each.

The graph is declared once, with python-statemachine, which rejects a graph with unreachable or dead-end statuses when
this module is imported. An order itself is a row in a database, so the graph is then read into a plain table: a query
costs a dictionary look-up and needs no object per order.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from statemachine import StateMachine
from statemachine.states import States


class OrderStatus(StrEnum):
    """The status of an order."""

    INITIATED = "INITIATED"
    FILE_UPLOADED = "FILE_UPLOADED"
    SUBMITTED = "SUBMITTED"
    PRICE_CALCULATED = "PRICE_CALCULATED"
    REVIEW_REQUIRED = "REVIEW_REQUIRED"
    PRICE_FAILED = "PRICE_FAILED"
    QUOTE_EXPIRED = "QUOTE_EXPIRED"
    MANUFACTURING_APPROVED = "MANUFACTURING_APPROVED"
    MANUFACTURING_STARTED = "MANUFACTURING_STARTED"
    MANUFACTURING_COMPLETED = "MANUFACTURING_COMPLETED"
    PACKAGING = "PACKAGING"
    REWORK = "REWORK"
    ON_HOLD = "ON_HOLD"
    SHIPPED = "SHIPPED"
    CLOSED = "CLOSED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Step(StrEnum):
    """A transition of an order's status."""

    UPLOAD = "upload"
    SUBMIT = "submit"
    PRICE = "price"
    REQUIRE_REVIEW = "require_review"
    FAIL_PRICE = "fail_price"
    RELEASE = "release"
    EXPIRE = "expire"
    APPROVE = "approve"
    REJECT = "reject"
    CLAIM = "claim"
    COMPLETE = "complete"
    PACKAGE = "package"
    SHIP = "ship"
    REWORK = "rework"
    HOLD = "hold"
    RESUME = "resume"
    CLOSE = "close"
    CANCEL = "cancel"


class Actor(StrEnum):
    """The actor of a step: a person's role, or a service that acts automatically."""

    CUSTOMER = "customer"
    PARTNER = "partner"
    SELLER = "seller"
    OPERATOR = "operator"
    ADMIN = "admin"
    PRICING = "pricing"
    TIMER = "timer"


S = OrderStatus
FINAL = frozenset({S.CLOSED, S.REJECTED, S.CANCELLED})
_HOLDABLE = (
    S.PRICE_CALCULATED,
    S.REVIEW_REQUIRED,
    S.MANUFACTURING_APPROVED,
    S.MANUFACTURING_STARTED,
    S.MANUFACTURING_COMPLETED,
    S.PACKAGING,
    S.REWORK,
)
_CANCELLABLE = (
    S.INITIATED,
    S.FILE_UPLOADED,
    S.SUBMITTED,
    S.PRICE_CALCULATED,
    S.REVIEW_REQUIRED,
    S.PRICE_FAILED,
    S.QUOTE_EXPIRED,
    S.MANUFACTURING_APPROVED,
)
# Production has started: only sellers and administrators may cancel.
_STOPPABLE = (S.MANUFACTURING_STARTED, S.MANUFACTURING_COMPLETED, S.PACKAGING, S.REWORK, S.ON_HOLD)


_ = States.from_enum(OrderStatus, initial=S.INITIATED, final=FINAL)


class Lifecycle(StateMachine):
    """The graph. A customer's cancellation may cross a step in another service; then the cancellation prevails."""

    statuses = _

    upload = _.INITIATED.to(_.FILE_UPLOADED) | _.FILE_UPLOADED.to.itself()
    submit = _.FILE_UPLOADED.to(_.SUBMITTED) | _.PRICE_FAILED.to(_.SUBMITTED) | _.QUOTE_EXPIRED.to(_.SUBMITTED)
    # A price that arrives after PricingOverdue is still valid.
    price = _.SUBMITTED.to(_.PRICE_CALCULATED) | _.PRICE_FAILED.to(_.PRICE_CALCULATED)
    require_review = _.SUBMITTED.to(_.REVIEW_REQUIRED) | _.PRICE_FAILED.to(_.REVIEW_REQUIRED)
    fail_price = _.SUBMITTED.to(_.PRICE_FAILED)
    release = _.REVIEW_REQUIRED.to(_.PRICE_CALCULATED)
    expire = _.PRICE_CALCULATED.to(_.QUOTE_EXPIRED) | _.REVIEW_REQUIRED.to(_.QUOTE_EXPIRED)
    approve = _.PRICE_CALCULATED.to(_.MANUFACTURING_APPROVED)
    reject = (
        _.SUBMITTED.to(_.REJECTED)
        | _.PRICE_CALCULATED.to(_.REJECTED)
        | _.REVIEW_REQUIRED.to(_.REJECTED)
        | _.PRICE_FAILED.to(_.REJECTED)
    )
    claim = _.MANUFACTURING_APPROVED.to(_.MANUFACTURING_STARTED) | _.REWORK.to(_.MANUFACTURING_STARTED)
    complete = _.MANUFACTURING_STARTED.to(_.MANUFACTURING_COMPLETED)
    package = _.MANUFACTURING_COMPLETED.to(_.PACKAGING)
    ship = _.PACKAGING.to(_.SHIPPED)
    rework = _.MANUFACTURING_STARTED.to(_.REWORK) | _.MANUFACTURING_COMPLETED.to(_.REWORK) | _.PACKAGING.to(_.REWORK)
    hold = _.ON_HOLD.from_(*(getattr(_, status.name) for status in _HOLDABLE))
    resume = _.ON_HOLD.to(*(getattr(_, status.name) for status in _HOLDABLE))
    close = _.SHIPPED.to(_.CLOSED)
    cancel = _.CANCELLED.from_(*(getattr(_, status.name) for status in (*_CANCELLABLE, *_STOPPABLE)))


_ACTORS: dict[Step, frozenset[Actor]] = {
    Step.UPLOAD: frozenset({Actor.CUSTOMER, Actor.PARTNER}),
    Step.SUBMIT: frozenset({Actor.CUSTOMER, Actor.PARTNER}),
    Step.PRICE: frozenset({Actor.PRICING}),
    Step.REQUIRE_REVIEW: frozenset({Actor.PRICING}),
    Step.FAIL_PRICE: frozenset({Actor.PRICING, Actor.TIMER}),
    Step.RELEASE: frozenset({Actor.SELLER, Actor.ADMIN}),
    Step.EXPIRE: frozenset({Actor.TIMER}),
    Step.APPROVE: frozenset({Actor.SELLER, Actor.ADMIN}),
    Step.REJECT: frozenset({Actor.SELLER, Actor.ADMIN}),
    Step.CLAIM: frozenset({Actor.OPERATOR}),
    Step.COMPLETE: frozenset({Actor.OPERATOR, Actor.ADMIN}),
    Step.PACKAGE: frozenset({Actor.OPERATOR, Actor.ADMIN}),
    Step.SHIP: frozenset({Actor.OPERATOR, Actor.ADMIN}),
    Step.REWORK: frozenset({Actor.OPERATOR, Actor.SELLER, Actor.ADMIN}),
    Step.HOLD: frozenset({Actor.OPERATOR, Actor.SELLER, Actor.ADMIN}),
    Step.RESUME: frozenset({Actor.OPERATOR, Actor.SELLER, Actor.ADMIN}),
    Step.CLOSE: frozenset({Actor.SELLER, Actor.ADMIN}),
    Step.CANCEL: frozenset({Actor.CUSTOMER, Actor.PARTNER, Actor.SELLER, Actor.ADMIN}),
}


def _transitions() -> dict[tuple[OrderStatus, Step], frozenset[OrderStatus]]:
    table: dict[tuple[OrderStatus, Step], set[OrderStatus]] = {}
    for state in Lifecycle.states:
        for transition in state.transitions:
            for event in transition.events:
                for target in transition.targets:
                    key = (OrderStatus[state.id], Step(str(event)))
                    table.setdefault(key, set()).add(OrderStatus[target.id])
    return {key: frozenset(targets) for key, targets in table.items()}


GRAPH = _transitions()
"""(status, step) -> the statuses that the step may lead to: one, but for ``resume``."""


class IllegalStep(Exception):
    """A step that the order's status does not allow, or not to this actor. ``legal``: the allowed steps."""

    def __init__(self, status: OrderStatus, step: Step, legal: Iterable[Step]) -> None:
        self.status, self.step, self.legal = status, step, tuple(sorted(legal))
        names = ", ".join(self.legal) or "none"
        super().__init__(f"an order that is {status} can't take the step {step}; legal steps: {names}")


def is_allowed(status: OrderStatus, step: Step, actor: Actor) -> bool:
    """Return whether ``actor`` may take ``step`` from ``status``."""
    if (status, step) not in GRAPH:
        return False
    if step is Step.CANCEL and status in _STOPPABLE:
        return actor in (Actor.SELLER, Actor.ADMIN)
    if step is Step.REJECT and status is S.SUBMITTED:
        return actor is Actor.PRICING
    return actor in _ACTORS[step]


def legal_steps(status: OrderStatus, actor: Actor | None = None) -> list[Step]:
    """Return the steps from ``status``, of all actors or of one, in alphabetical order."""
    steps = (step for source, step in GRAPH if source is status)
    return sorted(step for step in steps if actor is None or is_allowed(status, step, actor))


def advance(
    status: OrderStatus, step: Step, actor: Actor | None = None, held_from: OrderStatus | None = None
) -> OrderStatus:
    """Return the status after ``step``; raises IllegalStep, which names the legal ones.

    ``actor``: None if the step is a fact reported by the service that owns it. ``held_from``: the status of an order
    before its hold, and the only one it resumes to.
    """
    status = OrderStatus(status)
    targets = GRAPH.get((status, step), frozenset())
    if step is Step.RESUME:
        targets &= {held_from} if held_from else frozenset()
    if len(targets) != 1 or (actor is not None and not is_allowed(status, step, actor)):
        raise IllegalStep(status, step, legal_steps(status, actor))
    return next(iter(targets))


PRODUCTION_STEPS = frozenset({Step.CLAIM, Step.COMPLETE, Step.PACKAGE, Step.SHIP, Step.REWORK})


def crosses_hold(status: OrderStatus, held_from: OrderStatus | None, step: Step) -> bool:
    """Return whether ``step`` is a production step that was taken while another service put the order on hold."""
    return status is S.ON_HOLD and step in PRODUCTION_STEPS and held_from is not None and (held_from, step) in GRAPH


def move(
    status: OrderStatus, held_from: OrderStatus | None, step: Step, actor: Actor | None = None
) -> tuple[OrderStatus, OrderStatus | None]:
    """Return the status after ``step``, and the status to which an order on hold resumes; raises IllegalStep.

    A production step that crossed a hold changes the status that the order resumes to, and ends the hold of a shipped
    order.
    """
    if actor is None and held_from is not None and crosses_hold(status, held_from, step):
        after = advance(held_from, step)
        return (S.ON_HOLD, after) if (after, Step.HOLD) in GRAPH else (after, None)
    return advance(status, step, actor, held_from), status if step is Step.HOLD else None
