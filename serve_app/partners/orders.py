"""HTTP API of a partner's orders."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.lifecycle import OrderStatus
from data.kit import idempotency
from data.kit.database import Connection
from data.partners import repository
from data.partners.repository import PartnerOrder
from serve_app.kit import upload
from serve_app.kit.dependencies import Models, ServiceDatabase, from_state
from serve_app.kit.idempotency import Created, IdempotencyKey, create_once
from serve_app.kit.order_schemas import OrderBody
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.price_book import check_order_request
from serve_app.kit.responses import json_response
from serve_app.partners import service
from serve_app.partners.authentication import Partner
from serve_app.partners.order_client import OrderClient
from serve_app.partners.service import PartnerOrderRequest

routes = APIRouter(tags=["orders"])
Orders = Annotated[OrderClient, Depends(from_state("order_client"))]


class PlacedOrder(BaseModel):
    """An order that was placed."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Its status, usually SUBMITTED")


class PartnerOrderSummary(BaseModel):
    """An order in a list."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus | None = Field(description="Current status; null in the first milliseconds")
    created_at: AwareDatetime = Field(description="When the order was placed")


_FIELDS: dict[str, Any] = PartnerOrderRequest.model_json_schema()["properties"]
_FIELDS["material"]["required"] = True


@routes.post(
    "/v1/orders",
    status_code=HTTPStatus.CREATED,
    summary="Place an order with its model",
    response_description="The order was placed; `Location` is its address",
    response_model=PlacedOrder,
    openapi_extra=upload.documented(**_FIELDS),
    max_body_size=upload.UNBOUNDED,
)
async def place_order(
    request: Request,
    database: ServiceDatabase,
    models: Models,
    orders: Orders,
    caller: Partner,
    key: IdempotencyKey = None,
) -> Response:
    """Create an order, upload its 3D model and submit it for pricing, all in one `multipart/form-data` request.

    Requires an API key. Send an `Idempotency-Key`: after a failure, repeating the request with the same key continues
    with the same order. Problems: `not-offered` if the price book lacks the option, `not-multipart`,
    `malformed-upload`, `model-too-large`, `key-reused` for a key sent with another body, `unavailable`.
    """
    uploaded = await upload.receive(request, models)
    order_request = upload.validate_fields(PartnerOrderRequest, uploaded.fields)
    check_order_request(order_request.process, order_request.material, order_request.finish, order_request.quantity)
    body = [uploaded.model.sha256.encode(), order_request.model_dump_json().encode()]
    method, path = request.method.encode(), request.url.path.encode()
    same = None if key is None else idempotency.IdempotentRequest.of(str(caller.partner_id), key, method, path, *body)
    shop_key = await service.shop_key(database, same)
    order = await service.place_order(orders, caller, shop_key, order_request, uploaded.model)

    async def create(connection: Connection) -> Created:
        await repository.add_order(connection, order.order_id, caller.partner_id)
        placed = PlacedOrder(order_id=order.order_id, status=order.status)
        return Created(HTTPStatus.CREATED, placed, {"Location": f"/partners/v1/orders/{order.order_id}"})

    return await create_once(database, key, f"{caller.partner_id} placed", request, body, create)


@routes.get(
    "/v1/orders",
    summary="List the partner's orders",
    response_description="A page of orders",
    response_model=Page[PartnerOrderSummary],
)
async def list_orders(page: PageParams, caller: Partner) -> Response:
    """Return the orders that the partner placed with their current status, newest first. Requires an API key."""
    return await page_response(
        page,
        f"partner's orders {caller.partner_id}",
        lambda connection, position, limit: repository.orders(connection, caller.partner_id, position, limit),
        _to_json,
    )


@routes.get(
    "/v1/orders/{order_id}",
    summary="Get the status and history of an order",
    response_description="The order with its history",
    response_model=OrderBody,
)
async def get_order(orders: Orders, order_id: UUID, caller: Partner) -> Response:
    """Return the current status of an order, its price, and every status that it entered.

    Requires an API key. To be notified of changes instead of polling, register a webhook. Problems: `not-found`, also
    for an order of another partner.
    """
    return json_response(await orders.get_status(caller.key, order_id))


def _to_json(order: PartnerOrder) -> str:
    body = PartnerOrderSummary(order_id=order.id, status=order.state.status, created_at=order.created_at)
    return body.model_dump_json()
