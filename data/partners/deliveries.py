"""All SQL of webhook deliveries: each is sent until it arrives or is given up, those of an order one after the other.

Who sends takes a lease: the delivery is due again when the lease ends, so one whose sender died is sent by another.
Those of a webhook that is not active rest. Leases and retries are timed by the database's clock alone: senders on
several machines agree on it, and a step of one machine's clock makes nothing due.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Integer,
    Interval,
    Uuid,
    all_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    select,
    true,
    update,
)

from data.kit import clock, paging, sql
from data.kit.database import Connection
from data.kit.ids import new_id
from data.partners.tables import ATTEMPTS, DELIVERIES, WEBHOOKS

LEASE = timedelta(seconds=60)


class DeliveryState(StrEnum):
    """How a delivery stands. ``FAILED``: given up; it can be sent again on request."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(sql.Row):
    """An event on its way to a webhook."""

    id: UUID
    webhook_id: UUID
    order_id: UUID
    event_id: UUID
    type: str
    body: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


class Due(sql.Row):
    """A delivery to send now, and where to. ``attempts``: all, this one too; ``tries``: those since it was replayed."""

    id: UUID
    webhook_id: UUID
    order_id: UUID
    event_id: UUID
    type: str
    body: str
    attempts: int
    tries: int
    url: str
    secret: str


class Attempt(sql.Row):
    """One try. ``answer``: the HTTP status, None where none came."""

    n: int
    at: datetime
    answer: int | None
    error: str | None
    took_ms: int


_mine = DELIVERIES.c.id == bindparam("delivery_id", type_=Uuid)
_now = func.coalesce(bindparam("now", type_=DateTime(timezone=True)), func.now())
_after_wait = func.now() + cast(bindparam("wait", type_=Interval), Interval)
_pending = DELIVERIES.c.next_attempt_at.is_not(None)
_earlier = DELIVERIES.alias("earlier")
_has_earlier = exists().where(
    _earlier.c.webhook_id == DELIVERIES.c.webhook_id,
    _earlier.c.order_id == DELIVERIES.c.order_id,
    _earlier.c.place < DELIVERIES.c.place,
    _earlier.c.next_attempt_at.is_not(None),
)
_ADD = sql.Statement(
    sql.insert_into(DELIVERIES, "id", "webhook_id", "order_id", "event_id", "type", "body", "state")
    .values(next_attempt_at=func.now())
    .on_conflict_do_nothing()
)
# For each webhook its own: however many deliveries wait for one that is slow, those of the others are found at once.
_of_one = (
    select(DELIVERIES.c.id, DELIVERIES.c.next_attempt_at)
    .where(DELIVERIES.c.webhook_id == WEBHOOKS.c.id, DELIVERIES.c.next_attempt_at <= _now, ~_has_earlier)
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("share"))
    .with_for_update(skip_locked=True)
    .lateral("of_one")
)
_first = (
    select(_of_one.c.id)
    .select_from(WEBHOOKS.join(_of_one, true()))
    .where(WEBHOOKS.c.active, WEBHOOKS.c.id != all_(bindparam("busy", type_=ARRAY(Uuid))))
    .order_by(_of_one.c.next_attempt_at)
    .limit(bindparam("most"))
    .cte("first")
)
_LEASE = sql.Statement(
    update(DELIVERIES)
    .where(DELIVERIES.c.id == _first.c.id, WEBHOOKS.c.id == DELIVERIES.c.webhook_id)
    .values(next_attempt_at=_now + cast(literal(LEASE, Interval), Interval), attempts=DELIVERIES.c.attempts + 1)
    .returning(
        DELIVERIES.c.id,
        DELIVERIES.c.webhook_id,
        DELIVERIES.c.order_id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.type,
        DELIVERIES.c.body,
        DELIVERIES.c.attempts,
        (DELIVERIES.c.attempts - DELIVERIES.c.replayed_after).label("tries"),
        WEBHOOKS.c.url,
        WEBHOOKS.c.secret,
    )
)
_n = bindparam("n", type_=Integer)
# Also when somebody else took it over after the lease ended: it did arrive. Not when the partner asked for it again.
_DELIVERED = sql.Statement(
    update(DELIVERIES)
    .where(_mine, _pending, DELIVERIES.c.replayed_after < _n)
    .values(state=DeliveryState.DELIVERED.value, next_attempt_at=None, ended_at=func.now())
)
# Whoever took it over after the lease ended has counted one attempt more: whether it is given up, and when the next
# attempt is, is theirs to say.
_latest = DELIVERIES.c.attempts == _n
_GIVE_UP = sql.Statement(
    update(DELIVERIES)
    .where(_mine, _pending, _latest)
    .values(state=DeliveryState.FAILED.value, next_attempt_at=None, ended_at=func.now())
)
_LATER = sql.Statement(update(DELIVERIES).where(_mine, _pending, _latest).values(next_attempt_at=_after_wait))
_UNCOUNT = sql.Statement(
    update(DELIVERIES)
    .where(_mine, _pending, _latest)
    .values(next_attempt_at=func.now(), replayed_after=DELIVERIES.c.replayed_after + 1)
)
_RECORD = sql.Statement(sql.insert_into(ATTEMPTS).on_conflict_do_nothing())
_AGAIN = sql.Statement(
    update(DELIVERIES)
    .where(
        _mine,
        WEBHOOKS.c.id == DELIVERIES.c.webhook_id,
        WEBHOOKS.c.partner_id == bindparam("partner_id", type_=Uuid),
        DELIVERIES.c.next_attempt_at.is_(None),
    )
    .values(
        state=DeliveryState.PENDING.value,
        next_attempt_at=func.now(),
        ended_at=None,
        replayed_after=DELIVERIES.c.attempts,
    )
    .returning(DELIVERIES)
)
_LIST = paging.select_page(DELIVERIES, DELIVERIES.c.webhook_id == bindparam("webhook_id", type_=Uuid))
_ATTEMPTS = sql.Statement(
    select(ATTEMPTS.c.n, ATTEMPTS.c.at, ATTEMPTS.c.answer, ATTEMPTS.c.error, ATTEMPTS.c.took_ms)
    .where(ATTEMPTS.c.delivery_id == bindparam("delivery_id", type_=Uuid))
    .order_by(ATTEMPTS.c.n)
)
_OWNED = sql.Statement(
    select(DELIVERIES)
    .join(WEBHOOKS, WEBHOOKS.c.id == DELIVERIES.c.webhook_id)
    .where(_mine, WEBHOOKS.c.partner_id == bindparam("partner_id", type_=Uuid))
)


async def add(connection: Connection, webhook: UUID, order: UUID, event: UUID, kind: str, body: str) -> None:
    """Send ``body`` to a webhook, once for an event; within the transaction that consumes the event."""
    row = {"id": new_id(), "webhook_id": webhook, "order_id": order, "event_id": event, "type": kind, "body": body}
    await sql.run(connection, _ADD, {**row, "state": DeliveryState.PENDING})


async def lease(
    connection: Connection,
    limit: int,
    now: datetime | None = None,
    share: int | None = None,
    busy: Collection[UUID] = (),
) -> list[Due]:
    """Deliveries that are due, of each order and webhook the earliest alone; theirs who asks, for ``LEASE``.

    At most ``share`` of one webhook (None: no bound but ``limit``), and none of those that are ``busy``. ``now``: None
    for the database's clock.
    """
    given = {"now": now, "most": limit, "share": share or limit, "busy": list(busy)}
    return await sql.many(connection, _LEASE, given, Due)


async def record(
    connection: Connection, due: Due, answer: int | None, error: str | None, took_ms: int, retry_in: timedelta | None
) -> None:
    """Record an attempt: it arrived, or there was an ``error`` and it is retried after ``retry_in``, given up if None.

    A sender that comes back after its lease, when another has taken the delivery over, changes nothing by a failure.
    """
    await _record_attempt(connection, due, answer, error, took_ms)
    if error is None:
        await sql.run(connection, _DELIVERED, {"delivery_id": due.id, "n": due.attempts})
    elif retry_in is not None:
        await sql.run(connection, _LATER, {"delivery_id": due.id, "n": due.attempts, "wait": retry_in})
    else:
        await sql.run(connection, _GIVE_UP, {"delivery_id": due.id, "n": due.attempts})


async def record_interrupted(connection: Connection, due: Due, error: str, took_ms: int) -> None:
    """Record an attempt that failed because its sender was suspended: it is due at once and counts as no try."""
    await _record_attempt(connection, due, None, error, took_ms)
    await sql.run(connection, _UNCOUNT, {"delivery_id": due.id, "n": due.attempts})


async def _record_attempt(
    connection: Connection, due: Due, answer: int | None, error: str | None, took_ms: int
) -> None:
    outcome = {"answer": answer, "error": error, "took_ms": took_ms}
    await sql.run(connection, _RECORD, {"delivery_id": due.id, "n": due.attempts, "at": clock.now(), **outcome})


async def replay(connection: Connection, partner: UUID, ident: UUID) -> Delivery | None:
    """Send one that has ended once more; None where there is none of this partner's, or it is still pending."""
    return await sql.one(connection, _AGAIN, {"delivery_id": ident, "partner_id": partner}, Delivery)


async def of_webhook(connection: Connection, webhook: UUID, place: paging.Position, limit: int) -> list[Delivery]:
    """A webhook's deliveries, newest first: a page and one row more."""
    return await sql.many(connection, _LIST, {"webhook_id": webhook, **paging.parameters(place, limit)}, Delivery)


async def get(connection: Connection, partner: UUID, ident: UUID) -> Delivery | None:
    """A delivery to a webhook of the partner."""
    return await sql.one(connection, _OWNED, {"delivery_id": ident, "partner_id": partner}, Delivery)


async def attempts(connection: Connection, ident: UUID) -> list[Attempt]:
    """The attempts of a delivery, oldest first."""
    return await sql.many(connection, _ATTEMPTS, {"delivery_id": ident}, Attempt)
