"""All SQL of webhook deliveries: each is sent until it arrives or is given up, those of an order one after the other.

Who sends takes a lease: the delivery is due again when the lease ends, so one whose sender died is sent by another.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, exists, select, update

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
    """A delivery to send now, and where to."""

    id: UUID
    event_id: UUID
    type: str
    body: str
    attempts: int
    created_at: datetime
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
_at = bindparam("at", type_=DateTime(timezone=True))
_until = bindparam("until", type_=DateTime(timezone=True))
_pending = DELIVERIES.c.next_attempt_at.is_not(None)
_earlier = DELIVERIES.alias("earlier")
_has_earlier = exists().where(
    _earlier.c.webhook_id == DELIVERIES.c.webhook_id,
    _earlier.c.order_id == DELIVERIES.c.order_id,
    _earlier.c.id < DELIVERIES.c.id,
    _earlier.c.next_attempt_at.is_not(None),
)
_ADD = sql.Statement(
    sql.insert_into(
        DELIVERIES, "id", "webhook_id", "order_id", "event_id", "type", "body", "state", "next_attempt_at"
    ).on_conflict_do_nothing()
)
_first = (
    select(DELIVERIES.c.id)
    .where(DELIVERIES.c.next_attempt_at <= _at, ~_has_earlier)
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("first")
)
_LEASE = sql.Statement(
    update(DELIVERIES)
    .where(DELIVERIES.c.id == _first.c.id, WEBHOOKS.c.id == DELIVERIES.c.webhook_id)
    .values(next_attempt_at=_until, attempts=DELIVERIES.c.attempts + 1)
    .returning(
        DELIVERIES.c.id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.type,
        DELIVERIES.c.body,
        DELIVERIES.c.attempts,
        DELIVERIES.c.created_at,
        WEBHOOKS.c.url,
        WEBHOOKS.c.secret,
    )
)
_END = sql.Statement(
    update(DELIVERIES)
    .where(_mine, _pending)
    .values(state=bindparam("end", type_=Text), next_attempt_at=None, ended_at=_at)
)
_LATER = sql.Statement(update(DELIVERIES).where(_mine, _pending).values(next_attempt_at=_until))
_RECORD = sql.Statement(sql.insert_into(ATTEMPTS).on_conflict_do_nothing())
_AGAIN = sql.Statement(
    update(DELIVERIES)
    .where(
        _mine,
        WEBHOOKS.c.id == DELIVERIES.c.webhook_id,
        WEBHOOKS.c.partner_id == bindparam("partner_id", type_=Uuid),
        DELIVERIES.c.next_attempt_at.is_(None),
    )
    .values(state=DeliveryState.PENDING.value, next_attempt_at=_at, ended_at=None)
    .returning(DELIVERIES)
)
_LIST = paging.select_page(DELIVERIES, DELIVERIES.c.webhook_id == bindparam("webhook_id", type_=Uuid))
_ATTEMPTS = sql.Statement(
    select(ATTEMPTS.c.n, ATTEMPTS.c.at, ATTEMPTS.c.answer, ATTEMPTS.c.error, ATTEMPTS.c.took_ms)
    .where(ATTEMPTS.c.delivery_id == bindparam("delivery_id", type_=Uuid))
    .order_by(ATTEMPTS.c.n)
)


async def add(connection: Connection, webhook: UUID, order: UUID, event: UUID, kind: str, body: str) -> None:
    """Send ``body`` to a webhook, once for an event; within the transaction that consumes the event."""
    row = {"id": new_id(), "webhook_id": webhook, "order_id": order, "event_id": event, "type": kind, "body": body}
    await sql.run(connection, _ADD, {**row, "state": DeliveryState.PENDING, "next_attempt_at": clock.now()})


async def lease(connection: Connection, limit: int, now: datetime | None = None) -> list[Due]:
    """Deliveries that are due, of each order and webhook the earliest alone; theirs who asks, for ``LEASE``."""
    at = now or clock.now()
    return await sql.many(connection, _LEASE, {"at": at, "until": at + LEASE, "most": limit}, Due)


async def record(
    connection: Connection, due: Due, answer: int | None, error: str | None, took_ms: int, retry_at: datetime | None
) -> None:
    """How an attempt went: it arrived, or there was an ``error`` and it is tried at ``retry_at``, given up if None."""
    at = clock.now()
    attempt = {"delivery_id": due.id, "n": due.attempts, "at": at, "answer": answer, "error": error, "took_ms": took_ms}
    await sql.run(connection, _RECORD, attempt)
    if error is not None and retry_at is not None:
        await sql.run(connection, _LATER, {"delivery_id": due.id, "until": retry_at})
    else:
        end = DeliveryState.DELIVERED if error is None else DeliveryState.FAILED
        await sql.run(connection, _END, {"delivery_id": due.id, "end": end, "at": at})


async def replay(connection: Connection, partner: UUID, ident: UUID) -> Delivery | None:
    """Send one that has ended once more; None where there is none of this partner's, or it is still pending."""
    return await sql.one(connection, _AGAIN, {"delivery_id": ident, "partner_id": partner, "at": clock.now()}, Delivery)


async def of_webhook(connection: Connection, webhook: UUID, place: paging.Place, limit: int) -> list[Delivery]:
    """A webhook's deliveries, newest first: a page and one row more."""
    return await sql.many(connection, _LIST, {"webhook_id": webhook, **paging.parameters(place, limit)}, Delivery)


async def attempts(connection: Connection, ident: UUID) -> list[Attempt]:
    """The attempts of a delivery, oldest first."""
    return await sql.many(connection, _ATTEMPTS, {"delivery_id": ident}, Attempt)
