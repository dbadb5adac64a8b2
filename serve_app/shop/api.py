"""HTTP API of the shop."""

from __future__ import annotations

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
from data.shop.repository import ShopOrderRow
from serve_app.kit import upload
from serve_app.kit.app import build_service
from serve_app.kit.authentication import RequireRole
from serve_app.kit.dependencies import Models, ServiceDatabase
from serve_app.kit.idempotency import Created, IdempotencyKey, create_once
from serve_app.kit.order_schemas import CustomerOrderRequest, OrderBody, StepReason, Text, history_lines
from serve_app.kit.order_steps import StepRequest
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.price_book import UNITS, check_order_request
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found
from serve_app.kit.responses import IfMatchVersion, json_response
from serve_app.kit.settings import settings
from serve_app.shop import service

routes = APIRouter(tags=["shop"])
Customer = Annotated[Principal, Depends(RequireRole(Role.CUSTOMER, Role.PARTNER))]
Administrator = Annotated[Principal, Depends(RequireRole(Role.ADMIN))]
_ORDER = "The order; its version is the `ETag`"
_AFTER = "The order after the step; its version is the `ETag`"
_PRODUCT = "The product; its version is the `ETag`"


class NewOrder(CustomerOrderRequest):
    """An order to create."""

    product_id: UUID | None = Field(default=None, description="The product of the catalogue that the order is based on")


class ShopOrder(OrderBody):
    """An order with what was ordered."""

    process: str = Field(description="Manufacturing process")
    material: str = Field(description="Material")
    finish: str | None = Field(description="Finish; null for the default of the process")
    quantity: int = Field(description="Number of pieces")
    model_sha256: str | None = Field(description="SHA-256 of the model's file; null until one is uploaded")
    unit: str | None = Field(description="Unit of the model's coordinates")
    created_at: AwareDatetime = Field(description="When the order was created")


class OrderSummary(BaseModel):
    """An order in a list."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Current status")
    process: str = Field(description="Manufacturing process")
    material: str = Field(description="Material")
    quantity: int = Field(description="Number of pieces")
    priority: str = Field(description="How urgent pricing is")
    created_at: AwareDatetime = Field(description="When the order was created")


class ProductBody(BaseModel):
    """A product that an administrator edits."""

    name: Text = Field(min_length=1, max_length=200, description="Name of the product")
    category: Text = Field(min_length=1, max_length=100, description="Category, such as `rings`")
    description: Text = Field(max_length=2000, description="Description for customers")
    process: str = Field(description="Manufacturing process, an id of the price book")
    material: str = Field(description="Material, an id of the price book that the process offers")
    price: Annotated[Money, Field(ge=0)] = Field(description="Price of one piece, a decimal string with cents")
    currency: str = Field(pattern="^[A-Z]{3}$", description="Currency of the price (ISO 4217)")
    in_stock: bool = Field(description="Whether the product is in stock")


class CatalogueProduct(ProductBody):
    """A product of the catalogue."""

    product_id: UUID = Field(description="Id of the product")
    sku: str = Field(description="Stock-keeping unit, unique in the catalogue")


class CreatedOrder(BaseModel):
    """An order that was created."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="Its status, INITIATED")


async def _step_request(order_id: UUID, caller: Customer, expected_version: IfMatchVersion) -> StepRequest:
    return StepRequest(order_id, caller, expected_version)


OrderStep = Annotated[StepRequest, Depends(_step_request)]


@routes.get(
    "/products",
    summary="List products of the catalogue",
    response_description="A page of products",
    response_model=Page[CatalogueProduct],
)
async def list_products(
    page: PageParams,
    category: Annotated[str | None, Query(max_length=100, description="Only products of this category")] = None,
    in_stock: Annotated[bool | None, Query(description="Only products that are, or are not, in stock")] = None,
    max_price: Annotated[
        Decimal | None, Query(ge=0, max_digits=14, decimal_places=2, description="Only products up to this price")
    ] = None,
) -> Response:
    """Return the products that match every filter, newest first. Needs no credentials."""
    return await page_response(
        page,
        f"products {category} {in_stock} {max_price}",
        lambda connection, position, limit: products.catalogue(
            connection, position, limit, category, in_stock, max_price
        ),
        lambda product: _to_product(product).model_dump_json(),
    )


@routes.get(
    "/products/{product_id}",
    summary="Get one product",
    response_description=_PRODUCT,
    response_model=CatalogueProduct,
)
async def get_product(database: ServiceDatabase, product_id: UUID) -> Response:
    """Return a product of the catalogue. Needs no credentials. Problems: `not-found`."""
    async with database.connection() as connection:
        product = await products.get(connection, product_id)
    if product is None:
        raise not_found("product")
    return json_response(_to_product(product), version=product.version)


@routes.put(
    "/products/{product_id}",
    summary="Edit a product",
    response_description=_PRODUCT,
    response_model=CatalogueProduct,
)
async def edit_product(
    database: ServiceDatabase,
    product_id: UUID,
    _caller: Administrator,
    body: ProductBody,
    expected_version: IfMatchVersion,
) -> Response:
    """Replace all editable fields of a product.

    Requires the role admin. Send the `ETag` as `If-Match` so that no other change is overwritten. Problems:
    `not-found`, `not-offered` if the price book lacks the process or material, `stale-version`.
    """
    check_order_request(body.process, body.material, None, 1)
    async with database.transaction() as connection:
        product = await service.edit_product(connection, product_id, expected_version, body.model_dump())
    return json_response(_to_product(product), version=product.version)


@routes.post(
    "/orders",
    status_code=HTTPStatus.CREATED,
    summary="Create an order",
    response_description="The order was created; `Location` is its address",
    response_model=CreatedOrder,
)
async def create_order(
    request: Request, database: ServiceDatabase, body: NewOrder, caller: Customer, key: IdempotencyKey = None
) -> Response:
    """Create an order in INITIATED. Upload its model next, then submit it for pricing.

    Requires the role customer or partner. Problems: `not-offered` if the price book lacks the option (with what is
    offered instead), `not-found` for an unknown product, `key-reused` for an Idempotency-Key sent with another body.
    """
    check_order_request(body.process, body.material, body.finish, body.quantity)
    order_request = OrderRequest.model_validate(body.model_dump())

    async def create(connection: Connection) -> Created:
        order_id = new_id()
        await service.create_order(connection, order_id, caller.id, Role.PARTNER in caller.roles, order_request)
        created = CreatedOrder(order_id=order_id, status=OrderStatus.INITIATED)
        return Created(HTTPStatus.CREATED, created, {"Location": f"/shop/orders/{order_id}"})

    return await create_once(database, key, caller.id, request, [body.model_dump_json().encode()], create)


@routes.get(
    "/orders",
    summary="List the caller's orders",
    response_description="A page of orders",
    response_model=Page[OrderSummary],
)
async def list_orders(page: PageParams, caller: Customer) -> Response:
    """Return the orders that the caller placed, newest first. Requires the role customer or partner."""
    return await page_response(
        page,
        f"shop orders {caller.id}",
        lambda connection, position, limit: repository.of_owner(connection, caller.id, position, limit),
        lambda order: OrderSummary(order_id=order.id, **order.model_dump()).model_dump_json(),
    )


@routes.get("/orders/{order_id}", summary="Get one order", response_description=_ORDER, response_model=ShopOrder)
async def get_order(database: ServiceDatabase, order_id: UUID, caller: Customer) -> Response:
    """Return an order of the caller with its price and its history.

    Requires the role customer or partner. Send the `ETag` as `If-Match` with a step, so that it fails if the order has
    changed. Problems: `not-found`, also for an order of another customer.
    """
    async with database.connection() as connection:
        order = await repository.get(connection, order_id)
        if order is None or not caller.owns(order.owner_id):
            raise not_found("order")
        return await _to_response(connection, order)


@routes.put(
    "/orders/{order_id}/model",
    summary="Upload the model of an order",
    response_description=_AFTER,
    response_model=ShopOrder,
    openapi_extra=upload.documented(),
    max_body_size=upload.UNBOUNDED,
)
async def put_model(
    request: Request,
    database: ServiceDatabase,
    models: Models,
    step: OrderStep,
    unit: Annotated[
        Literal[UNITS],  # type: ignore[valid-type]
        Query(description="Unit of the model's coordinates; 3MF, STEP and GLB files have their own"),
    ] = "mm",
) -> Response:
    """Set the 3D model of an order, in place of any earlier one; the order becomes FILE_UPLOADED.

    Requires the order's owner and a `multipart/form-data` body with the file `model` (STL, OBJ, OFF, PLY, 3MF, GLB or
    STEP). Problems: `not-found`, `illegal-step` once the order is submitted, `not-multipart`, `malformed-upload`,
    `model-too-large`, `slow-upload` for a body that stalls, `stale-version`.
    """
    async with database.connection() as connection:  # before a large body is read
        await service.check_upload(connection, step)
    uploaded = await upload.receive(request, models)
    async with database.transaction() as connection:
        order = await service.put_model(connection, step, uploaded.model, unit)
        return await _to_response(connection, order)


@routes.post(
    "/orders/{order_id}/submit",
    summary="Submit an order for pricing",
    response_description=_AFTER,
    response_model=ShopOrder,
)
async def submit_order(database: ServiceDatabase, step: OrderStep) -> Response:
    """Request the price of an order with a model.

    It becomes SUBMITTED, and later PRICE_CALCULATED, REVIEW_REQUIRED, REJECTED or PRICE_FAILED. Follow the status at
    `GET /status/orders/{order_id}/events`.

    Requires the order's owner, and FILE_UPLOADED, PRICE_FAILED or QUOTE_EXPIRED. Problems: `not-found`, `illegal-step`
    in another status (with the legal steps), `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.submit(connection, step)
        return await _to_response(connection, order)


@routes.post(
    "/orders/{order_id}/cancel",
    summary="Cancel an order",
    response_description=_AFTER,
    response_model=ShopOrder,
)
async def cancel_order(database: ServiceDatabase, step: OrderStep, body: StepReason) -> Response:
    """Cancel an order before its manufacturing starts; it becomes CANCELLED, which is final, and pricing stops.

    Requires the order's owner. Problems: `not-found`, `illegal-step` once manufacturing has started (with the legal
    steps), `stale-version`.
    """
    async with database.transaction() as connection:
        order = await service.cancel(connection, step, body.reason)
        return await _to_response(connection, order)


async def _to_response(connection: Connection, order: ShopOrderRow) -> Response:
    history = await repository.history(connection, order.id)
    body = ShopOrder(order_id=order.id, history=history_lines(history), **order.model_dump())
    return json_response(body, version=order.version)


def _to_product(product: Product) -> CatalogueProduct:
    return CatalogueProduct(product_id=product.id, **product.model_dump())


async def _open(app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    app.state.models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)


def build() -> FastAPI:
    """Return the application, to be served under ``/shop``."""
    return build_service("shop", [routes], _open, "The catalogue, and orders until a price is calculated.")
