"""SQL of pricing. A quote finishes once: a second attempt to finish it changes nothing and returns None."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Double, Numeric, Text, Uuid, bindparam, select, update
from sqlalchemy.dialects.postgresql import JSONB

from data.contracts.common import Priority
from data.contracts.shop import QuoteRequested, QuoteWithdrawn
from data.kit import clock, paging, sql
from data.kit.database import Connection
from data.pricing.tables import QUOTES


class QuoteStatus(StrEnum):
    """The status of a quote. ``DONE`` includes models that can't be manufactured: see the verdict."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REVIEW = "review"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QuoteRow(sql.Row):
    """A quote in pricing's database. ``result``: the engine's quote as JSON, once it is done."""

    id: UUID
    order_id: UUID | None
    owner_id: str
    status: QuoteStatus
    priority: Priority
    process: str
    material: str
    finish: str | None
    quantity: int
    unit: str
    model_sha256: str
    progress: float
    interval_low: Decimal | None
    interval_high: Decimal | None
    currency: str | None
    content_id: str | None
    result: dict[str, Any] | None
    error: str | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime


_REQUEST_COLUMNS = (
    "id",
    "order_id",
    "owner_id",
    "status",
    "priority",
    "process",
    "material",
    "finish",
    "quantity",
    "unit",
)
_INTERVAL = {
    "interval_low": bindparam("low", type_=Numeric),
    "interval_high": bindparam("high", type_=Numeric),
    "currency": bindparam("currency_code", type_=Text),
}
_NO_REQUEST = ""
"""The model of a quote that was withdrawn before its request arrived."""
_by_id = QUOTES.c.id == bindparam("quote_id", type_=Uuid)
_unfinished = QUOTES.c.finished_at.is_(None)
_insert = sql.insert_into(QUOTES, *_REQUEST_COLUMNS, "model_sha256")
_without_request = QUOTES.c.model_sha256 == _NO_REQUEST
_CREATE = sql.Statement(
    _insert.on_conflict_do_update(
        index_elements=["id"],
        set_={
            name: _insert.excluded[name] for name in (*_REQUEST_COLUMNS, "model_sha256") if name not in ("id", "status")
        },
        where=_without_request,
    ).returning(QUOTES)
)
# The second insert of this id, of the request or its withdrawal, waits for the first and finds its row.
_WITHDRAW = sql.Statement(
    sql.insert_into(QUOTES, *_REQUEST_COLUMNS, "model_sha256", "finished_at")
    .on_conflict_do_update(
        index_elements=["id"],
        set_={"status": QuoteStatus.CANCELLED, "finished_at": bindparam("finished_at")},
        where=_unfinished,
    )
    .returning(QUOTES)
)
_GET = sql.Statement(select(QUOTES).where(_by_id))
_START = sql.Statement(
    update(QUOTES)
    .where(_by_id, _unfinished)
    .values(status=QuoteStatus.RUNNING, started_at=bindparam("at", type_=DateTime(timezone=True)))
    .returning(QUOTES.c.id)
)
_PROGRESS = sql.Statement(
    update(QUOTES)
    .where(_by_id, _unfinished, QUOTES.c.progress <= bindparam("share", type_=Double))
    .values(progress=bindparam("share", type_=Double), **_INTERVAL)
    .returning(QUOTES.c.id)
)
_FINISH = sql.Statement(
    update(QUOTES)
    .where(_by_id, _unfinished)
    .values(
        status=bindparam("new_status", type_=Text),
        progress=bindparam("share", type_=Double),
        result=bindparam("outcome", type_=JSONB),
        content_id=bindparam("content", type_=Text),
        error=bindparam("message", type_=Text),
        expires_at=bindparam("until", type_=DateTime(timezone=True)),
        finished_at=bindparam("at", type_=DateTime(timezone=True)),
    )
    .returning(QUOTES)
)
_OF_OWNER = paging.select_page(QUOTES, QUOTES.c.owner_id == bindparam("owner_id"))
_UNFINISHED = sql.Statement(
    select(QUOTES.c.id)
    .where(
        _unfinished,
        QUOTES.c.priority == bindparam("priority", type_=Text),
    )
    .order_by(QUOTES.c.created_at)
    .limit(bindparam("limit"))
)
_HAS_MODEL = sql.Statement(
    select(QUOTES.c.id)
    .where(QUOTES.c.owner_id == bindparam("owner_id"), QUOTES.c.model_sha256 == bindparam("sha256"))
    .limit(1)
)


async def create(connection: Connection, request: QuoteRequested) -> QuoteRow | None:
    """Create a quote for a request: queued, or cancelled if it was withdrawn before. Return None if it exists."""
    return await sql.one(connection, _CREATE, creation_parameters(request), QuoteRow)


async def withdraw(connection: Connection, withdrawn: QuoteWithdrawn) -> QuoteRow | None:
    """Cancel an unfinished quote, and return it.

    Return None if it is finished, or its request has not arrived yet: then it is cancelled as soon as the request
    arrives.
    """
    row = dict.fromkeys(("owner_id", "process", "material", "unit"), "") | {
        "id": withdrawn.quote_id,
        "order_id": withdrawn.order_id,
        "status": QuoteStatus.CANCELLED,
        "priority": withdrawn.priority,
        "finish": None,
        "quantity": 0,
        "model_sha256": _NO_REQUEST,
        "finished_at": clock.now(),
    }
    quote = await sql.one(connection, _WITHDRAW, row, QuoteRow)
    return None if quote is None or quote.model_sha256 == _NO_REQUEST else quote


def creation_parameters(request: QuoteRequested) -> dict[str, Any]:
    """Return the parameters of a new row."""
    return {
        "id": request.quote_id,
        "order_id": request.order_id,
        "owner_id": request.owner_id,
        "status": QuoteStatus.QUEUED,
        "priority": request.priority,
        "process": request.process,
        "material": request.material,
        "finish": request.finish,
        "quantity": request.quantity,
        "unit": request.unit,
        "model_sha256": request.model_sha256,
    }


async def get(connection: Connection, quote_id: UUID) -> QuoteRow | None:
    """Return a quote."""
    return await sql.one(connection, _GET, {"quote_id": quote_id}, QuoteRow)


async def start(connection: Connection, quote_id: UUID) -> bool:
    """Mark a quote as running; return False if it is finished."""
    return await sql.value(connection, _START, {"quote_id": quote_id, "at": clock.now()}) is not None


async def progress(
    connection: Connection,
    quote_id: UUID,
    share: float,
    low: Decimal | None,
    high: Decimal | None,
    currency: str | None,
) -> bool:
    """Save the progress, 0 to 1, and the price interval; return False if the quote is finished or had more progress."""
    interval = {"low": low, "high": high, "currency_code": currency}
    return await sql.value(connection, _PROGRESS, {"quote_id": quote_id, "share": share, **interval}) is not None


async def finish(
    connection: Connection,
    quote_id: UUID,
    status: QuoteStatus,
    result: dict[str, Any] | None = None,
    content_id: str | None = None,
    error: str | None = None,
    expires_at: datetime | None = None,
) -> QuoteRow | None:
    """Finish a quote; return None, with nothing changed, if it is finished or does not exist."""
    parameters = {
        "quote_id": quote_id,
        "new_status": status,
        "share": 1.0 if result is not None else 0.0,
        "outcome": result,
        "content": content_id,
        "message": error,
        "until": expires_at,
        "at": clock.now(),
    }
    return await sql.one(connection, _FINISH, parameters, QuoteRow)


async def of_owner(connection: Connection, owner_id: str, position: paging.Position, limit: int) -> list[QuoteRow]:
    """Return a page of an owner's quotes and one more row, newest first."""
    return await sql.many(connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(position, limit)}, QuoteRow)


async def unfinished(connection: Connection, priority: Priority, limit: int = 500) -> list[UUID]:
    """Return unfinished quotes, oldest first: queued ones, and those of a quote worker that died."""
    return await sql.values(connection, _UNFINISHED, {"priority": priority, "limit": limit})


async def has_model(connection: Connection, owner_id: str, sha256: str) -> bool:
    """Return whether the owner has a quote for this model."""
    return await sql.value(connection, _HAS_MODEL, {"owner_id": owner_id, "sha256": sha256}) is not None
