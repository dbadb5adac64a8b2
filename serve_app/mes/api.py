"""HTTP API of the MES."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, FastAPI, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.lifecycle import OrderStatus
from data.mes import repository
from data.mes.repository import MesTaskRow
from serve_app.kit.app import build_service, no_resources
from serve_app.kit.authentication import RequireRole
from serve_app.kit.dependencies import ListCache, ServiceDatabase
from serve_app.kit.order_schemas import StepReason, Text
from serve_app.kit.order_steps import StepRequest
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.responses import IfMatchVersion, json_response
from serve_app.mes import service

routes = APIRouter(tags=["mes"])
Operator = Annotated[Principal, Depends(RequireRole(Role.OPERATOR))]
_AFTER = "The order after the step; its version is the `ETag`"


class MesOrder(BaseModel):
    """An order as operators see it."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Current status")
    process: str = Field(description="Manufacturing process")
    material: str = Field(description="Material")
    finish: str | None = Field(description="Finish; null for the default of the process")
    quantity: int = Field(description="Number of pieces")
    priority: str = Field(description="Priority that the order was placed with")
    unit: str = Field(description="Unit of the model's coordinates")
    model_sha256: str = Field(description="SHA-256 of the model's file")
    claimed_by: str | None = Field(description="Id of the operator who claimed the order; null if unclaimed")
    claimed_at: AwareDatetime | None = Field(description="When it was claimed")
    tracking: str | None = Field(description="Tracking number of the shipment")
    reason: str | None = Field(description="Why the order was last put on hold or returned for rework")
    created_at: AwareDatetime = Field(description="When the order reached the board")


class Shipment(BaseModel):
    """A shipment."""

    tracking: Text | None = Field(default=None, max_length=200, description="Tracking number of the carrier")


async def _step_request(order_id: UUID, caller: Operator, expected_version: IfMatchVersion) -> StepRequest:
    return StepRequest(order_id, caller, expected_version)


OrderStep = Annotated[StepRequest, Depends(_step_request)]


@routes.get(
    "/orders",
    summary="List orders on the board",
    response_description="A page of orders",
    response_model=Page[MesOrder],
)
async def list_orders(
    page: PageParams,
    _caller: Operator,
    status: Annotated[OrderStatus | None, Query(description="Only orders in this status")] = None,
) -> Response:
    """Return orders that were approved, of one status or of all, newest first.

    Requires the role operator. A page may be a tenth of a second old.
    """
    return await page_response(
        page,
        f"mes orders {status}",
        lambda connection, position, limit: repository.board(connection, status, position, limit),
        cached=True,
    )


@routes.get(
    "/orders/{order_id}",
    summary="Get one order on the board",
    response_description="The order; its version is the `ETag`",
    response_model=MesOrder,
)
async def get_order(database: ServiceDatabase, order_id: UUID, _caller: Operator) -> Response:
    """Return an order that was approved, with the operator who claimed it.

    Requires the role operator. Problems: `not-found` until the order is approved.
    """
    async with database.connection() as connection:
        task = await repository.get(connection, order_id)
    if task is None:
        raise not_found("order")
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/claim",
    summary="Claim an order for production",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def claim_order(database: ServiceDatabase, lists: ListCache, order_id: UUID, caller: Operator) -> Response:
    """Assign an order to the caller; it becomes MANUFACTURING_STARTED. Of any number of simultaneous claims one wins.

    Requires the role operator itself: an administrator can't claim. The order must be unclaimed, in
    MANUFACTURING_APPROVED or REWORK. Problems: `not-found`, `illegal-step` for all claims but the first.
    """
    async with database.transaction() as connection:
        task = await service.claim(connection, StepRequest(order_id, caller))
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/complete",
    summary="Report manufacturing as complete",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def complete_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Report that the pieces are made; an order in MANUFACTURING_STARTED becomes MANUFACTURING_COMPLETED.

    Requires the operator who claimed the order. Problems: `not-found`, `claimed` by another operator, `illegal-step`
    in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.complete(connection, step)
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/package",
    summary="Start packaging an order",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def package_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Report that packaging has started; an order in MANUFACTURING_COMPLETED becomes PACKAGING.

    Requires the operator who claimed the order. Problems: `not-found`, `claimed` by another operator, `illegal-step`
    in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.package(connection, step)
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/ship",
    summary="Report an order as shipped",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def ship_order(
    database: ServiceDatabase,
    lists: ListCache,
    step: OrderStep,
    shipment: Annotated[Shipment | None, Body(description="The shipment; may be left out")] = None,
) -> Response:
    """Report that the order has left the house, with a tracking number if there is one; PACKAGING becomes SHIPPED.

    Requires the operator who claimed the order. Problems: `not-found`, `claimed` by another operator, `illegal-step`
    in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.ship(connection, step, shipment.tracking if shipment else None)
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/rework",
    summary="Return an order for rework",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def rework_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, body: StepReason) -> Response:
    """Have an order made again; it becomes REWORK and is unclaimed, so that any operator may claim it.

    Requires the operator who claimed the order, which must not be shipped. Problems: `not-found`, `claimed` by another
    operator, `illegal-step` in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.rework(connection, step, body.reason)
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/hold",
    summary="Put production of an order on hold",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def hold_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, body: StepReason) -> Response:
    """Suspend work on an order, for instance when material is missing; it becomes ON_HOLD until it is resumed.

    Requires the operator who claimed the order, or any while it is unclaimed. Problems: `not-found`, `claimed` by
    another operator, `illegal-step` in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.hold(connection, step, body.reason)
    lists.clear()
    return _to_response(task)


@routes.post(
    "/orders/{order_id}/resume",
    summary="Resume production of an order on hold",
    response_description=_AFTER,
    response_model=MesOrder,
)
async def resume_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Return an order in ON_HOLD to the status that it had before.

    Requires the operator who claimed the order, or any while it is unclaimed. Problems: `not-found`, `claimed` by
    another operator, `illegal-step` in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        task = await service.resume(connection, step)
    lists.clear()
    return _to_response(task)


def _to_response(task: MesTaskRow) -> Response:
    return json_response(MesOrder(order_id=task.id, **task.model_dump()), version=task.version)


def build() -> FastAPI:
    """Return the application, to be served under ``/mes``."""
    return build_service("mes", [routes], no_resources, "The board of approved orders, which operators claim and make.")
