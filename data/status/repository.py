"""All SQL of the status service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from data.contracts.common import QuoteSummary
from data.contracts.envelope import CloudEvent
from data.contracts.lifecycle import OrderStatus
from data.kit import paging, sql
from data.kit.database import Connection
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.status.tables import HISTORY, ORDERS


class StatusOrderRow(sql.Row):
    """An order as its owner sees it. ``entries``: how many lines its history has."""

    id: UUID
    status: OrderStatus
    owner_id: str
    partner: bool
    priority: str
    quote: QuoteSummary | None
    entries: int
    created_at: datetime


class HistoryRow(sql.Row):
    """A line of the history; ``n`` counts from 1 and names it for whoever resumes a stream."""

    n: int
    status: OrderStatus
    at: datetime
    by: str


class _Kept(sql.Row):
    status: OrderStatus | None
    held_from: OrderStatus | None
    owner_id: str | None
    partner: bool
    priority: str | None
    quote: dict[str, Any] | None
    entries: int
    revision: int
    submitted: tuple[UUID, ...]
    seen: dict[str, int]


_CHANGED = (
    "status",
    "held_from",
    "owner_id",
    "partner",
    "priority",
    "quote",
    "entries",
    "revision",
    "submitted",
    "seen",
)
_mine = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_known = ORDERS.c.status.is_not(None)
_new = sql.insert_into(ORDERS, "id")
# The conflict's update locks the row, whether this event or another was the order's first.
_LOCK = sql.Statement(
    _new.on_conflict_do_update(index_elements=[ORDERS.c.id], set_={"id": _new.excluded.id}).returning(ORDERS)
)
_SAVE = sql.Statement(
    update(ORDERS).where(_mine).values({name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED})
)
_RECORD = sql.Statement(sql.insert_into(HISTORY))
_GET = sql.Statement(select(ORDERS).where(_mine, _known))
_HISTORY = sql.Statement(
    select(HISTORY.c.n, HISTORY.c.status, HISTORY.c.at, HISTORY.c.by)
    .where(HISTORY.c.order_id == bindparam("order_id", type_=Uuid), HISTORY.c.n > bindparam("after"))
    .order_by(HISTORY.c.n)
)
_OF_OWNER = paging.select_page(
    ORDERS,
    ORDERS.c.owner_id == bindparam("owner_id"),
    _known,
    text=sql.json_text(
        order_id=ORDERS.c.id, status=ORDERS.c.status, priority=ORDERS.c.priority, created_at=ORDERS.c.created_at
    ),
)
_line = sql.json_object(status=HISTORY.c.status, at=HISTORY.c.at, by=HISTORY.c.by)
_lines = (
    select(func.json_agg(aggregate_order_by(_line, HISTORY.c.n)))
    .where(HISTORY.c.order_id == ORDERS.c.id)
    .scalar_subquery()
)
_SHOWN = sql.Statement(
    select(
        ORDERS.c.id,
        ORDERS.c.owner_id,
        sql.json_text(
            order_id=ORDERS.c.id,
            status=ORDERS.c.status,
            priority=ORDERS.c.priority,
            quote=ORDERS.c.quote,
            history=_lines,
        ),
    ).where(ORDERS.c.id == any_(bindparam("order_ids", type_=ARRAY(Uuid))), _known)
)


async def apply(connection: Connection, ident: UUID, event: CloudEvent) -> HistoryRow | None:
    """Apply an event to an order within the caller's transaction; gives the new line of its history, if there is one.

    Raises PredecessorMissing.
    """
    kept = await sql.one(connection, _LOCK, {"id": ident}, _Kept)
    assert kept is not None
    before = OrderState.model_validate(kept.model_dump())
    after, entry = apply_event(before, event)
    if after == before:
        return None
    n = kept.entries + (entry is not None)
    await sql.run(connection, _SAVE, {"order_id": ident, **_columns(after, n)})
    if entry is None:
        return None
    await sql.run(connection, _RECORD, _record(ident, n, entry))
    return HistoryRow(n=n, status=entry.status, at=entry.at, by=entry.by)


def _columns(state: OrderState, entries: int) -> dict[str, Any]:
    return {
        "status": state.status,
        "held_from": state.held_from,
        "owner_id": state.owner_id,
        "partner": state.partner,
        "priority": state.priority,
        "quote": state.quote.model_dump(mode="json") if state.quote else None,
        "entries": entries,
        "revision": state.revision,
        "submitted": list(state.submitted),
        "seen": state.seen,
    }


def _record(ident: UUID, n: int, entry: HistoryEntry) -> dict[str, Any]:
    return {
        "order_id": ident,
        "n": n,
        "status": entry.status,
        "at": entry.at,
        "by": entry.by,
        "event_id": entry.event.id,
    }


async def get(connection: Connection, ident: UUID) -> StatusOrderRow | None:
    """An order, None also while only later events of it have come."""
    return await sql.one(connection, _GET, {"order_id": ident}, StatusOrderRow)


async def history(connection: Connection, ident: UUID, after: int = 0) -> list[HistoryRow]:
    """The lines of an order's history after line ``after``, oldest first."""
    return await sql.many(connection, _HISTORY, {"order_id": ident, "after": after}, HistoryRow)


class OrderJson(NamedTuple):
    """An order's owner, and the order with its history as JSON."""

    owner_id: str
    text: str


async def orders_as_json(connection: Connection, idents: Sequence[UUID]) -> dict[UUID, OrderJson]:
    """Those of the orders that are there."""
    found = await sql.rows(connection, _SHOWN, {"order_ids": list(idents)})
    return {ident: OrderJson(owner_id, text) for ident, owner_id, text in found}


async def of_owner(connection: Connection, owner_id: str, place: paging.Position, limit: int) -> list[paging.JsonRow]:
    """Orders of somebody, newest first: a page and one row more."""
    return await paging.json_rows(connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(place, limit)})
