"""SQL of the shop's orders: small functions on a connection, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, and_, bindparam, case, select, update

from data.contracts import lifecycle
from data.contracts.common import Priority, QuoteSummary
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, OrderStatus, Step
from data.contracts.shop import OrderInitiated
from data.kit import clock, outbox, paging, sql, timers
from data.kit.database import Connection
from data.kit.errors import StaleVersion
from data.shop.tables import HISTORY, ORDERS


class ShopOrderRow(sql.Row):
    """An order in the shop."""

    id: UUID
    owner_id: str
    partner: bool
    status: OrderStatus
    held_from: OrderStatus | None = None
    process: str
    material: str
    finish: str | None = None
    quantity: int
    priority: Priority
    product_id: UUID | None = None
    unit: str | None = None
    model_sha256: str | None = None
    quote_id: UUID | None = None
    quote: QuoteSummary | None = None
    submitted_at: datetime | None = None
    revision: int
    version: int
    created_at: datetime


class ShopHistoryRow(sql.Row):
    """An entry of an order's history."""

    status: OrderStatus
    at: datetime
    by: str


_CREATED_COLUMNS = (
    "id",
    "owner_id",
    "partner",
    "status",
    "process",
    "material",
    "finish",
    "quantity",
    "priority",
    "product_id",
)
_CHANGED_COLUMNS = ("status", "held_from", "unit", "model_sha256", "quote_id", "quote", "submitted_at", "revision")
_by_id = ORDERS.c.id == bindparam("id", type_=Uuid)
CREATE = outbox.with_event(sql.insert_into(ORDERS, *_CREATED_COLUMNS), sql.insert_into(HISTORY))
_GET = sql.Statement(select(ORDERS).where(_by_id))
_LOCK = sql.Statement(select(ORDERS).where(_by_id).with_for_update())
OVERDUE_TIMER = "pricing overdue"
_operating_ms = timers.elapsed_ms(OVERDUE_TIMER)
_is_submitted = and_(
    bindparam("status", type_=Text) == OrderStatus.SUBMITTED.value, ORDERS.c.status != OrderStatus.SUBMITTED.value
)
_save = (
    update(ORDERS)
    .where(ORDERS.c.id == bindparam("order_id", type_=Uuid))
    .values(
        {
            "version": ORDERS.c.version + 1,
            "waiting_since_ms": case((_is_submitted, _operating_ms), else_=ORDERS.c.waiting_since_ms),
            **{name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED_COLUMNS},
        }
    )
)
_MOVE = sql.Statement(sql.insert_into(HISTORY).add_cte(_save.cte("saved")))
_MOVE_WITH_EVENT = outbox.with_event(_save, sql.insert_into(HISTORY))
_HISTORY = sql.Statement(
    select(HISTORY.c.status, HISTORY.c.at, HISTORY.c.by)
    .where(HISTORY.c.order_id == bindparam("id", type_=Uuid))
    .order_by(HISTORY.c.n)
)
_OF_OWNER = paging.select_page(ORDERS, ORDERS.c.owner_id == bindparam("owner_id"))
_OVERDUE = sql.Statement(
    select(ORDERS)
    .where(
        ORDERS.c.status == sql.inline(OrderStatus.SUBMITTED),
        ORDERS.c.waiting_since_ms <= _operating_ms - bindparam("wait_ms", type_=BigInteger),
    )
    .order_by(ORDERS.c.waiting_since_ms)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)


async def create(connection: Connection, event: OrderInitiated) -> None:
    """Insert a new order, INITIATED, with its history and its event."""
    await sql.run(connection, CREATE, creation_parameters(event))


def creation_parameters(event: OrderInitiated) -> dict[str, Any]:
    """Return the parameters of ``CREATE``."""
    row = {name: getattr(event, name) for name in _CREATED_COLUMNS if name not in ("id", "status")}
    history = _history_row(event.order_id, 1, OrderStatus.INITIATED, event.by)
    return {**row, "id": event.order_id, **history, **outbox.parameters(event)}


def _history_row(order_id: UUID, n: int, status: OrderStatus, by: str) -> dict[str, Any]:
    return {"order_id": order_id, "n": n, "status": status, "at": clock.now(), "by": by}


async def get(connection: Connection, order_id: UUID) -> ShopOrderRow | None:
    """Return an order."""
    return await sql.one(connection, _GET, {"id": order_id}, ShopOrderRow)


async def lock(connection: Connection, order_id: UUID, version: int | None = None) -> ShopOrderRow | None:
    """Return an order, locked until the end of the transaction.

    Raises StaleVersion if its version is not ``version``.
    """
    order = await sql.one(connection, _LOCK, {"id": order_id}, ShopOrderRow)
    if order is not None and version is not None and order.version != version:
        raise StaleVersion(order.version)
    return order


async def move(
    connection: Connection,
    order: ShopOrderRow,
    step: Step,
    by: str,
    actor: Actor | None = None,
    event_revision: int | None = None,
    make_event: Callable[[ShopOrderRow], EventData] | None = None,
    **changes: Any,
) -> ShopOrderRow:
    """Take a step with an order from :func:`lock`; ``changes``: other columns that change with it.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``event_revision``: the revision of the received event that
    reports the step; ``make_event``: returns the event to publish for it. Raises IllegalStep.
    """
    status, held_from = lifecycle.move(order.status, order.held_from, step, actor)
    counts = {"version": order.version + 1, "revision": max(order.revision + 1, event_revision or 0)}
    after = order.model_copy(update={**changes, **counts, "status": status, "held_from": held_from})
    columns = {name: getattr(after, name) for name in _CHANGED_COLUMNS}
    columns["quote"] = after.quote.model_dump(mode="json") if after.quote else None
    parameters = {**columns, **_history_row(order.id, after.version, status, by)}
    if make_event is None:
        await sql.run(connection, _MOVE, parameters)
    else:
        await sql.run(connection, _MOVE_WITH_EVENT, {**parameters, **outbox.parameters(make_event(after))})
    return after


async def history(connection: Connection, order_id: UUID) -> list[ShopHistoryRow]:
    """Return the history of an order, oldest first."""
    return await sql.many(connection, _HISTORY, {"id": order_id}, ShopHistoryRow)


async def of_owner(connection: Connection, owner_id: str, position: paging.Position, limit: int) -> list[ShopOrderRow]:
    """Return a page of an owner's orders and one more row, newest first."""
    return await sql.many(
        connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(position, limit)}, ShopOrderRow
    )


async def overdue(connection: Connection, wait: timedelta, limit: int = 100) -> Sequence[ShopOrderRow]:
    """Return and lock orders that have waited for a price for ``wait`` of operating time (:mod:`data.kit.timers`).

    Skips orders that are locked.
    """
    return await sql.many(connection, _OVERDUE, {"wait_ms": timers.to_ms(wait), "limit": limit}, ShopOrderRow)
