"""What customers do with orders: each step is a status, its history row and its event in one statement."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from data.contracts.common import OrderRequest
from data.contracts.lifecycle import OrderStatus, Step, advance
from data.contracts.shop import (
    ModelUploaded,
    OrderCancelled,
    OrderInitiated,
    OrderSubmitted,
    QuoteRequested,
    QuoteWithdrawn,
)
from data.kit import clock, outbox
from data.kit.database import Connection
from data.kit.ids import new_id_after
from data.model_store.store import StoredModel
from data.shop import products, repository
from data.shop.products import Product
from data.shop.repository import ShopOrderRow
from serve_app.kit.order_steps import EventOf, StepRequest, lock_order, take_step
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found

OWNER_ROLES = (Role.CUSTOMER, Role.PARTNER)


async def create_order(
    connection: Connection, order_id: UUID, owner_id: str, partner: bool, order_request: OrderRequest
) -> None:
    """Create an order; raises a 404 for an unknown product."""
    if order_request.product_id is not None and await products.get(connection, order_request.product_id) is None:
        raise not_found("product")
    fields: dict[str, Any] = {"order_id": order_id, "owner_id": owner_id, "partner": partner, "by": owner_id}
    await repository.create(connection, OrderInitiated(**fields, revision=1, **order_request.model_dump()))


async def edit_product(
    connection: Connection, product_id: UUID, expected_version: int | None, changes: dict[str, Any]
) -> Product:
    """Change a product; raises a 404, StaleVersion."""
    product = await products.get(connection, product_id)
    if product is None:
        raise not_found("product")
    version = product.version if expected_version is None else expected_version
    return await products.edit(connection, product.model_copy(update={**changes, "version": version}))


async def check_upload(connection: Connection, request: StepRequest) -> None:
    """Raise a 404 or IllegalStep if the order takes no model now, before a large body is read."""
    order = await repository.get(connection, request.order_id)
    if order is None or not request.principal.owns(order.owner_id):
        raise not_found("order")
    advance(order.status, Step.UPLOAD, request.principal.acting_as(*OWNER_ROLES))


async def put_model(connection: Connection, request: StepRequest, model: StoredModel, unit: str) -> ShopOrderRow:
    """Set the order's model; the same model again changes nothing. Raises IllegalStep, StaleVersion, a 404."""
    order = await _get_owned(connection, request)
    if order.status is OrderStatus.FILE_UPLOADED and (order.model_sha256, order.unit) == (model.sha256, unit):
        return order  # repeated by a client that got no response
    return await _take(
        connection,
        order,
        Step.UPLOAD,
        request.principal,
        lambda _, fields: ModelUploaded(**fields, unit=unit, model_sha256=model.sha256, bytes=model.bytes),
        model_sha256=model.sha256,
        unit=unit,
    )


async def submit(connection: Connection, request: StepRequest) -> ShopOrderRow:
    """Submit an order for pricing, in the topic of its priority."""
    order = await _get_owned(connection, request)
    shared = {name: getattr(order, name) for name in (*OrderRequest.model_fields, "owner_id", "model_sha256", "unit")}
    # Of two submissions the later one has the greater id, by which an answer to the earlier one is recognised.
    quote_id = new_id_after(order.quote_id)
    after = await _take(
        connection,
        order,
        Step.SUBMIT,
        request.principal,
        lambda _, fields: OrderSubmitted.model_validate(
            {**shared, **fields, "quote_id": quote_id, "partner": order.partner}
        ),
        quote_id=quote_id,
        quote=None,
        submitted_at=clock.now(),
    )
    await outbox.append(connection, QuoteRequested(**shared, order_id=order.id, quote_id=quote_id))
    return after


async def cancel(connection: Connection, request: StepRequest, reason: str) -> ShopOrderRow:
    """Cancel an order, and its pricing if that has started."""
    order = await _get_owned(connection, request)
    after = await _take(
        connection, order, Step.CANCEL, request.principal, lambda _, fields: OrderCancelled(**fields, reason=reason)
    )
    await withdraw_quote(connection, order)
    return after


async def withdraw_quote(connection: Connection, order: ShopOrderRow) -> None:
    """Cancel the pricing of ``order``, as it was before its last step.

    An order whose price failed may still be in work there.
    """
    if order.status in (OrderStatus.SUBMITTED, OrderStatus.PRICE_FAILED) and order.quote_id is not None:
        await outbox.append(
            connection, QuoteWithdrawn(quote_id=order.quote_id, order_id=order.id, priority=order.priority)
        )


async def _get_owned(connection: Connection, request: StepRequest) -> ShopOrderRow:
    return await lock_order(connection, repository.lock, request, lambda order: request.principal.owns(order.owner_id))


async def _take(
    connection: Connection,
    order: ShopOrderRow,
    step: Step,
    principal: Principal,
    event_of: EventOf[ShopOrderRow],
    **changes: Any,
) -> ShopOrderRow:
    move = partial(repository.move, by=principal.id)
    return await take_step(connection, move, order, step, principal, OWNER_ROLES, event_of, **changes)
