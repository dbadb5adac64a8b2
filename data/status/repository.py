"""SQL of the status service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field
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
    """An order in the status service. ``entries``: the length of its history."""

    id: UUID
    status: OrderStatus
    owner_id: str
    partner: bool
    priority: str
    quote: QuoteSummary | None
    entries: int
    created_at: datetime


class StatusHistoryRow(sql.Row):
    """An entry of the history; ``n`` counts from 1 and is the event id by which a client resumes a stream."""

    n: int
    status: OrderStatus
    at: datetime
    by: str


class _StoredOrder(sql.Row):
    status: OrderStatus | None
    held_from: OrderStatus | None
    owner_id: str | None
    partner: bool
    priority: str | None
    quote: dict[str, Any] | None
    entries: int
    revision: int
    submitted: tuple[UUID, ...]
    last_sequences: dict[str, int] = Field(alias="seen")


_CHANGED_COLUMNS = (
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
_by_id = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_has_status = ORDERS.c.status.is_not(None)
_new = sql.insert_into(ORDERS, "id")
# The conflict's update locks the row, whether this event or another was the order's first.
_LOCK = sql.Statement(
    _new.on_conflict_do_update(index_elements=[ORDERS.c.id], set_={"id": _new.excluded.id}).returning(ORDERS)
)
_SAVE = sql.Statement(
    update(ORDERS).where(_by_id).values({name: bindparam(name, type_=ORDERS.c[name].type) for name in _CHANGED_COLUMNS})
)
_RECORD = sql.Statement(sql.insert_into(HISTORY))
_GET = sql.Statement(select(ORDERS).where(_by_id, _has_status))
_HISTORY = sql.Statement(
    select(HISTORY.c.n, HISTORY.c.status, HISTORY.c.at, HISTORY.c.by)
    .where(HISTORY.c.order_id == bindparam("order_id", type_=Uuid), HISTORY.c.n > bindparam("after"))
    .order_by(HISTORY.c.n)
)
_OF_OWNER = paging.select_page(
    ORDERS,
    ORDERS.c.owner_id == bindparam("owner_id"),
    _has_status,
    text=sql.json_text(
        order_id=ORDERS.c.id, status=ORDERS.c.status, priority=ORDERS.c.priority, created_at=ORDERS.c.created_at
    ),
)
_history_json = sql.json_object(status=HISTORY.c.status, at=HISTORY.c.at, by=HISTORY.c.by)
_history_array = (
    select(func.json_agg(aggregate_order_by(_history_json, HISTORY.c.n)))
    .where(HISTORY.c.order_id == ORDERS.c.id)
    .scalar_subquery()
)
_AS_JSON = sql.Statement(
    select(
        ORDERS.c.id,
        ORDERS.c.owner_id,
        sql.json_text(
            order_id=ORDERS.c.id,
            status=ORDERS.c.status,
            priority=ORDERS.c.priority,
            quote=ORDERS.c.quote,
            history=_history_array,
        ),
    ).where(ORDERS.c.id == any_(bindparam("order_ids", type_=ARRAY(Uuid))), _has_status)
)


async def apply(connection: Connection, order_id: UUID, event: CloudEvent) -> StatusHistoryRow | None:
    """Apply an event to an order within the caller's transaction; return the new history entry, if there is one.

    Raises PredecessorMissing.
    """
    stored = await sql.one(connection, _LOCK, {"id": order_id}, _StoredOrder)
    assert stored is not None
    before = OrderState.model_validate(stored.model_dump())
    after, entry = apply_event(before, event)
    if after == before:
        return None
    n = stored.entries + (entry is not None)
    await sql.run(connection, _SAVE, {"order_id": order_id, **_columns(after, n)})
    if entry is None:
        return None
    await sql.run(connection, _RECORD, _history_parameters(order_id, n, entry))
    return StatusHistoryRow(n=n, status=entry.status, at=entry.at, by=entry.by)


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
        "seen": state.last_sequences,
    }


def _history_parameters(order_id: UUID, n: int, entry: HistoryEntry) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "n": n,
        "status": entry.status,
        "at": entry.at,
        "by": entry.by,
        "event_id": entry.event.id,
    }


async def get(connection: Connection, order_id: UUID) -> StatusOrderRow | None:
    """Return an order; None also while its first event has not arrived."""
    return await sql.one(connection, _GET, {"order_id": order_id}, StatusOrderRow)


async def history(connection: Connection, order_id: UUID, after: int = 0) -> list[StatusHistoryRow]:
    """Return the entries of an order's history after entry ``after``, oldest first."""
    return await sql.many(connection, _HISTORY, {"order_id": order_id, "after": after}, StatusHistoryRow)


class OrderJson(NamedTuple):
    """An order's owner, and the order with its history as JSON."""

    owner_id: str
    text: str


async def orders_as_json(connection: Connection, order_ids: Sequence[UUID]) -> dict[UUID, OrderJson]:
    """Return the existing ones of the orders, by id."""
    rows = await sql.rows(connection, _AS_JSON, {"order_ids": list(order_ids)})
    return {order_id: OrderJson(owner_id, text) for order_id, owner_id, text in rows}


async def of_owner(
    connection: Connection, owner_id: str, position: paging.Position, limit: int
) -> list[paging.JsonRow]:
    """Return a page of an owner's orders and one more row, newest first."""
    return await paging.json_rows(connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(position, limit)})
