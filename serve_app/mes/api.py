"""The MES over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.lifecycle import OrderStatus, Step
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
from data.kit import outbox
from data.mes import repository
from data.mes.repository import MesTaskRow
from serve_app.kit.answers import IfMatchVersion, Page, PageParams, json_response, page_response
from serve_app.kit.app import build_service, database, no_resources, state
from serve_app.kit.authentication import RequireRole
from serve_app.kit.order_schemas import StepReason
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem, not_found
from serve_app.kit.texts import Text

routes = APIRouter(tags=["mes"])
Operator = Annotated[Principal, Depends(RequireRole(Role.OPERATOR))]


class MesOrder(BaseModel):
    """An order as operators see it."""

    order_id: UUID
    status: OrderStatus
    process: str
    material: str
    finish: str | None
    quantity: int
    priority: str
    unit: str
    model_sha256: str
    claimed_by: str | None
    claimed_at: AwareDatetime | None
    tracking: str | None
    reason: str | None
    created_at: AwareDatetime


class Shipment(BaseModel):
    """How to follow what was sent."""

    tracking: Text | None = Field(default=None, max_length=200)


@routes.get("/orders", response_model=Page[MesOrder])
async def board(
    request: Request, asked: PageParams, _who: Operator, status: Annotated[OrderStatus | None, Query()] = None
) -> Response:
    """The board: orders of one status or of all, newest first."""

    return await page_response(
        request,
        f"mes orders {status}",
        asked,
        lambda connection, place, limit: repository.board(connection, status, place, limit),
        kept=True,
    )


@routes.get("/orders/{order_id}", response_model=MesOrder)
async def order(request: Request, order_id: UUID, _who: Operator) -> Response:
    """An order on the board; its version is the ETag."""
    async with database(request).connection() as connection:
        found = await repository.get(connection, order_id)
    if found is None:
        raise not_found("order")
    return json_response(_to_body(found), version=found.version)


@routes.post("/orders/{order_id}/claim", response_model=MesOrder)
async def claim(request: Request, order_id: UUID, who: Operator) -> Response:
    """Take an order to make it: of any number who try, one gets it, and the others a 409."""
    if Role.OPERATOR not in who.roles:
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "only who makes an order may claim it: an operator")
    async with database(request).transaction() as connection:
        task = await repository.claim(connection, order_id, who.id)
        told = ProductionStarted(order_id=order_id, by=who.id, revision=task.revision)
        await outbox.append(connection, told)
    state(request, "lists").forget()
    return json_response(_to_body(task), version=task.version)


@routes.post("/orders/{order_id}/complete", response_model=MesOrder)
async def complete(request: Request, order_id: UUID, who: Operator, seen: IfMatchVersion) -> Response:
    """Made."""
    return await _step(request, order_id, who, seen, Step.COMPLETE, lambda _, told: ProductionCompleted(**told))


@routes.post("/orders/{order_id}/package", response_model=MesOrder)
async def package(request: Request, order_id: UUID, who: Operator, seen: IfMatchVersion) -> Response:
    """Being packed."""
    return await _step(request, order_id, who, seen, Step.PACKAGE, lambda _, told: ProductionPackaged(**told))


@routes.post("/orders/{order_id}/ship", response_model=MesOrder)
async def ship(
    request: Request,
    order_id: UUID,
    who: Operator,
    seen: IfMatchVersion,
    shipment: Annotated[Shipment | None, Body()] = None,
) -> Response:
    """On its way."""
    tracking = shipment.tracking if shipment else None
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.SHIP,
        lambda _, told: ProductionShipped(**told, tracking=tracking),
        tracking=tracking,
    )


@routes.post("/orders/{order_id}/rework", response_model=MesOrder)
async def rework(request: Request, order_id: UUID, why: StepReason, who: Operator, seen: IfMatchVersion) -> Response:
    """To be made again: it is on the board for whoever claims it."""
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.REWORK,
        lambda _, told: ReworkOrdered(**told, reason=why.reason),
        reason=why.reason,
    )


@routes.post("/orders/{order_id}/hold", response_model=MesOrder)
async def hold(request: Request, order_id: UUID, why: StepReason, who: Operator, seen: IfMatchVersion) -> Response:
    """Work on it rests."""
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.HOLD,
        lambda before, told: ProductionHeld(**told, reason=why.reason, held_from=before.status),
        reason=why.reason,
    )


@routes.post("/orders/{order_id}/resume", response_model=MesOrder)
async def resume(request: Request, order_id: UUID, who: Operator, seen: IfMatchVersion) -> Response:
    """Work on it goes on where it was."""
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.RESUME,
        lambda before, told: ProductionResumed(**{**told, "held_from": before.held_from}),
    )


async def _step(
    request: Request,
    ident: UUID,
    who: Principal,
    seen: int | None,
    step: Step,
    event: Callable[[MesTaskRow, dict[str, Any]], ProductionEvent],
    **changes: Any,
) -> Response:
    """Take a step of an order that is the caller's, and tell it; ``event`` makes the event of the task before it."""
    async with database(request).transaction() as connection:
        before = await repository.lock(connection, ident, seen)
        if before is None:
            raise not_found("order")
        if before.claimed_by not in (None, who.id) and Role.ADMIN not in who.roles:
            raise Problem(HTTPStatus.CONFLICT, "claimed", "another operator has claimed this order")
        after = await repository.move(connection, before, step, who.acting_as(Role.OPERATOR), **changes)
        await outbox.append(connection, event(before, {"order_id": ident, "by": who.id, "revision": after.revision}))
    state(request, "lists").forget()
    return json_response(_to_body(after), version=after.version)


def _to_body(task: MesTaskRow) -> MesOrder:
    return MesOrder(order_id=task.id, **task.model_dump())


def build() -> FastAPI:
    """The application, to be served under ``/mes``."""
    return build_service("mes", [routes], no_resources, "The board: operators claim orders and make them.")
