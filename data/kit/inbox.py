"""The inbox: records the events that a consumer has applied, in the transaction of their effects."""

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
RETENTION = timedelta(days=14)
"""Twice as long as Kafka retains messages: the inbox still has a row for every message that Kafka can deliver."""
_consumers = (
    func.unnest(bindparam("consumers", type_=ARRAY(Text))).table_valued("consumer").render_derived(name="consumers")
)
_recorded = _inbox.alias("recorded")
_latest = (  # of one consumer, by the primary key: ids sort by time
    select(_recorded.c.received_at)
    .where(_recorded.c.consumer == _consumers.c.consumer)
    .order_by(_recorded.c.event_id.desc())
    .limit(1)
    .correlate(_consumers)
    .scalar_subquery()
)
_newest = select(func.max(_latest)).select_from(_consumers).scalar_subquery()
_DELETE_EXPIRED = sql.Statement(
    delete(_inbox).where(
        _inbox.c.received_at
        < func.least(func.now(), bindparam("now", type_=DateTime(timezone=True)), _newest)
        - cast(literal(RETENTION, Interval), Interval)
    )
)


class Recorded(NamedTuple):
    """``new``: the events that the consumer had not recorded before; ``parked``: whether it has parked any event."""

    new: set[UUID]
    parked: bool


async def record(connection: Connection, consumer: str, ids: Collection[UUID]) -> Recorded:
    """Record events within the caller's transaction, and check whether the consumer has parked events.

    Waits for another transaction that records one of the events. One statement: a second round trip would slow down
    every event.
    """
    # Sorted, so that two transactions with the same events lock them in the same order.
    found = set(await sql.values(connection, _RECORD, {"consumer": consumer, "ids": sorted(set(ids))}))
    return Recorded(found - {None}, None in found)


async def delete_expired(connection: Connection) -> None:
    """Delete rows older than ``RETENTION`` by the newest event, by the database's clock and by this process's clock.

    After an outage of broker and database longer than ``RETENTION`` the broker still has its last messages, and may
    deliver them again before it deletes what has expired: their rows must still exist then.
    """
    await sql.run(connection, _DELETE_EXPIRED, {"now": clock.now(), "consumers": list(CONSUMERS)})
