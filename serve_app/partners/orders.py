"""A partner's orders: placed in one step, which is the shop's three, and looked up."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.lifecycle import OrderStatus
from data.kit import idempotency
from data.kit.database import Connection
from data.kit.ids import new_id
from data.model_store.store import StoredModel
from data.partners import repository
from data.partners.repository import PartnerOrder
from serve_app.kit import upload
from serve_app.kit.answers import Created, IdempotencyKey, Page, PageParams, create_once, json_response, page_response
from serve_app.kit.app import database, state
from serve_app.kit.order_schemas import OrderBody
from serve_app.kit.price_book import UNITS, check_order_request
from serve_app.partners.authentication import Partner
from serve_app.partners.order_client import OrderClient

routes = APIRouter(tags=["orders"])


class Wanted(BaseModel):
    """What a partner wants to have made of a model."""

    process: str = Field(default="casting", max_length=100)
    material: str = Field(max_length=100)
    finish: str | None = Field(default=None, max_length=100)
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    priority: Literal["standard", "express"] = "standard"
    unit: Literal[UNITS] = "mm"  # type: ignore[valid-type]


class Placed(BaseModel):
    """An order that a price was asked for."""

    order_id: UUID
    status: OrderStatus


class ListedOrder(BaseModel):
    """An order in a list. ``status``: null for the moment in which the news of it is on its way."""

    order_id: UUID
    status: OrderStatus | None
    created_at: AwareDatetime


_FIELDS: dict[str, Any] = Wanted.model_json_schema()["properties"]
_FIELDS["material"]["required"] = True


@routes.post(
    "/v1/orders",
    status_code=HTTPStatus.CREATED,
    response_model=Placed,
    openapi_extra=upload.documented(**_FIELDS),
    max_body_size=upload.UNBOUNDED,
)
async def place(request: Request, who: Partner, key: IdempotencyKey = None) -> Response:
    """Order: multipart with the file `model`. What failed half-way goes on with the same Idempotency-Key."""
    came = await upload.receive(request, state(request, "models"))
    wanted = upload.checked(Wanted, came.fields)
    check_order_request(wanted.process, wanted.material, wanted.finish, wanted.quantity)
    same = [came.model.sha256.encode(), wanted.model_dump_json().encode()]
    shop_key = await _shop_key(request, str(who.partner_id), key, same)
    order = await _placed(state(request, "neighbours"), who.key, shop_key, wanted, came.model)

    async def work(connection: Connection) -> Created:
        await repository.add_order(connection, order.order_id, who.partner_id)
        body = Placed(order_id=order.order_id, status=order.status)
        return Created(HTTPStatus.CREATED, body, {"Location": f"/partners/v1/orders/{order.order_id}"})

    return await create_once(database(request), key, f"{who.partner_id} placed", request, same, work)


async def _shop_key(request: Request, caller: str, key: str | None, same: list[bytes]) -> str:
    """The idempotency key for the shop: a fresh one, which our caller's key leads to from then on.

    It is kept before the shop is asked, and in a transaction of its own: the next try with the caller's key goes on
    with the same order, and no connection to the database is held while a model travels. Raises KeyReused.
    """
    fresh = str(new_id())
    if key is None:
        return fresh

    async def chosen() -> dict[str, Any]:
        return {"shop_key": fresh}

    asked = idempotency.IdempotentRequest.of(caller, key, request.method.encode(), request.url.path.encode(), *same)
    async with database(request).transaction() as connection:
        kept, _ = await idempotency.run_once(connection, asked, chosen)
    return str(kept["shop_key"])


async def _placed(shop: OrderClient, key: str, shop_key: str, wanted: Wanted, model: StoredModel) -> OrderBody:
    """The order with its model, its price asked for; an order that an earlier try began goes on where that ended."""
    ident = await shop.begin(key, shop_key, wanted.model_dump(exclude={"unit"}))
    order = await shop.order(key, ident)
    if order.status is OrderStatus.INITIATED:
        order = await shop.put_model(key, ident, model, wanted.unit)
    if order.status is OrderStatus.FILE_UPLOADED:
        order = await shop.submit(key, ident)
    return order


@routes.get("/v1/orders", response_model=Page[ListedOrder])
async def orders(request: Request, asked: PageParams, who: Partner) -> Response:
    """One's own orders, newest first."""
    return await page_response(
        request,
        f"partner's orders {who.partner_id}",
        asked,
        lambda connection, place, limit: repository.orders(connection, who.partner_id, place, limit),
        _listed,
    )


@routes.get("/v1/orders/{order_id}", response_model=OrderBody)
async def order(request: Request, order_id: UUID, who: Partner) -> Response:
    """Where an order is, and all that happened to it."""
    neighbours: OrderClient = state(request, "neighbours")
    return json_response(await neighbours.get_status(who.key, order_id))


def _listed(order: PartnerOrder) -> str:
    listed = ListedOrder(order_id=order.id, status=order.state.status, created_at=order.created_at)
    return listed.model_dump_json()
