"""The inbox: which events a consumer has applied, written in the transaction of their effects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from data.kit import clock, sql
from data.kit.database import Connection
from data.kit.tables import SHARED

_inbox = SHARED.inbox
_RECORD = sql.Statement(
    insert(_inbox)
    .from_select(
        ["consumer", "event_id"],
        select(bindparam("consumer", type_=Text), func.unnest(bindparam("ids", type_=ARRAY(Uuid)))),
    )
    .on_conflict_do_nothing()
    .returning(_inbox.c.event_id)
)
_SWEEP = sql.Statement(delete(_inbox).where(_inbox.c.received_at < bindparam("before")))
# Twice as long as Kafka keeps messages: what it can still deliver, the inbox still knows.
KEEP = timedelta(days=14)


async def record(connection: Connection, consumer: str, ids: Sequence[UUID]) -> set[UUID]:
    """Write down events within the caller's transaction; gives those that are new to this consumer.

    Another transaction that records one of them meanwhile is waited for.
    """
    # Sorted, so that two transactions with the same events lock them in the same order.
    return set(await sql.values(connection, _RECORD, {"consumer": consumer, "ids": sorted(set(ids))}))


async def sweep(connection: Connection) -> None:
    """Forget what is older than ``KEEP``."""
    await sql.run(connection, _SWEEP, {"before": clock.now() - KEEP})
