"""SQL of webhook deliveries: each is retried until it is delivered or given up, those of an order one after the other.

A sender takes a lease: the delivery is due again when the lease expires, so another sender replaces one that died.
Deliveries of an inactive webhook are paused. Leases and retries are timed by the database's clock alone: senders on
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
    """The state of a delivery. ``FAILED``: given up; it can be replayed on request."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(sql.Row):
    """The delivery of an event to a webhook."""

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


class DueDelivery(sql.Row):
    """A leased delivery with its webhook's URL. ``attempts``: including this one; ``tries``: those since its replay."""

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


class AttemptRow(sql.Row):
    """One attempt. ``answer``: the HTTP status, None without a response."""

    n: int
    at: datetime
    answer: int | None
    error: str | None
    took_ms: int


_by_id = DELIVERIES.c.id == bindparam("delivery_id", type_=Uuid)
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
# A lateral query per webhook: a backlog of one slow webhook does not slow down finding the deliveries of the others.
_of_webhook = (
    select(DELIVERIES.c.id, DELIVERIES.c.next_attempt_at)
    .where(DELIVERIES.c.webhook_id == WEBHOOKS.c.id, DELIVERIES.c.next_attempt_at <= _now, ~_has_earlier)
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("per_webhook"))
    .with_for_update(skip_locked=True)
    .lateral("of_one")
)
_first = (
    select(_of_webhook.c.id)
    .select_from(WEBHOOKS.join(_of_webhook, true()))
    .where(WEBHOOKS.c.active, WEBHOOKS.c.id != all_(bindparam("busy", type_=ARRAY(Uuid))))
    .order_by(_of_webhook.c.next_attempt_at)
    .limit(bindparam("limit"))
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
# Also if another sender took it over after the lease expired: it was delivered. Not if the partner requested a replay.
_DELIVERED = sql.Statement(
    update(DELIVERIES)
    .where(_by_id, _pending, DELIVERIES.c.replayed_after < _n)
    .values(state=DeliveryState.DELIVERED.value, next_attempt_at=None, ended_at=func.now())
)
# A sender that took it over after the lease expired has counted one more attempt; only that sender decides on giving up
# and on the next attempt.
_latest = DELIVERIES.c.attempts == _n
_GIVE_UP = sql.Statement(
    update(DELIVERIES)
    .where(_by_id, _pending, _latest)
    .values(state=DeliveryState.FAILED.value, next_attempt_at=None, ended_at=func.now())
)
_RETRY_LATER = sql.Statement(update(DELIVERIES).where(_by_id, _pending, _latest).values(next_attempt_at=_after_wait))
_UNCOUNT = sql.Statement(
    update(DELIVERIES)
    .where(_by_id, _pending, _latest)
    .values(next_attempt_at=func.now(), replayed_after=DELIVERIES.c.replayed_after + 1)
)
_RECORD = sql.Statement(sql.insert_into(ATTEMPTS).on_conflict_do_nothing())
_REPLAY = sql.Statement(
    update(DELIVERIES)
    .where(
        _by_id,
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
    .where(_by_id, WEBHOOKS.c.partner_id == bindparam("partner_id", type_=Uuid))
)


async def add(connection: Connection, webhook: UUID, order: UUID, event: UUID, kind: str, body: str) -> None:
    """Add a delivery of ``body`` to a webhook, one for each event; within the transaction that applies the event."""
    row = {"id": new_id(), "webhook_id": webhook, "order_id": order, "event_id": event, "type": kind, "body": body}
    await sql.run(connection, _ADD, {**row, "state": DeliveryState.PENDING})


async def lease(
    connection: Connection,
    limit: int,
    now: datetime | None = None,
    per_webhook: int | None = None,
    busy: Collection[UUID] = (),
) -> list[DueDelivery]:
    """Lease due deliveries for ``LEASE`` and return them, only the earliest of each order and webhook.

    At most ``per_webhook`` of one webhook (None: no bound but ``limit``), and none of the ``busy`` webhooks. ``now``:
    None for the database's clock.
    """
    parameters = {"now": now, "limit": limit, "per_webhook": per_webhook or limit, "busy": list(busy)}
    return await sql.many(connection, _LEASE, parameters, DueDelivery)


async def record(
    connection: Connection,
    due: DueDelivery,
    answer: int | None,
    error: str | None,
    took_ms: int,
    retry_in: timedelta | None,
) -> None:
    """Record an attempt: it succeeded, or there was an ``error`` and it is retried after ``retry_in`` (None: given up).

    A failure recorded after the lease expired, when another sender has taken the delivery over, changes nothing.
    """
    await _record_attempt(connection, due, answer, error, took_ms)
    if error is None:
        await sql.run(connection, _DELIVERED, {"delivery_id": due.id, "n": due.attempts})
    elif retry_in is not None:
        await sql.run(connection, _RETRY_LATER, {"delivery_id": due.id, "n": due.attempts, "wait": retry_in})
    else:
        await sql.run(connection, _GIVE_UP, {"delivery_id": due.id, "n": due.attempts})


async def record_interrupted(connection: Connection, due: DueDelivery, error: str, took_ms: int) -> None:
    """Record an attempt that failed because its sender was suspended: due again at once, not counted in ``tries``."""
    await _record_attempt(connection, due, None, error, took_ms)
    await sql.run(connection, _UNCOUNT, {"delivery_id": due.id, "n": due.attempts})


async def _record_attempt(
    connection: Connection, due: DueDelivery, answer: int | None, error: str | None, took_ms: int
) -> None:
    outcome = {"answer": answer, "error": error, "took_ms": took_ms}
    await sql.run(connection, _RECORD, {"delivery_id": due.id, "n": due.attempts, "at": clock.now(), **outcome})


async def replay(connection: Connection, partner: UUID, delivery_id: UUID) -> Delivery | None:
    """Send a finished delivery again; return None if the partner has none with this id, or it is still pending."""
    return await sql.one(connection, _REPLAY, {"delivery_id": delivery_id, "partner_id": partner}, Delivery)


async def of_webhook(connection: Connection, webhook: UUID, position: paging.Position, limit: int) -> list[Delivery]:
    """Return a page of a webhook's deliveries and one more row, newest first."""
    return await sql.many(connection, _LIST, {"webhook_id": webhook, **paging.parameters(position, limit)}, Delivery)


async def get(connection: Connection, partner: UUID, delivery_id: UUID) -> Delivery | None:
    """Return a delivery to a webhook of the partner."""
    return await sql.one(connection, _OWNED, {"delivery_id": delivery_id, "partner_id": partner}, Delivery)


async def attempts(connection: Connection, delivery_id: UUID) -> list[AttemptRow]:
    """Return the attempts of a delivery, oldest first."""
    return await sql.many(connection, _ATTEMPTS, {"delivery_id": delivery_id}, AttemptRow)
