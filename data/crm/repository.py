"""SQL of the CRM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, DateTime, Uuid, bindparam, case, cast, extract, func, null, select, update

from data.contracts import lifecycle
from data.contracts.common import Priority, QuoteReason, QuoteSummary
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, OrderStatus, Step
from data.contracts.shop import OrderSubmitted
from data.crm.tables import ORDERS
from data.kit import outbox, paging, sql, timers
from data.kit.database import Connection
from data.kit.errors import StaleVersion


class CrmOrderRow(sql.Row):
    """An order in the CRM. ``reasons``: why pricing requires a review."""

    id: UUID
    owner_id: str
    partner: bool
    status: OrderStatus
    held_from: OrderStatus | None
    process: str
    material: str
    finish: str | None
    quantity: int
    priority: Priority
    unit: str
    model_sha256: str
    quote_id: UUID | None
    quote: QuoteSummary | None
    reasons: tuple[QuoteReason, ...] | None
    expires_at: datetime | None
    note: str | None
    revision: int
    version: int
    created_at: datetime


_EVENT_COLUMNS = (
    "id", "owner_id", "partner", "status", "process", "material", "finish", "quantity", "priority", "unit",
    "model_sha256", "quote_id", "revision",
)  # fmt: skip
_CHANGED_COLUMNS = (
    "status",
    "held_from",
    "quote",
    "reasons",
    "expires_at",
    "note",
    "quote_id",
    "unit",
    "model_sha256",
    "revision",
)
_AWAITING = (OrderStatus.PRICE_CALCULATED, OrderStatus.REVIEW_REQUIRED)
_by_id = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_OPEN = sql.Statement(sql.insert_into(ORDERS, *_EVENT_COLUMNS).on_conflict_do_nothing().returning(ORDERS.c.id))
_GET = sql.Statement(select(ORDERS).where(_by_id))
_LOCK = sql.Statement(select(ORDERS).where(_by_id).with_for_update())
EXPIRY_TIMER = "quote expiry"
_operating_ms = timers.elapsed_ms(EXPIRY_TIMER)
_new_expiry = bindparam("expires_at", type_=DateTime(timezone=True))
_left_ms = cast(func.ceil(1000 * extract("epoch", _new_expiry - func.now())), BigInteger)
_save = (
    update(ORDERS)
    .where(_by_id)
    .values(
        {
            "version": ORDERS.c.version + 1,
            "expires_after_ms": case(
                (_new_expiry.is_(None), null()),
                (ORDERS.c.expires_at == _new_expiry, ORDERS.c.expires_after_ms),
                else_=_operating_ms + _left_ms,
            ),
            **{name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED_COLUMNS},
        }
    )
)
_SAVE = sql.Statement(_save)
_SAVE_WITH_EVENT = outbox.with_event(_save)
_JSON_COLUMNS = (
    "owner_id", "partner", "status", "process", "material", "finish", "quantity", "priority", "unit", "model_sha256",
    "quote", "reasons", "expires_at", "note", "created_at",
)  # fmt: skip
_text = sql.json_text(order_id=ORDERS.c.id, **{name: ORDERS.c[name] for name in _JSON_COLUMNS})
_ALL = paging.select_page(ORDERS, text=_text)
_WITH_STATUS = paging.select_page(ORDERS, ORDERS.c.status == bindparam("status"), text=_text)
_EXPIRED = sql.Statement(
    select(ORDERS)
    .where(
        ORDERS.c.expires_at < func.coalesce(bindparam("now", type_=DateTime(timezone=True)), func.now()),
        ORDERS.c.expires_after_ms <= _operating_ms,
    )
    .order_by(ORDERS.c.expires_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)


async def open_order(connection: Connection, event: OrderSubmitted) -> bool:
    """Insert a submitted order; return False if it exists, from an earlier submission."""
    columns = {name: getattr(event, name) for name in _EVENT_COLUMNS if name not in ("id", "status")}
    row = {**columns, "id": event.order_id, "status": OrderStatus.SUBMITTED, "revision": event.revision or 0}
    return await sql.value(connection, _OPEN, row) is not None


async def get(connection: Connection, order_id: UUID) -> CrmOrderRow | None:
    """Return an order."""
    return await sql.one(connection, _GET, {"order_id": order_id}, CrmOrderRow)


async def lock(connection: Connection, order_id: UUID, version: int | None = None) -> CrmOrderRow | None:
    """Return an order, locked until the end of the transaction.

    Raises StaleVersion if its version is not ``version``.
    """
    order = await sql.one(connection, _LOCK, {"order_id": order_id}, CrmOrderRow)
    if order is not None and version is not None and order.version != version:
        raise StaleVersion(order.version)
    return order


async def move(
    connection: Connection,
    order: CrmOrderRow,
    step: Step,
    actor: Actor | None = None,
    event_revision: int | None = None,
    make_event: Callable[[CrmOrderRow], EventData] | None = None,
    **changes: Any,
) -> CrmOrderRow:
    """Take a step with an order from :func:`lock`; ``changes``: other columns that change with it.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``event_revision``: the revision of the event that reports
    the step; ``make_event``: returns the event to publish for it. The quote's timer runs while a decision is awaited.
    Raises IllegalStep.
    """
    status, held_from = lifecycle.move(order.status, order.held_from, step, actor)
    moved = order.model_copy(
        update={
            **changes,
            "status": status,
            "held_from": held_from,
            "version": order.version + 1,
            "revision": max(order.revision + 1, event_revision or 0),
        }
    )
    timer = moved.quote.expires_at if moved.quote and status in _AWAITING else None
    moved = moved.model_copy(update={"expires_at": timer})
    await _write(connection, moved, make_event(moved) if make_event else None)
    return moved


async def annotate(connection: Connection, order: CrmOrderRow, note: str | None) -> CrmOrderRow:
    """Save a seller's note on an order from :func:`lock`."""
    noted = order.model_copy(update={"note": note, "version": order.version + 1})
    await _write(connection, noted)
    return noted


async def _write(connection: Connection, order: CrmOrderRow, event: EventData | None = None) -> None:
    columns: dict[str, Any] = {name: getattr(order, name) for name in _CHANGED_COLUMNS}
    columns["quote"] = order.quote.model_dump(mode="json") if order.quote else None
    columns["reasons"] = None if order.reasons is None else Jsonb([each.model_dump() for each in order.reasons])
    parameters = {"order_id": order.id, **columns}
    if event is None:
        await sql.run(connection, _SAVE, parameters)
    else:
        await sql.run(connection, _SAVE_WITH_EVENT, {**parameters, **outbox.parameters(event)})


async def board(
    connection: Connection, status: OrderStatus | None, position: paging.Position, limit: int
) -> list[paging.JsonRow]:
    """Return a page of orders and one more row, of one status or of all, newest first."""
    parameters = paging.parameters(position, limit)
    if status is None:
        return await paging.json_rows(connection, _ALL, parameters)
    return await paging.json_rows(connection, _WITH_STATUS, {"status": status, **parameters})


async def expired(connection: Connection, now: datetime | None = None, limit: int = 100) -> list[CrmOrderRow]:
    """Return and lock orders whose quote has expired, in wall-clock and in operating time.

    ``now``: None for the database's clock. Skips orders that are locked.
    """
    return await sql.many(connection, _EXPIRED, {"now": now, "limit": limit}, CrmOrderRow)
