"""Keyset pagination: a page starts after the last row of the previous one, so page 1,000 costs what page 1 does.

A token is that row's position in the list, signed (HMAC-SHA256) together with the name of the list, so that clients
can't forge one or use it for another list. Rows are ordered by (created_at, id), newest first.
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
_POSITION, _MAC = struct.Struct(">q16s"), 16


class Positioned(Protocol):
    """A row that has a position in a list."""

    @property
    def id(self) -> UUID:
        """Id of the row, which orders rows of the same time."""

    @property
    def created_at(self) -> datetime:
        """Time by which the list is ordered."""


ItemT = TypeVar("ItemT", bound=Positioned)


@dataclass(frozen=True, slots=True)
class Position:
    """The row after which a page starts."""

    created_at: datetime
    id: UUID


START = Position(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
"""Before the first row."""


class JsonRow(NamedTuple):
    """A row of a list whose items PostgreSQL returns as JSON: its position, and the text of its JSON object."""

    created_at: datetime
    id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class RowPage(Generic[ItemT]):
    """Some rows of a list. ``next``: the token of the next page, None on the last one."""

    items: list[ItemT]
    next: str | None


class Cursors:
    """Create and read tokens. ``secret`` is the same for all replicas."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def page(self, rows: Sequence[ItemT], limit: int, scope: str) -> RowPage[ItemT]:
        """Return the page of ``limit`` rows; ``rows`` has one more if the list continues."""
        items = list(rows[:limit])
        return RowPage(
            items, self.token(Position(items[-1].created_at, items[-1].id), scope) if len(rows) > limit else None
        )

    def token(self, position: Position, scope: str) -> str:
        """Return a token for the rows after ``position`` in the list ``scope`` (its name with its filters)."""
        micros = (position.created_at - _EPOCH) // timedelta(microseconds=1)
        packed = _POSITION.pack(micros, position.id.bytes)
        return base64.urlsafe_b64encode(packed + self._mac(packed, scope)).decode()

    def position(self, token: str | None, scope: str) -> Position:
        """Return where a page starts; raises BadCursor for a token that is forged, or of another list."""
        if token is None:
            return START
        try:
            raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except ValueError as error:
            raise BadCursor("this page token is not valid") from error
        packed, mac = raw[: _POSITION.size], raw[_POSITION.size :]
        if not hmac.compare_digest(mac, self._mac(packed, scope)):
            raise BadCursor("this page token is not valid for this list")
        micros, id_bytes = _POSITION.unpack(packed)
        return Position(_EPOCH + timedelta(microseconds=micros), UUID(bytes=id_bytes))

    def _mac(self, packed: bytes, scope: str) -> bytes:
        return hmac.digest(self._secret, scope.encode() + b"\0" + packed, hashlib.sha256)[:_MAC]


def select_page(
    table: Table, *conditions: ColumnElement[bool], text: ColumnElement[str] | None = None
) -> sql.Statement:
    """Return the query of a page of matching rows of ``table``, with ``text`` as ``JsonRow``.

    It takes :func:`parameters`, and reads one range of an index whose first columns the conditions fix, and whose last
    are (created_at DESC, id DESC).
    """
    columns = (table,) if text is None else (table.c.created_at, table.c.id, text)
    position = tuple_(bindparam("after_at", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid))
    return sql.Statement(
        select(*columns)
        .where(tuple_(table.c.created_at, table.c.id) < position, *conditions)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
        .limit(bindparam("limit"))
    )


async def json_rows(connection: Connection, statement: sql.Statement, values: dict[str, Any]) -> list[JsonRow]:
    """Execute a statement of :func:`select_page` that has a ``text``."""
    return [JsonRow(*row) for row in await sql.rows(connection, statement, values)]


def parameters(position: Position, limit: int) -> dict[str, Any]:
    """Return the parameters of a page: after ``position``, ``limit`` rows and one that shows whether there are more."""
    return {"after_at": position.created_at, "after_id": position.id, "limit": min(limit, MAX_PAGE_SIZE) + 1}
