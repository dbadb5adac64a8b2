"""HTTP API of the status service: orders with their history, and changes as server-sent events."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.lifecycle import OrderStatus
from data.kit.database import Database
from data.notifications.pubsub import Listener
from data.status import repository
from serve_app.kit import sse
from serve_app.kit.admission import STREAMS
from serve_app.kit.app import build_service
from serve_app.kit.authentication import RequireRole
from serve_app.kit.dependencies import ChangeListener, ServiceDatabase, from_state
from serve_app.kit.order_schemas import HistoryLine, OrderBody
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.principal import Principal, Role
from serve_app.kit.settings import settings
from serve_app.kit.sse import EventStream, LastEventId
from serve_app.status import service
from serve_app.status.handlers import ORDERS
from serve_app.status.service import OrderLoader

routes = APIRouter(tags=["status"])
Owner = Annotated[Principal, Depends(RequireRole(Role.CUSTOMER, Role.PARTNER))]
Orders = Annotated[OrderLoader, Depends(from_state("orders"))]


class OrderStatusSummary(BaseModel):
    """An order in a list."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Current status")
    priority: str = Field(description="How urgent pricing is")
    created_at: AwareDatetime = Field(description="When the order was created")


@routes.get(
    "/orders",
    summary="List the status of the caller's orders",
    response_description="A page of orders",
    response_model=Page[OrderStatusSummary],
)
async def list_orders(page: PageParams, caller: Owner) -> Response:
    """Return the orders that the caller placed with their current status, newest first.

    Requires the role customer or partner. A page may be a tenth of a second old.
    """
    return await page_response(
        page,
        f"status orders {caller.id}",
        lambda connection, position, limit: repository.of_owner(connection, caller.id, position, limit),
        cached=True,
    )


@routes.get(
    "/orders/{order_id}",
    summary="Get the status and history of an order",
    response_description="The order with its history",
    response_model=OrderBody,
)
async def get_order(orders: Orders, order_id: UUID, caller: Owner) -> Response:
    """Return the current status of an order, its price, and every status that it entered, from all services.

    Requires the order's owner. A change in another service shows here after some milliseconds. Problems: `not-found`,
    also for an order of another customer and in the first milliseconds after it was created.
    """
    return Response(await service.get_json(orders, order_id, caller), media_type="application/json")


@routes.get(
    "/orders/{order_id}/events",
    summary="Follow the status of an order",
    response_class=EventStream,
    responses={
        **sse.documented(HistoryLine, "Server-sent events of type `status`, one for each status that is entered"),
        204: {"description": "The order is in a final status and no event is left: stop reconnecting"},
    },
)
async def follow_order(
    database: ServiceDatabase, listener: ChangeListener, order_id: UUID, caller: Owner, after: LastEventId = None
) -> Response:
    """Stream the history of an order as server-sent events, from its beginning, until it enters a final status.

    Requires the order's owner. After a lost connection, send `Last-Event-ID` to continue after that event, as browsers
    do by themselves. Problems: `not-found`.
    """
    if await service.is_finished(database, order_id, caller, after or 0):
        return Response(status_code=HTTPStatus.NO_CONTENT)  # a browser would reconnect after any other status
    return EventStream(service.stream(database, listener, order_id, after or 0))


async def _open(app: FastAPI, database: Database, stack: AsyncExitStack) -> None:
    app.state.orders = service.order_loader(database)
    app.state.listener = Listener(settings().needed("redis_url"), ORDERS)
    listening = asyncio.create_task(app.state.listener.run(), name="listener of orders")
    stack.callback(listening.cancel)


def build() -> FastAPI:
    """Return the application, to be served under ``/status``."""
    return build_service("status", [routes], _open, "The status and history of orders, as they change.", STREAMS)
