"""All SQL of pricing. A quote ends once: whoever ends it second is told that it was over."""

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
    """How far a quote is. ``DONE`` also where the model can't be made: then its verdict says so."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REVIEW = "review"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Quote(sql.Row):
    """A quote as pricing has it. ``result``: the engine's quote, as JSON, when it is done."""

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


_ASKED = ("id", "order_id", "owner_id", "status", "priority", "process", "material", "finish", "quantity", "unit")
_INTERVAL = {
    "interval_low": bindparam("low", type_=Numeric),
    "interval_high": bindparam("high", type_=Numeric),
    "currency": bindparam("currency_code", type_=Text),
}
_NO_REQUEST = ""
"""Stands for the model of a quote that was withdrawn before its request came."""
_mine = QUOTES.c.id == bindparam("quote_id", type_=Uuid)
_unfinished = QUOTES.c.finished_at.is_(None)
_insert = sql.insert_into(QUOTES, *_ASKED, "model_sha256")
_without_request = QUOTES.c.model_sha256 == _NO_REQUEST
_CREATE = sql.Statement(
    _insert.on_conflict_do_update(
        index_elements=["id"],
        set_={name: _insert.excluded[name] for name in (*_ASKED, "model_sha256") if name not in ("id", "status")},
        where=_without_request,
    ).returning(QUOTES)
)
# Whoever inserts a row of this id second, the request or its withdrawal, waits for the first and finds its row.
_WITHDRAW = sql.Statement(
    sql.insert_into(QUOTES, *_ASKED, "model_sha256", "finished_at")
    .on_conflict_do_update(
        index_elements=["id"],
        set_={"status": QuoteStatus.CANCELLED, "finished_at": bindparam("finished_at")},
        where=_unfinished,
    )
    .returning(QUOTES)
)
_GET = sql.Statement(select(QUOTES).where(_mine))
_START = sql.Statement(
    update(QUOTES)
    .where(_mine, _unfinished)
    .values(status=QuoteStatus.RUNNING, started_at=bindparam("at", type_=DateTime(timezone=True)))
    .returning(QUOTES.c.id)
)
_PROGRESS = sql.Statement(
    update(QUOTES)
    .where(_mine, _unfinished, QUOTES.c.progress <= bindparam("share", type_=Double))
    .values(progress=bindparam("share", type_=Double), **_INTERVAL)
    .returning(QUOTES.c.id)
)
_FINISH = sql.Statement(
    update(QUOTES)
    .where(_mine, _unfinished)
    .values(
        status=bindparam("end", type_=Text),
        progress=bindparam("share", type_=Double),
        result=bindparam("outcome", type_=JSONB),
        content_id=bindparam("content", type_=Text),
        error=bindparam("why", type_=Text),
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
    .limit(bindparam("most"))
)
_HAS_MODEL = sql.Statement(
    select(QUOTES.c.id)
    .where(QUOTES.c.owner_id == bindparam("owner_id"), QUOTES.c.model_sha256 == bindparam("sha256"))
    .limit(1)
)


async def create(connection: Connection, asked: QuoteRequested) -> Quote | None:
    """A quote for a request: queued, or cancelled where it was withdrawn before. None where there is one already."""
    return await sql.one(connection, _CREATE, creation(asked), Quote)


async def withdraw(connection: Connection, withdrawn: QuoteWithdrawn) -> Quote | None:
    """Cancel a quote that is not over, and give it. None where it is over, and where its request has not come yet:
    then it is cancelled as soon as that comes.
    """
    given = dict.fromkeys(("owner_id", "process", "material", "unit"), "") | {
        "id": withdrawn.quote_id,
        "order_id": withdrawn.order_id,
        "status": QuoteStatus.CANCELLED,
        "priority": withdrawn.priority,
        "finish": None,
        "quantity": 0,
        "model_sha256": _NO_REQUEST,
        "finished_at": clock.now(),
    }
    quote = await sql.one(connection, _WITHDRAW, given, Quote)
    return None if quote is None or quote.model_sha256 == _NO_REQUEST else quote


def creation(asked: QuoteRequested) -> dict[str, Any]:
    """Parameters of a new row."""
    return {
        "id": asked.quote_id,
        "order_id": asked.order_id,
        "owner_id": asked.owner_id,
        "status": QuoteStatus.QUEUED,
        "priority": asked.priority,
        "process": asked.process,
        "material": asked.material,
        "finish": asked.finish,
        "quantity": asked.quantity,
        "unit": asked.unit,
        "model_sha256": asked.model_sha256,
    }


async def get(connection: Connection, ident: UUID) -> Quote | None:
    """A quote."""
    return await sql.one(connection, _GET, {"quote_id": ident}, Quote)


async def start(connection: Connection, ident: UUID) -> bool:
    """It runs now; False where it is over."""
    return await sql.value(connection, _START, {"quote_id": ident, "at": clock.now()}) is not None


async def progress(
    connection: Connection, ident: UUID, share: float, low: Decimal | None, high: Decimal | None, currency: str | None
) -> bool:
    """How far it is, 0 to 1, and between which prices; False where it is over, or was further already."""
    interval = {"low": low, "high": high, "currency_code": currency}
    return await sql.value(connection, _PROGRESS, {"quote_id": ident, "share": share, **interval}) is not None


async def finish(
    connection: Connection,
    ident: UUID,
    status: QuoteStatus,
    result: dict[str, Any] | None = None,
    content_id: str | None = None,
    error: str | None = None,
    expires_at: datetime | None = None,
) -> Quote | None:
    """End it; None where it is over, or there is none, and then nothing changes."""
    given = {
        "quote_id": ident,
        "end": status,
        "share": 1.0 if result is not None else 0.0,
        "outcome": result,
        "content": content_id,
        "why": error,
        "until": expires_at,
        "at": clock.now(),
    }
    return await sql.one(connection, _FINISH, given, Quote)


async def of_owner(connection: Connection, owner_id: str, place: paging.Position, limit: int) -> list[Quote]:
    """Quotes of somebody, newest first: a page and one row more."""
    return await sql.many(connection, _OF_OWNER, {"owner_id": owner_id, **paging.parameters(place, limit)}, Quote)


async def unfinished(connection: Connection, priority: Priority, limit: int = 500) -> list[UUID]:
    """Quotes that are not over, however old, oldest first: what waits, and what a desk that died had."""
    return await sql.values(connection, _UNFINISHED, {"priority": priority, "most": limit})


async def has_model(connection: Connection, owner_id: str, sha256: str) -> bool:
    """Whether somebody has asked for a price of this model before."""
    return await sql.value(connection, _HAS_MODEL, {"owner_id": owner_id, "sha256": sha256}) is not None
