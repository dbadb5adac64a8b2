"""The shop over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.contracts.common import Money, OrderRequest
from data.contracts.lifecycle import OrderStatus
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.model_store.store import ModelStore
from data.shop import products, repository
from data.shop.products import Product
from data.shop.repository import ShopHistoryRow, ShopOrderRow
from serve_app.kit import upload
from serve_app.kit.answers import (
    Created,
    IdempotencyKey,
    IfMatchVersion,
    Page,
    PageParams,
    create_once,
    json_response,
    page_response,
)
from serve_app.kit.app import build_service, database, state
from serve_app.kit.authentication import RequireRole
from serve_app.kit.order_schemas import OrderBody, StepReason, history_of
from serve_app.kit.price_book import UNITS, check_order_request
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.settings import settings
from serve_app.kit.texts import Text
from serve_app.shop import service

routes = APIRouter(tags=["shop"])
Customer = Annotated[Principal, Depends(RequireRole(Role.CUSTOMER, Role.PARTNER))]
Administrator = Annotated[Principal, Depends(RequireRole(Role.ADMIN))]


class NewOrder(BaseModel):
    """What somebody wants to have made."""

    process: str = Field(default="casting", max_length=100)
    material: str = Field(max_length=100)
    finish: str | None = Field(default=None, max_length=100)
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    priority: Literal["standard", "express"] = "standard"
    product_id: UUID | None = None


class ShopOrder(OrderBody):
    """An order with what was wished for."""

    process: str
    material: str
    finish: str | None
    quantity: int
    model_sha256: str | None
    unit: str | None
    created_at: AwareDatetime


class ListedOrder(BaseModel):
    """An order in a list."""

    order_id: UUID
    status: OrderStatus
    process: str
    material: str
    quantity: int
    priority: str
    created_at: AwareDatetime


class ProductBody(BaseModel):
    """A product as people see and edit it."""

    name: Text = Field(min_length=1, max_length=200)
    category: Text = Field(min_length=1, max_length=100)
    description: Text = Field(max_length=2000)
    process: str
    material: str
    price: Annotated[Money, Field(ge=0)]
    currency: str = Field(pattern="^[A-Z]{3}$")
    in_stock: bool


class ListedProduct(ProductBody):
    """A product in the catalogue."""

    product_id: UUID
    sku: str


class _Begun(BaseModel):
    order_id: UUID
    status: OrderStatus


@routes.get("/products", response_model=Page[ListedProduct])
async def catalogue(
    request: Request,
    asked: PageParams,
    category: Annotated[str | None, Query(max_length=100)] = None,
    in_stock: bool | None = None,
    max_price: Annotated[Decimal | None, Query(ge=0, max_digits=14, decimal_places=2)] = None,
) -> Response:
    """Products, newest first."""
    scope = f"products {category} {in_stock} {max_price}"
    return await page_response(
        request,
        scope,
        asked,
        lambda connection, place, limit: products.catalogue(connection, place, limit, category, in_stock, max_price),
        lambda product: _listed_product(product).model_dump_json(),
    )


@routes.get("/products/{product_id}", response_model=ListedProduct)
async def product(request: Request, product_id: UUID) -> Response:
    """A product; its version is the ETag."""
    async with database(request).connection() as connection:
        found = await products.get(connection, product_id)
    if found is None:
        raise not_found("product")
    return json_response(_listed_product(found), version=found.version)


@routes.put("/products/{product_id}", response_model=ListedProduct)
async def edit_product(
    request: Request, product_id: UUID, edited: ProductBody, seen: IfMatchVersion, _who: Administrator
) -> Response:
    """Change a product; with If-Match, unless somebody else has meanwhile."""
    check_order_request(edited.process, edited.material, None, 1)
    async with database(request).transaction() as connection:
        known = await products.get(connection, product_id)
        if known is None:
            raise not_found("product")
        changes = {**edited.model_dump(), "version": known.version if seen is None else seen}
        saved = await products.edit(connection, known.model_copy(update=changes))
    return json_response(_listed_product(saved), version=saved.version)


@routes.post("/orders", status_code=HTTPStatus.CREATED, response_model=_Begun)
async def begin(request: Request, new: NewOrder, who: Customer, key: IdempotencyKey = None) -> Response:
    """A new order, which needs a model next."""
    check_order_request(new.process, new.material, new.finish, new.quantity)
    wish = OrderRequest.model_validate(new.model_dump())

    async def work(connection: Connection) -> Created:
        ident = new_id()
        if new.product_id is not None and await products.get(connection, new.product_id) is None:
            raise not_found("product")
        await service.begin(connection, ident, who.id, Role.PARTNER in who.roles, wish)
        body = _Begun(order_id=ident, status=OrderStatus.INITIATED)
        return Created(HTTPStatus.CREATED, body, {"Location": f"/shop/orders/{ident}"})

    return await create_once(database(request), key, who.id, request, [new.model_dump_json().encode()], work)


@routes.get("/orders", response_model=Page[ListedOrder])
async def orders(request: Request, asked: PageParams, who: Customer) -> Response:
    """One's own orders, newest first."""
    return await page_response(
        request,
        f"shop orders {who.id}",
        asked,
        lambda connection, place, limit: repository.of_owner(connection, who.id, place, limit),
        lambda order: ListedOrder(order_id=order.id, **order.model_dump()).model_dump_json(),
    )


@routes.get("/orders/{order_id}", response_model=ShopOrder)
async def order(request: Request, order_id: UUID, who: Customer) -> Response:
    """An order with its history; its version is the ETag."""
    async with database(request).connection() as connection:
        found = await repository.get(connection, order_id)
        if found is None or not who.owns(found.owner_id):
            raise not_found("order")
        history = await repository.history(connection, order_id)
    return json_response(_to_body(found, history), version=found.version)


@routes.put(
    "/orders/{order_id}/model",
    response_model=ShopOrder,
    openapi_extra=upload.documented(),
    max_body_size=upload.UNBOUNDED,
)
async def put_model(
    request: Request,
    order_id: UUID,
    who: Customer,
    seen: IfMatchVersion,
    unit: Annotated[Literal[UNITS], Query()] = "mm",  # type: ignore[valid-type]
) -> Response:
    """The order's model, in place of any that it had: the file `model` of a multipart body."""
    async with database(request).connection() as connection:  # nobody uploads a gigabyte to hear a 404
        known = await repository.get(connection, order_id)
    if known is None or not who.owns(known.owner_id):
        raise not_found("order")
    service.check_upload(known, who)
    came = await upload.receive(request, state(request, "models"))
    async with database(request).transaction() as connection:
        after = await service.put_model(connection, order_id, who, seen, came.model, unit)
        history = await repository.history(connection, order_id)
    return json_response(_to_body(after, history), version=after.version)


@routes.post("/orders/{order_id}/submit", response_model=ShopOrder)
async def submit(request: Request, order_id: UUID, who: Customer, seen: IfMatchVersion) -> Response:
    """Ask for the price."""
    async with database(request).transaction() as connection:
        after = await service.submit(connection, order_id, who, seen)
        history = await repository.history(connection, order_id)
    return json_response(_to_body(after, history), version=after.version)


@routes.post("/orders/{order_id}/cancel", response_model=ShopOrder)
async def cancel(request: Request, order_id: UUID, why: StepReason, who: Customer, seen: IfMatchVersion) -> Response:
    """Call the order off, as long as nobody has begun to make it."""
    async with database(request).transaction() as connection:
        after = await service.cancel(connection, order_id, who, seen, why.reason)
        history = await repository.history(connection, order_id)
    return json_response(_to_body(after, history), version=after.version)


def _to_body(order: ShopOrderRow, history: Iterable[ShopHistoryRow]) -> ShopOrder:
    return ShopOrder(order_id=order.id, history=history_of(history), **order.model_dump())


def _listed_product(found: Product) -> ListedProduct:
    return ListedProduct(product_id=found.id, **found.model_dump())


async def _open(app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    app.state.models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)


def build() -> FastAPI:
    """The application, to be served under ``/shop``."""
    return build_service("shop", [routes], _open, "The catalogue, and orders until a price is known.")
