"""What customers do with an order: each step is a status, its event and its line of history in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from data.contracts.common import OrderRequest
from data.contracts.envelope import EventData
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
from data.shop import repository
from data.shop.repository import ShopOrderRow
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found

_OWNERS = (Role.CUSTOMER, Role.PARTNER)


async def begin(connection: Connection, ident: UUID, owner_id: str, partner: bool, wish: OrderRequest) -> None:
    """A new order."""
    told: dict[str, Any] = {"order_id": ident, "owner_id": owner_id, "partner": partner, "by": owner_id, "revision": 1}
    await repository.create(connection, OrderInitiated(**told, **wish.model_dump()))


def check_upload(order: ShopOrderRow, who: Principal) -> None:
    """Raise IllegalStep where the order takes no model now."""
    advance(order.status, Step.UPLOAD, who.acting_as(*_OWNERS))


async def put_model(
    connection: Connection, ident: UUID, who: Principal, seen: int | None, model: StoredModel, unit: str
) -> ShopOrderRow:
    """The order has this model now; one it had already changes nothing. Raises IllegalStep, StaleVersion, a 404."""
    order = await _mine(connection, ident, who, seen)
    if order.status is OrderStatus.FILE_UPLOADED and (order.model_sha256, order.unit) == (model.sha256, unit):
        return order  # sent again by somebody who got no answer

    def told(after: ShopOrderRow) -> ModelUploaded:
        about: dict[str, Any] = {"order_id": ident, "by": who.id, "revision": after.revision, "unit": unit}
        return ModelUploaded(**about, model_sha256=model.sha256, bytes=model.bytes)

    return await _move(connection, order, Step.UPLOAD, who, told, model_sha256=model.sha256, unit=unit)


async def submit(connection: Connection, ident: UUID, who: Principal, seen: int | None) -> ShopOrderRow:
    """The order wants a price: the request goes to pricing in the topic of its priority."""
    order = await _mine(connection, ident, who, seen)
    asked = {name: getattr(order, name) for name in (*OrderRequest.model_fields, "owner_id", "model_sha256", "unit")}
    # Of two submissions the later one has the greater id: by that, an answer to the earlier one is known as such.
    asked |= {"order_id": ident, "quote_id": new_id_after(order.quote_id)}

    def told(after: ShopOrderRow) -> OrderSubmitted:
        return OrderSubmitted(**asked, partner=order.partner, by=who.id, revision=after.revision)

    changes = {"quote_id": asked["quote_id"], "quote": None, "submitted_at": clock.now()}
    after = await _move(connection, order, Step.SUBMIT, who, told, **changes)
    await outbox.append(connection, QuoteRequested(**asked))
    return after


async def cancel(connection: Connection, ident: UUID, who: Principal, seen: int | None, reason: str) -> ShopOrderRow:
    """The order is off, and pricing stops if it has begun."""
    order = await _mine(connection, ident, who, seen)

    def told(after: ShopOrderRow) -> OrderCancelled:
        return OrderCancelled(order_id=ident, by=who.id, revision=after.revision, reason=reason)

    after = await _move(connection, order, Step.CANCEL, who, told)
    await withdraw_quote(connection, order)
    return after


async def withdraw_quote(connection: Connection, order: ShopOrderRow) -> None:
    """Tell pricing that the price of ``order``, as it was before its last step, is not needed any more.

    An order whose price failed may still be in work there.
    """
    if order.status in (OrderStatus.SUBMITTED, OrderStatus.PRICE_FAILED) and order.quote_id is not None:
        await outbox.append(
            connection, QuoteWithdrawn(quote_id=order.quote_id, order_id=order.id, priority=order.priority)
        )


async def _mine(connection: Connection, ident: UUID, who: Principal, seen: int | None) -> ShopOrderRow:
    order = await repository.lock(connection, ident, seen)
    if order is None or not who.owns(order.owner_id):
        raise not_found("order")
    return order


async def _move(
    connection: Connection,
    order: ShopOrderRow,
    step: Step,
    who: Principal,
    tell: Callable[[ShopOrderRow], EventData],
    **changes: Any,
) -> ShopOrderRow:
    return await repository.move(connection, order, step, who.id, who.acting_as(*_OWNERS), make_event=tell, **changes)
