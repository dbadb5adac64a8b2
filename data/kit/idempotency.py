"""Idempotency keys: a repeated request with the same key and body returns the first response; another body is refused.

The key's row is written in the transaction of the effect. A concurrent request with the key waits at the row's unique
index until the first has committed, and then reads its response; if the first rolled back, the second one proceeds.
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
_by_key = (_keys.c.caller == bindparam("caller"), _keys.c.key == bindparam("key"))
_CLAIM = sql.Statement(
    sql.insert_into(_keys, "caller", "key", "body_sha256").on_conflict_do_nothing().returning(_keys.c.key)
)
_SELECT = sql.Statement(select(_keys.c.body_sha256, _keys.c.answer).where(*_by_key))
_SAVE_RESPONSE = sql.Statement(update(_keys).where(*_by_key).values(answer=bindparam("answer", type_=JSONB)))
RETENTION = timedelta(days=2)
"""Twice as long as the documented period for repeated requests: a step of both clocks by a day does no harm."""
_now = func.least(func.now(), bindparam("now", type_=DateTime(timezone=True)))
_DELETE_EXPIRED = sql.Statement(
    delete(_keys).where(_keys.c.created_at < _now - cast(literal(RETENTION, Interval), Interval))
)


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """What makes two requests equal: the caller, the key, and the hash of the body (with method and path)."""

    caller: str
    key: str
    body_sha256: bytes

    @classmethod
    def of(cls, caller: str, key: str, *body: bytes) -> IdempotentRequest:
        """Hash the parts of ``body``, each with its length, so that no two splits have the same hash."""
        digest = hashlib.sha256()
        for part in body:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(caller, key, digest.digest())


class _StoredResponse(sql.Row):
    body_sha256: bytes
    answer: dict[str, Any]


async def run_once(
    connection: Connection, request: IdempotentRequest, work: Callable[[], Awaitable[dict[str, Any]]]
) -> tuple[dict[str, Any], bool]:
    """Run ``work`` in the caller's transaction, unless it was done; return the response, and whether it is a replay.

    ``work`` returns a JSON-ready response. Raises KeyReused for a key that was used with another body, and psycopg's
    LockNotAvailable if the first request takes longer than the lock time-out.
    """
    key = {"caller": request.caller, "key": request.key}
    claimed = await sql.value(connection, _CLAIM, {**key, "body_sha256": request.body_sha256})
    if claimed is None:
        first = await sql.one(connection, _SELECT, key, _StoredResponse)
        if first is None or first.body_sha256 != request.body_sha256:
            raise KeyReused("this Idempotency-Key was used before, with another body")
        return first.answer, True
    response = await work()
    await sql.run(connection, _SAVE_RESPONSE, {**key, "answer": response})
    return response, False


async def delete_expired(connection: Connection) -> None:
    """Delete keys that are older than ``RETENTION`` by the clocks of the database and of this process both.

    A step of one clock deletes no key that a client may still repeat.
    """
    await sql.run(connection, _DELETE_EXPIRED, {"now": clock.now()})
