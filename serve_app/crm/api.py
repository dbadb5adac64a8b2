"""HTTP API of the CRM."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.common import QuoteReason, QuoteSummary
from data.contracts.lifecycle import OrderStatus
from data.crm import repository
from data.crm.repository import CrmOrderRow
from serve_app.crm import service
from serve_app.kit.app import build_service, no_resources
from serve_app.kit.authentication import RequireRole
from serve_app.kit.dependencies import ListCache, ServiceDatabase
from serve_app.kit.order_schemas import StepReason, Text
from serve_app.kit.order_steps import StepRequest
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.responses import IfMatchVersion, json_response

routes = APIRouter(tags=["crm"])
Seller = Annotated[Principal, Depends(RequireRole(Role.SELLER))]
_AFTER = "The order after the step; its version is the `ETag`"


class CrmOrder(BaseModel):
    """An order as sellers see it."""

    order_id: UUID = Field(description="Id of the order")
    owner_id: str = Field(description="Id of the customer or partner who placed it")
    partner: bool = Field(description="Whether a partner placed it")
    status: OrderStatus = Field(description="Current status")
    process: str = Field(description="Manufacturing process")
    material: str = Field(description="Material")
    finish: str | None = Field(description="Finish; null for the default of the process")
    quantity: int = Field(description="Number of pieces")
    priority: str = Field(description="How urgent pricing is: `standard`, `express` or `bulk`")
    unit: str = Field(description="Unit of the model's coordinates")
    model_sha256: str = Field(description="SHA-256 of the model's file")
    quote: QuoteSummary | None = Field(description="The current price; null until one is calculated")
    reasons: tuple[QuoteReason, ...] | None = Field(description="Why pricing asks for a review, or rejected the model")
    expires_at: AwareDatetime | None = Field(description="When the quote expires, while a decision is awaited")
    note: str | None = Field(description="The sellers' note")
    created_at: AwareDatetime = Field(description="When the order reached the CRM")


class Note(BaseModel):
    """A seller's note on an order."""

    note: Text | None = Field(max_length=2000, description="The note in free text; null removes it")


async def _step_request(order_id: UUID, caller: Seller, expected_version: IfMatchVersion) -> StepRequest:
    return StepRequest(order_id, caller, expected_version)


OrderStep = Annotated[StepRequest, Depends(_step_request)]


@routes.get(
    "/orders",
    summary="List orders of all customers",
    response_description="A page of orders",
    response_model=Page[CrmOrder],
)
async def list_orders(
    page: PageParams,
    _caller: Seller,
    status: Annotated[OrderStatus | None, Query(description="Only orders in this status")] = None,
) -> Response:
    """Return orders that were submitted, of one status or of all, newest first.

    Requires the role seller. A page may be a tenth of a second old.
    """
    return await page_response(
        page,
        f"crm orders {status}",
        lambda connection, position, limit: repository.board(connection, status, position, limit),
        cached=True,
    )


@routes.get(
    "/orders/{order_id}",
    summary="Get one order",
    response_description="The order; its version is the `ETag`",
    response_model=CrmOrder,
)
async def get_order(database: ServiceDatabase, order_id: UUID, _caller: Seller) -> Response:
    """Return an order that was submitted, with its price and the reasons for a review.

    Requires the role seller. Send the `ETag` as `If-Match` with a step, so that it fails if the order has changed.
    Problems: `not-found` until the order is submitted.
    """
    async with database.connection() as connection:
        order = await repository.get(connection, order_id)
    if order is None:
        raise not_found("order")
    return _to_response(order)


@routes.put(
    "/orders/{order_id}/note",
    summary="Replace the note on an order",
    response_description="The order with the note; its version is the `ETag`",
    response_model=CrmOrder,
)
async def annotate_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, note: Note) -> Response:
    """Write a note that all sellers see, in place of the present one; the status stays.

    Requires the role seller. Problems: `not-found`, and `stale-version` if `If-Match` names an older version.
    """
    async with database.transaction() as connection:
        order = await service.annotate(connection, step, note.note)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/release",
    summary="Release an order after review",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def release_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Confirm the price of an order in REVIEW_REQUIRED; it becomes PRICE_CALCULATED and can be approved.

    Requires the role seller. Problems: `not-found`, `illegal-step` in another status (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.release(connection, step)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/approve",
    summary="Approve an order for manufacturing",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def approve_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Approve an order in PRICE_CALCULATED; it becomes MANUFACTURING_APPROVED and appears on the board of the MES.

    Requires the role seller. Problems: `not-found`, `illegal-step` in another status, such as after the quote has
    expired (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.approve(connection, step)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/reject",
    summary="Reject an order for good",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def reject_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, body: StepReason) -> Response:
    """Decline to manufacture an order; it becomes REJECTED, which is final, and the customer sees the status.

    Requires the role seller. Problems: `not-found`, `illegal-step` once the order was approved (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.reject(connection, step, body.reason)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/close",
    summary="Close a shipped order",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def close_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Close an order in SHIPPED that was delivered and paid; it becomes CLOSED, which is final.

    Requires the role seller. Problems: `not-found`, `illegal-step` in another status (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.close(connection, step)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/cancel",
    summary="Cancel an order for the customer",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def cancel_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, body: StepReason) -> Response:
    """Cancel an order, also during production, which customers can't; it becomes CANCELLED, which is final.

    Requires the role seller. Problems: `not-found`, `illegal-step` once the order was shipped (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.cancel(connection, step, body.reason)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/hold",
    summary="Put an order on hold",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def hold_order(database: ServiceDatabase, lists: ListCache, step: OrderStep, body: StepReason) -> Response:
    """Suspend an order between its price and its shipment; it becomes ON_HOLD until it is resumed.

    Requires the role seller. Problems: `not-found`, `illegal-step` in another status (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.hold(connection, step, body.reason)
    lists.clear()
    return _to_response(order)


@routes.post(
    "/orders/{order_id}/resume",
    summary="Resume an order on hold",
    response_description=_AFTER,
    response_model=CrmOrder,
)
async def resume_order(database: ServiceDatabase, lists: ListCache, step: OrderStep) -> Response:
    """Return an order in ON_HOLD to the status that it had before.

    Requires the role seller. Problems: `not-found`, `illegal-step` in another status (with the legal steps),
    `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.resume(connection, step)
    lists.clear()
    return _to_response(order)


def _to_response(order: CrmOrderRow) -> Response:
    return json_response(CrmOrder(order_id=order.id, **order.model_dump()), version=order.version)


def build() -> FastAPI:
    """Return the application, to be served under ``/crm``."""
    return build_service("crm", [routes], no_resources, "Sellers review, approve, hold, cancel and close orders.")
