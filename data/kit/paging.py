"""Keyset pages: a list goes on after the last row seen, so page 1,000 costs what page 1 does.

A token is that row's place in the list, signed (HMAC-SHA256) together with the name of the list, so that nobody can
make one up or carry it to another list. Rows are ordered by (created_at, id), newest first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Table, Uuid, bindparam, select, tuple_

from data.kit import sql
from data.kit.database import Connection
from data.kit.errors import BadCursor

MAX_PAGE_SIZE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE, _MAC = struct.Struct(">q16s"), 16


class Positioned(Protocol):
    """A row that has a place in a list."""

    @property
    def id(self) -> UUID: ...
    @property
    def created_at(self) -> datetime: ...


ItemT = TypeVar("ItemT", bound=Positioned)


@dataclass(frozen=True, slots=True)
class Position:
    """The row that a page goes on after."""

    created_at: datetime
    id: UUID


START = Position(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
"""Before the first row."""


class JsonRow(NamedTuple):
    """A row of a list whose items go out as they come: its place, and the text of its JSON object."""

    created_at: datetime
    id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some rows of a list. ``next``: the token of the page after, None on the last one."""

    items: list[ItemT]
    next: str | None


class Cursors:
    """Makes and reads tokens. ``secret`` is the same for all replicas."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def page(self, rows: Sequence[ItemT], limit: int, scope: str) -> Page[ItemT]:
        """The page of ``limit`` rows, when one more was asked for to see whether there are more."""
        items = list(rows[:limit])
        return Page(
            items, self.token(Position(items[-1].created_at, items[-1].id), scope) if len(rows) > limit else None
        )

    def token(self, place: Position, scope: str) -> str:
        """A token for the rows after ``place`` in the list ``scope`` (its name with its filters)."""
        micros = (place.created_at - _EPOCH) // timedelta(microseconds=1)
        packed = _PLACE.pack(micros, place.id.bytes)
        return base64.urlsafe_b64encode(packed + self._mac(packed, scope)).decode()

    def place(self, token: str | None, scope: str) -> Position:
        """Where a page begins; raises BadCursor for a token that is not ours, or is another list's."""
        if token is None:
            return START
        try:
            raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except ValueError as error:
            raise BadCursor("this page token is not valid") from error
        packed, mac = raw[: _PLACE.size], raw[_PLACE.size :]
        if not hmac.compare_digest(mac, self._mac(packed, scope)):
            raise BadCursor("this page token is not valid for this list")
        micros, number = _PLACE.unpack(packed)
        return Position(_EPOCH + timedelta(microseconds=micros), UUID(bytes=number))

    def _mac(self, packed: bytes, scope: str) -> bytes:
        return hmac.digest(self._secret, scope.encode() + b"\0" + packed, hashlib.sha256)[:_MAC]


def select_page(
    table: Table, *conditions: ColumnElement[bool], text: ColumnElement[str] | None = None
) -> sql.Statement:
    """A page of the rows of ``table`` that fit; runs with :func:`parameters`. With ``text``, they are ``JsonRow`` rows.

    One range of an index whose first columns the conditions fix, and whose last are (created_at DESC, id DESC).
    """
    columns = (table,) if text is None else (table.c.created_at, table.c.id, text)
    here = tuple_(bindparam("after_at", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid))
    return sql.Statement(
        select(*columns)
        .where(tuple_(table.c.created_at, table.c.id) < here, *conditions)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
        .limit(bindparam("most"))
    )


async def json_rows(connection: Connection, statement: sql.Statement, values: dict[str, Any]) -> list[JsonRow]:
    """Run a statement of :func:`select_page` that has a ``text``."""
    return [JsonRow(*row) for row in await sql.rows(connection, statement, values)]


def parameters(place: Position, limit: int) -> dict[str, Any]:
    """Parameters of a list: from ``place`` on, ``limit`` rows and one to see whether there are more."""
    return {"after_at": place.created_at, "after_id": place.id, "most": min(limit, MAX_PAGE_SIZE) + 1}
