"""Idempotency keys: the same key and body get the first answer again; the same key with another body is refused.

The key's row is written in the transaction of the effect. A second request with the key, at the same time, waits at the
row's unique index until the first has committed, and then reads its answer; if the first rolled back, the second works.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import DateTime, Interval, bindparam, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from data.kit import clock, sql
from data.kit.database import Connection
from data.kit.errors import KeyReused
from data.kit.tables import SHARED

_keys = SHARED.idempotency
_mine = (_keys.c.caller == bindparam("caller"), _keys.c.key == bindparam("key"))
_CLAIM = sql.Statement(
    sql.insert_into(_keys, "caller", "key", "body_sha256").on_conflict_do_nothing().returning(_keys.c.key)
)
_FIRST = sql.Statement(select(_keys.c.body_sha256, _keys.c.answer).where(*_mine))
_ANSWER = sql.Statement(update(_keys).where(*_mine).values(answer=bindparam("answer", type_=JSONB)))
KEEP = timedelta(days=2)
"""Twice as long as clients are promised that they may repeat a request: a step of both clocks by a day does no harm."""
_now = func.least(func.now(), bindparam("now", type_=DateTime(timezone=True)))
_SWEEP = sql.Statement(delete(_keys).where(_keys.c.created_at < _now - cast(literal(KEEP, Interval), Interval)))


@dataclass(frozen=True, slots=True)
class Request:
    """What makes two requests the same: who asks, their key, and the body (with method and path)."""

    caller: str
    key: str
    body_sha256: bytes

    @classmethod
    def of(cls, caller: str, key: str, *body: bytes) -> Request:
        """With the hash of the parts of ``body``, each with its length, so that none can pass as another."""
        digest = hashlib.sha256()
        for part in body:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(caller, key, digest.digest())


class _Kept(sql.Row):
    body_sha256: bytes
    answer: dict[str, Any]


async def once(
    connection: Connection, request: Request, work: Callable[[], Awaitable[dict[str, Any]]]
) -> tuple[dict[str, Any], bool]:
    """Do ``work`` within the caller's transaction, unless it was done; gives its answer, and whether it is a replay.

    ``work`` gives a JSON-ready answer. Raises KeyReused for a key that came with another body, and psycopg's
    LockNotAvailable where the first request takes longer than the lock timeout.
    """
    mine = {"caller": request.caller, "key": request.key}
    claimed = await sql.value(connection, _CLAIM, {**mine, "body_sha256": request.body_sha256})
    if claimed is None:
        first = await sql.one(connection, _FIRST, mine, _Kept)
        if first is None or first.body_sha256 != request.body_sha256:
            raise KeyReused("this Idempotency-Key came before, with another body")
        return first.answer, True
    answer = await work()
    await sql.run(connection, _ANSWER, {**mine, "answer": answer})
    return answer, False


async def sweep(connection: Connection) -> None:
    """Forget keys that are older than ``KEEP`` by the clocks of the database and of this process both.

    A step of one of them forgets no key that a client may still repeat.
    """
    await sql.run(connection, _SWEEP, {"now": clock.now()})
