"""What operators do with orders on the board: claims and steps with their rules."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from data.contracts.lifecycle import Step
from data.contracts.mes import (
    ProductionCompleted,
    ProductionEvent,
    ProductionHeld,
    ProductionPackaged,
    ProductionResumed,
    ProductionShipped,
    ProductionStarted,
    ReworkOrdered,
)
from data.kit.database import Connection
from data.mes import repository
from data.mes.repository import MesTaskRow
from serve_app.kit.order_steps import StepFields, StepRequest, lock_order, take_step
from serve_app.kit.principal import Role
from serve_app.kit.problems import Problem


async def claim(connection: Connection, request: StepRequest) -> MesTaskRow:
    """Assign an order to the calling operator; raises IllegalStep if it is claimed or can't be, NotFound."""
    operator = request.principal
    if Role.OPERATOR not in operator.roles:
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "only an operator, who makes the order, may claim it")

    def started(task: MesTaskRow) -> ProductionStarted:
        return ProductionStarted(order_id=task.id, by=operator.id, revision=task.revision)

    return await repository.claim(connection, request.order_id, operator.id, make_event=started)


async def complete(connection: Connection, request: StepRequest) -> MesTaskRow:
    """Report that manufacturing is complete."""
    return await _take(connection, request, Step.COMPLETE, lambda _, fields: ProductionCompleted(**fields))


async def package(connection: Connection, request: StepRequest) -> MesTaskRow:
    """Report that packaging has started."""
    return await _take(connection, request, Step.PACKAGE, lambda _, fields: ProductionPackaged(**fields))


async def ship(connection: Connection, request: StepRequest, tracking: str | None) -> MesTaskRow:
    """Report that the order was shipped."""
    return await _take(
        connection,
        request,
        Step.SHIP,
        lambda _, fields: ProductionShipped(**fields, tracking=tracking),
        tracking=tracking,
    )


async def rework(connection: Connection, request: StepRequest, reason: str) -> MesTaskRow:
    """Return the order to the board, unclaimed, to be made again."""
    return await _take(
        connection, request, Step.REWORK, lambda _, fields: ReworkOrdered(**fields, reason=reason), reason=reason
    )


async def hold(connection: Connection, request: StepRequest, reason: str) -> MesTaskRow:
    """Put work on the order on hold."""
    return await _take(
        connection,
        request,
        Step.HOLD,
        lambda before, fields: ProductionHeld(**fields, reason=reason, held_from=before.status),
        reason=reason,
    )


async def resume(connection: Connection, request: StepRequest) -> MesTaskRow:
    """Return an order on hold to the status that it had before."""
    return await _take(
        connection,
        request,
        Step.RESUME,
        lambda before, fields: ProductionResumed.model_validate({**fields, "held_from": before.held_from}),
    )


async def _take(
    connection: Connection,
    request: StepRequest,
    step: Step,
    event_of: Callable[[MesTaskRow, StepFields], ProductionEvent],
    **changes: Any,
) -> MesTaskRow:
    """Take a step, unless another operator has claimed the order; ``event_of`` gets the task before the step."""
    before = await lock_order(connection, repository.lock, request)
    if before.claimed_by not in (None, request.principal.id) and Role.ADMIN not in request.principal.roles:
        raise Problem(HTTPStatus.CONFLICT, "claimed", "another operator has claimed this order")
    return await take_step(
        connection,
        repository.move,
        before,
        step,
        request.principal,
        (Role.OPERATOR,),
        lambda _, fields: event_of(before, fields),
        **changes,
    )
