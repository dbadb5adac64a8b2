"""The inbox: which events a consumer has applied, written in the transaction of their effects."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Interval,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from data.contracts.topics import CONSUMERS
from data.kit import clock, sql
from data.kit.database import Connection
from data.kit.tables import SHARED

_inbox, _parked = SHARED.inbox, SHARED.parked
_new = (
    insert(_inbox)
    .from_select(
        ["consumer", "event_id"],
        select(bindparam("consumer", type_=Text), func.unnest(bindparam("ids", type_=ARRAY(Uuid)))),
    )
    .on_conflict_do_nothing()
    .returning(_inbox.c.event_id)
    .cte("new")
)
# An empty id where the consumer has parked events: one row more, and only then.
_parked_any = select(_parked.c.id).where(_parked.c.consumer == bindparam("consumer", type_=Text)).exists()
_RECORD = sql.Statement(union_all(select(_new.c.event_id), select(cast(null(), Uuid)).where(_parked_any)))
KEEP = timedelta(days=14)
"""Twice as long as Kafka keeps messages: what it can still deliver, the inbox still knows."""
_asked = func.unnest(bindparam("consumers", type_=ARRAY(Text))).table_valued("consumer").render_derived(name="asked")
_recorded = _inbox.alias("recorded")
_latest = (  # of one consumer, by the primary key: ids sort by time
    select(_recorded.c.received_at)
    .where(_recorded.c.consumer == _asked.c.consumer)
    .order_by(_recorded.c.event_id.desc())
    .limit(1)
    .correlate(_asked)
    .scalar_subquery()
)
_newest = select(func.max(_latest)).select_from(_asked).scalar_subquery()
_SWEEP = sql.Statement(
    delete(_inbox).where(
        _inbox.c.received_at
        < func.least(func.now(), bindparam("now", type_=DateTime(timezone=True)), _newest)
        - cast(literal(KEEP, Interval), Interval)
    )
)


class Recorded(NamedTuple):
    """``new``: the events that the consumer has not recorded before; ``parked``: whether it has parked any event."""

    new: set[UUID]
    parked: bool


async def record(connection: Connection, consumer: str, ids: Collection[UUID]) -> Recorded:
    """Record events within the caller's transaction, and see whether the consumer has parked events.

    Another transaction that records one of the events meanwhile is waited for. One statement: a round trip more would
    cost every event.
    """
    # Sorted, so that two transactions with the same events lock them in the same order.
    found = set(await sql.values(connection, _RECORD, {"consumer": consumer, "ids": sorted(set(ids))}))
    return Recorded(found - {None}, None in found)


async def sweep(connection: Connection) -> None:
    """Forget what was recorded ``KEEP`` before the newest event, and as long ago by the clocks of database and process.

    After an outage of broker and database that was longer than ``KEEP`` the broker still has its last messages, and may
    deliver them again before it deletes what has expired meanwhile: they must be known then.
    """
    await sql.run(connection, _SWEEP, {"now": clock.now(), "consumers": list(CONSUMERS)})
