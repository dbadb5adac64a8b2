"""All SQL of the CRM."""

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
    """An order as sellers see it. ``reasons``: what pricing wants looked at."""

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


_TOLD = (
    "id", "owner_id", "partner", "status", "process", "material", "finish", "quantity", "priority", "unit",
    "model_sha256", "quote_id", "revision",
)  # fmt: skip
_CHANGED = (
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
_mine = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_OPEN = sql.Statement(sql.insert_into(ORDERS, *_TOLD).on_conflict_do_nothing().returning(ORDERS.c.id))
_GET = sql.Statement(select(ORDERS).where(_mine))
_LOCK = sql.Statement(select(ORDERS).where(_mine).with_for_update())
EXPIRY_TIMER = "quote expiry"
_operating_ms = timers.elapsed_ms(EXPIRY_TIMER)
_new_expiry = bindparam("expires_at", type_=DateTime(timezone=True))
_left_ms = cast(func.ceil(1000 * extract("epoch", _new_expiry - func.now())), BigInteger)
_save = (
    update(ORDERS)
    .where(_mine)
    .values(
        {
            "version": ORDERS.c.version + 1,
            "expires_after_ms": case(
                (_new_expiry.is_(None), null()),
                (ORDERS.c.expires_at == _new_expiry, ORDERS.c.expires_after_ms),
                else_=_operating_ms + _left_ms,
            ),
            **{name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED},
        }
    )
)
_SAVE = sql.Statement(_save)
_SAVE_AND_TELL = outbox.telling(_save)
SHOWN = (
    "owner_id", "partner", "status", "process", "material", "finish", "quantity", "priority", "unit", "model_sha256",
    "quote", "reasons", "expires_at", "note", "created_at",
)  # fmt: skip
_text = sql.json_text(order_id=ORDERS.c.id, **{name: ORDERS.c[name] for name in SHOWN})
_ALL = paging.select_page(ORDERS, text=_text)
_WITH_STATUS = paging.select_page(ORDERS, ORDERS.c.status == bindparam("status"), text=_text)
_EXPIRED = sql.Statement(
    select(ORDERS)
    .where(
        ORDERS.c.expires_at < func.coalesce(bindparam("now", type_=DateTime(timezone=True)), func.now()),
        ORDERS.c.expires_after_ms <= _operating_ms,
    )
    .order_by(ORDERS.c.expires_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


async def open_order(connection: Connection, told: OrderSubmitted) -> bool:
    """A submitted order; False where it is known, from an earlier submission."""
    given = {name: getattr(told, name) for name in _TOLD if name not in ("id", "status")}
    row = {**given, "id": told.order_id, "status": OrderStatus.SUBMITTED, "revision": told.revision or 0}
    return await sql.value(connection, _OPEN, row) is not None


async def get(connection: Connection, ident: UUID) -> CrmOrderRow | None:
    """An order."""
    return await sql.one(connection, _GET, {"order_id": ident}, CrmOrderRow)


async def lock(connection: Connection, ident: UUID, version: int | None = None) -> CrmOrderRow | None:
    """An order that nobody else changes before the transaction ends.

    Raises StaleVersion where the caller saw another ``version``.
    """
    order = await sql.one(connection, _LOCK, {"order_id": ident}, CrmOrderRow)
    if order is not None and version is not None and order.version != version:
        raise StaleVersion(order.version)
    return order


async def move(
    connection: Connection,
    order: CrmOrderRow,
    step: Step,
    actor: Actor | None = None,
    told: int | None = None,
    tell: Callable[[CrmOrderRow], EventData] | None = None,
    **changes: Any,
) -> CrmOrderRow:
    """Take a step with an order that :func:`lock` gave; ``changes``: other columns that change with it.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``told``: the revision of the event that tells the step;
    ``tell``: makes the event of the step, written in the same statement. The quote's timer runs while a decision is
    awaited. Raises IllegalStep.
    """
    status, held_from = lifecycle.move(order.status, order.held_from, step, actor)
    moved = order.model_copy(
        update={
            **changes,
            "status": status,
            "held_from": held_from,
            "version": order.version + 1,
            "revision": max(order.revision + 1, told or 0),
        }
    )
    timer = moved.quote.expires_at if moved.quote and status in _AWAITING else None
    moved = moved.model_copy(update={"expires_at": timer})
    await _write(connection, moved, tell(moved) if tell else None)
    return moved


async def annotate(connection: Connection, order: CrmOrderRow, note: str | None) -> CrmOrderRow:
    """A seller's note on an order that :func:`lock` gave."""
    noted = order.model_copy(update={"note": note, "version": order.version + 1})
    await _write(connection, noted)
    return noted


async def _write(connection: Connection, order: CrmOrderRow, event: EventData | None = None) -> None:
    kept: dict[str, Any] = {name: getattr(order, name) for name in _CHANGED}
    kept["quote"] = order.quote.model_dump(mode="json") if order.quote else None
    kept["reasons"] = None if order.reasons is None else Jsonb([each.model_dump() for each in order.reasons])
    kept["order_id"] = order.id
    if event is None:
        await sql.run(connection, _SAVE, kept)
    else:
        await sql.run(connection, _SAVE_AND_TELL, {**kept, **outbox.parameters(event)})


async def board(
    connection: Connection, status: OrderStatus | None, place: paging.Position, limit: int
) -> list[paging.JsonRow]:
    """Orders, of one status or of all, newest first: a page and one row more."""
    given = paging.parameters(place, limit)
    if status is None:
        return await paging.json_rows(connection, _ALL, given)
    return await paging.json_rows(connection, _WITH_STATUS, {"status": status, **given})


async def expired(connection: Connection, now: datetime | None = None, limit: int = 100) -> list[CrmOrderRow]:
    """Lock orders whose quote has expired: the instant it is valid until has passed, and as much operating time.

    ``now``: None for the database's clock. Leaves out those that others have locked.
    """
    return await sql.many(connection, _EXPIRED, {"now": now, "most": limit}, CrmOrderRow)
