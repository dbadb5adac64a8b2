"""Status over HTTP: an order with its history, and its changes as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from data.contracts.lifecycle import FINAL, OrderStatus
from data.kit.database import Database
from data.notifications.pubsub import POLL_INTERVAL_S, Listener
from data.status import repository
from serve_app.kit import sse
from serve_app.kit.admission import STREAMS
from serve_app.kit.answers import Page, PageParams, page_response
from serve_app.kit.app import build_service, database, state
from serve_app.kit.authentication import RequireRole
from serve_app.kit.batch_loader import BatchLoader
from serve_app.kit.order_schemas import HistoryLine, OrderBody
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.settings import settings
from serve_app.kit.sse import EventStream, KeepAlive, LastEventId
from serve_app.status.handlers import ORDERS

routes = APIRouter(tags=["status"])
Owner = Annotated[Principal, Depends(RequireRole(Role.CUSTOMER, Role.PARTNER))]


class ListedStatus(BaseModel):
    """An order in a list."""

    order_id: UUID
    status: OrderStatus
    priority: str
    created_at: AwareDatetime


@routes.get("/orders", response_model=Page[ListedStatus])
async def orders(request: Request, asked: PageParams, who: Owner) -> Response:
    """One's own orders, newest first."""

    return await page_response(
        request,
        f"status orders {who.id}",
        asked,
        lambda connection, place, limit: repository.of_owner(connection, who.id, place, limit),
        kept=True,
    )


@routes.get("/orders/{order_id}", response_model=OrderBody)
async def order(request: Request, order_id: UUID, who: Owner) -> Response:
    """Where an order is, and all that happened to it."""
    orders: BatchLoader[UUID, repository.OrderJson] = state(request, "orders")
    found = await orders.ask(order_id)
    if found is None or not who.owns(found.owner_id):
        raise not_found("order")
    return Response(found.text, media_type="application/json")


@routes.get(
    "/orders/{order_id}/events",
    response_class=EventStream,
    responses={**sse.documented(HistoryLine), 204: {"description": "The order has ended, and all of it was told"}},
)
async def events(request: Request, order_id: UUID, who: Owner, after: LastEventId = None) -> Response:
    """The history as it grows, until the order ends; after Last-Event-ID, what was missed comes first."""
    async with database(request).connection() as connection:
        found = await repository.get(connection, order_id)
        if found is None or not who.owns(found.owner_id):
            raise not_found("order")
        if found.status in FINAL and after and not await repository.history(connection, order_id, after):
            return Response(status_code=HTTPStatus.NO_CONTENT)  # a browser comes again after any other end
    return EventStream(_lines(request, order_id, after or 0))


async def _lines(request: Request, ident: UUID, seen: int) -> AsyncIterator[str | None]:
    news: Listener = state(request, "news")
    with news.subscribe(str(ident)) as subscription:
        patience = KeepAlive(subscription)
        while True:
            async with database(request).connection() as connection:
                lines = await repository.history(connection, ident, seen)
            for line in lines:
                seen = line.n
                yield sse.event(line.n, "status", HistoryLine(status=line.status, at=line.at, by=line.by))
                if line.status in FINAL:
                    return
            if await patience.wait(POLL_INTERVAL_S if news.connected else POLL_INTERVAL_S / 4):
                yield None


async def _open(app: FastAPI, database: Database, stack: AsyncExitStack) -> None:
    async def look(idents: Sequence[UUID]) -> Mapping[UUID, repository.OrderJson]:
        async with database.connection() as connection:
            return await repository.orders_as_json(connection, idents)

    app.state.orders = BatchLoader(look)
    app.state.news = Listener(settings().needed("redis_url"), ORDERS)
    listening = asyncio.create_task(app.state.news.run(), name="orders' news")
    stack.callback(listening.cancel)


def build() -> FastAPI:
    """The application, to be served under ``/status``."""
    return build_service("status", [routes], _open, "Where orders are, as it happens.", STREAMS)
