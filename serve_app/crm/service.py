"""What sellers do with orders: notes, and steps with their rules."""

from __future__ import annotations

from collections.abc import Callable

from data.contracts.crm import (
    CrmEvent,
    OrderApproved,
    OrderClosed,
    OrderHeld,
    OrderRejected,
    OrderReleased,
    OrderResumed,
    OrderWithdrawn,
)
from data.contracts.lifecycle import Step
from data.crm import repository
from data.crm.repository import CrmOrderRow
from data.kit.database import Connection
from serve_app.kit.order_steps import StepFields, StepRequest, lock_order, take_step
from serve_app.kit.principal import Role


async def annotate(connection: Connection, request: StepRequest, note: str | None) -> CrmOrderRow:
    """Replace the note on an order; raises a 404, StaleVersion."""
    order = await lock_order(connection, repository.lock, request)
    return await repository.annotate(connection, order, note)


async def release(connection: Connection, request: StepRequest) -> CrmOrderRow:
    """Confirm the price of an order under review."""
    return await _take(
        connection,
        request,
        Step.RELEASE,
        lambda before, fields: OrderReleased.model_validate({**fields, "quote_id": before.quote_id}),
    )


async def approve(connection: Connection, request: StepRequest) -> CrmOrderRow:
    """Approve an order for manufacturing; the event contains all that the MES needs."""
    return await _take(
        connection,
        request,
        Step.APPROVE,
        lambda before, fields: OrderApproved.model_validate({**before.model_dump(), **fields}),
    )


async def reject(connection: Connection, request: StepRequest, reason: str) -> CrmOrderRow:
    """Reject an order for good."""
    return await _take(connection, request, Step.REJECT, lambda _, fields: OrderRejected(**fields, reason=reason))


async def close(connection: Connection, request: StepRequest) -> CrmOrderRow:
    """Close an order that was shipped."""
    return await _take(connection, request, Step.CLOSE, lambda _, fields: OrderClosed(**fields))


async def cancel(connection: Connection, request: StepRequest, reason: str) -> CrmOrderRow:
    """Cancel an order for the customer, also during production."""
    return await _take(connection, request, Step.CANCEL, lambda _, fields: OrderWithdrawn(**fields, reason=reason))


async def hold(connection: Connection, request: StepRequest, reason: str) -> CrmOrderRow:
    """Put an order on hold."""
    return await _take(
        connection,
        request,
        Step.HOLD,
        lambda before, fields: OrderHeld(**fields, reason=reason, held_from=before.status),
    )


async def resume(connection: Connection, request: StepRequest) -> CrmOrderRow:
    """Return an order on hold to the status that it had before."""
    return await _take(
        connection,
        request,
        Step.RESUME,
        lambda before, fields: OrderResumed.model_validate({**fields, "held_from": before.held_from}),
    )


async def _take(
    connection: Connection,
    request: StepRequest,
    step: Step,
    event_of: Callable[[CrmOrderRow, StepFields], CrmEvent],
) -> CrmOrderRow:
    """Take a step; ``event_of`` returns its event from the order before the step."""
    before = await lock_order(connection, repository.lock, request)
    return await take_step(
        connection,
        repository.move,
        before,
        step,
        request.principal,
        (Role.SELLER,),
        lambda _, fields: event_of(before, fields),
    )
