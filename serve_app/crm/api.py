"""The CRM over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.common import QuoteReason, QuoteSummary
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
from data.contracts.lifecycle import OrderStatus, Step
from data.crm import repository
from data.crm.repository import CrmOrderRow
from data.kit import outbox
from serve_app.kit.answers import IfMatchVersion, Page, PageParams, json_response, page_response
from serve_app.kit.app import build_service, database, no_resources, state
from serve_app.kit.authentication import RequireRole
from serve_app.kit.order_schemas import StepReason
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.texts import Text

routes = APIRouter(tags=["crm"])
Seller = Annotated[Principal, Depends(RequireRole(Role.SELLER))]


class CrmOrder(BaseModel):
    """An order as sellers see it. ``reasons``: what pricing wants looked at."""

    order_id: UUID
    owner_id: str
    partner: bool
    status: OrderStatus
    process: str
    material: str
    finish: str | None
    quantity: int
    priority: str
    unit: str
    model_sha256: str
    quote: QuoteSummary | None
    reasons: tuple[QuoteReason, ...] | None
    expires_at: AwareDatetime | None
    note: str | None
    created_at: AwareDatetime


class Note(BaseModel):
    """A seller's note on an order."""

    note: Text | None = Field(max_length=2000)


@routes.get("/orders", response_model=Page[CrmOrder])
async def board(
    request: Request, asked: PageParams, _who: Seller, status: Annotated[OrderStatus | None, Query()] = None
) -> Response:
    """Orders, of one status or of all, newest first."""

    return await page_response(
        request,
        f"crm orders {status}",
        asked,
        lambda connection, place, limit: repository.board(connection, status, place, limit),
        kept=True,
    )


@routes.get("/orders/{order_id}", response_model=CrmOrder)
async def order(request: Request, order_id: UUID, _who: Seller) -> Response:
    """An order; its version is the ETag."""
    async with database(request).connection() as connection:
        found = await repository.get(connection, order_id)
    if found is None:
        raise not_found("order")
    return json_response(_to_body(found), version=found.version)


@routes.put("/orders/{order_id}/note", response_model=CrmOrder)
async def annotate(request: Request, order_id: UUID, note: Note, _who: Seller, seen: IfMatchVersion) -> Response:
    """Write a note on an order; with If-Match, unless somebody else has changed it meanwhile."""
    async with database(request).transaction() as connection:
        found = await repository.lock(connection, order_id, seen)
        if found is None:
            raise not_found("order")
        after = await repository.annotate(connection, found, note.note)
    state(request, "lists").forget()
    return json_response(_to_body(after), version=after.version)


@routes.post("/orders/{order_id}/release", response_model=CrmOrder)
async def release(request: Request, order_id: UUID, who: Seller, seen: IfMatchVersion) -> Response:
    """Reviewed: the price holds."""
    return await _step(request, order_id, who, seen, Step.RELEASE, lambda _, told: OrderReleased(**told))


@routes.post("/orders/{order_id}/approve", response_model=CrmOrder)
async def approve(request: Request, order_id: UUID, who: Seller, seen: IfMatchVersion) -> Response:
    """To be made: it goes onto the board of the MES."""
    return await _step(
        request, order_id, who, seen, Step.APPROVE, lambda order, told: OrderApproved(**{**order.model_dump(), **told})
    )


@routes.post("/orders/{order_id}/reject", response_model=CrmOrder)
async def reject(request: Request, order_id: UUID, why: StepReason, who: Seller, seen: IfMatchVersion) -> Response:
    """It won't be made."""
    return await _step(
        request, order_id, who, seen, Step.REJECT, lambda _, told: OrderRejected(**told, reason=why.reason)
    )


@routes.post("/orders/{order_id}/close", response_model=CrmOrder)
async def close(request: Request, order_id: UUID, who: Seller, seen: IfMatchVersion) -> Response:
    """Delivered and paid."""
    return await _step(request, order_id, who, seen, Step.CLOSE, lambda _, told: OrderClosed(**told))


@routes.post("/orders/{order_id}/cancel", response_model=CrmOrder)
async def cancel(request: Request, order_id: UUID, why: StepReason, who: Seller, seen: IfMatchVersion) -> Response:
    """Call it off for the customer, also while it is being made."""
    return await _step(
        request, order_id, who, seen, Step.CANCEL, lambda _, told: OrderWithdrawn(**told, reason=why.reason)
    )


@routes.post("/orders/{order_id}/hold", response_model=CrmOrder)
async def hold(request: Request, order_id: UUID, why: StepReason, who: Seller, seen: IfMatchVersion) -> Response:
    """Nothing happens to it for now."""
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.HOLD,
        lambda before, told: OrderHeld(**told, reason=why.reason, held_from=before.status),
    )


@routes.post("/orders/{order_id}/resume", response_model=CrmOrder)
async def resume(request: Request, order_id: UUID, who: Seller, seen: IfMatchVersion) -> Response:
    """It goes on where it was."""
    return await _step(
        request,
        order_id,
        who,
        seen,
        Step.RESUME,
        lambda before, told: OrderResumed(**{**told, "held_from": before.held_from}),
    )


async def _step(
    request: Request,
    ident: UUID,
    who: Principal,
    seen: int | None,
    step: Step,
    event: Callable[[CrmOrderRow, dict[str, Any]], CrmEvent],
) -> Response:
    """Take a step and tell it, in one transaction; ``event`` makes the event of the order before the step."""
    async with database(request).transaction() as connection:
        before = await repository.lock(connection, ident, seen)
        if before is None:
            raise not_found("order")
        after = await repository.move(connection, before, step, who.acting_as(Role.SELLER))
        told: dict[str, Any] = {
            "order_id": ident,
            "by": who.id,
            "revision": after.revision,
            "quote_id": before.quote_id,
        }
        await outbox.append(connection, event(before, told))
    state(request, "lists").forget()
    return json_response(_to_body(after), version=after.version)


def _to_body(order: CrmOrderRow) -> CrmOrder:
    return CrmOrder(order_id=order.id, **order.model_dump())


def build() -> FastAPI:
    """The application, to be served under ``/crm``."""
    return build_service("crm", [routes], no_resources, "Sellers decide about orders.")
