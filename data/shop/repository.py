"""All SQL of the shop's orders: small functions on a connection, within the caller's transaction."""

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
    """An order as the shop has it."""

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


class HistoryRow(sql.Row):
    """A line of an order's history."""

    status: OrderStatus
    at: datetime
    by: str


_CREATED = (
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
_CHANGED = ("status", "held_from", "unit", "model_sha256", "quote_id", "quote", "submitted_at", "revision")
_mine = ORDERS.c.id == bindparam("id", type_=Uuid)
CREATE = outbox.telling(sql.insert_into(ORDERS, *_CREATED), sql.insert_into(HISTORY))
_GET = sql.Statement(select(ORDERS).where(_mine))
_LOCK = sql.Statement(select(ORDERS).where(_mine).with_for_update())
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
            **{name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED},
        }
    )
)
_MOVE = sql.Statement(sql.insert_into(HISTORY).add_cte(_save.cte("saved")))
_MOVE_AND_TELL = outbox.telling(_save, sql.insert_into(HISTORY))
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
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


async def create(connection: Connection, told: OrderInitiated) -> None:
    """A new order, INITIATED, and the event that tells it."""
    await sql.run(connection, CREATE, creation(told))


def creation(told: OrderInitiated) -> dict[str, Any]:
    """Parameters of ``CREATE``."""
    row = {name: getattr(told, name) for name in _CREATED if name not in ("id", "status")}
    line = _line(told.order_id, 1, OrderStatus.INITIATED, told.by)
    return {**row, "id": told.order_id, **line, **outbox.parameters(told)}


def _line(ident: UUID, n: int, status: OrderStatus, by: str) -> dict[str, Any]:
    return {"order_id": ident, "n": n, "status": status, "at": clock.now(), "by": by}


async def get(connection: Connection, ident: UUID) -> ShopOrderRow | None:
    """An order."""
    return await sql.one(connection, _GET, {"id": ident}, ShopOrderRow)


async def lock(connection: Connection, ident: UUID, version: int | None = None) -> ShopOrderRow | None:
    """An order that nobody else changes before the transaction ends.

    Raises StaleVersion where the caller saw another ``version``.
    """
    order = await sql.one(connection, _LOCK, {"id": ident}, ShopOrderRow)
    if order is not None and version is not None and order.version != version:
        raise StaleVersion(order.version)
    return order


async def move(
    connection: Connection,
    order: ShopOrderRow,
    step: Step,
    by: str,
    actor: Actor | None = None,
    told: int | None = None,
    tell: Callable[[ShopOrderRow], EventData] | None = None,
    **changes: Any,
) -> ShopOrderRow:
    """Take a step with an order that :func:`lock` gave; ``changes``: other columns that change with it.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``told``: the revision of the event that told us of the
    step; ``tell``: makes the event by which we tell it. Raises IllegalStep.
    """
    status, held_from = lifecycle.move(order.status, order.held_from, step, actor)
    counts = {"version": order.version + 1, "revision": max(order.revision + 1, told or 0)}
    after = order.model_copy(update={**changes, **counts, "status": status, "held_from": held_from})
    kept = {name: getattr(after, name) for name in _CHANGED}
    kept["quote"] = after.quote.model_dump(mode="json") if after.quote else None
    given = {**kept, **_line(order.id, after.version, status, by)}
    if tell is None:
        await sql.run(connection, _MOVE, given)
    else:
        await sql.run(connection, _MOVE_AND_TELL, {**given, **outbox.parameters(tell(after))})
    return after


async def history(connection: Connection, ident: UUID) -> list[HistoryRow]:
    """All that happened to an order, oldest first."""
    return await sql.many(connection, _HISTORY, {"id": ident}, HistoryRow)


async def of_owner(connection: Connection, owner_id: str, place: paging.Position, limit: int) -> list[ShopOrderRow]:
    """Orders of somebody, newest first: a page and one row more."""
    return await sql.many(
        connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(place, limit)}, ShopOrderRow
    )


async def overdue(connection: Connection, wait: timedelta, limit: int = 100) -> Sequence[ShopOrderRow]:
    """Lock orders that have waited for a price for ``wait`` of operating time (:mod:`data.kit.timers`).

    Leaves out those that others have locked.
    """
    return await sql.many(connection, _OVERDUE, {"wait_ms": timers.to_ms(wait), "most": limit}, ShopOrderRow)
