"""What the CRM hears: submitted orders, their prices, and how production goes; and the timer of quotes."""

from __future__ import annotations

from typing import Any

from data.contracts.crm import QuoteExpired
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Actor, Step
from data.contracts.mes import ProductionEvent
from data.contracts.pricing import QuoteEvent, QuoteNeedsReview, QuotePriced, QuoteRejected
from data.contracts.shop import OrderSubmitted
from data.crm import repository
from data.kit import outbox
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.timers import Timer
from data.orders.sequencing import PredecessorMissing, actor_and_revision, next_step, order_id_of
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings

_TIMER_INTERVAL_S = 5.0


async def handle_event(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Open an order, or take the step that an event means; raises PredecessorMissing where it is early."""
    if isinstance(data, OrderSubmitted) and await repository.open_order(connection, data):
        return
    ident = order_id_of(data)
    order = await repository.lock(connection, ident) if ident else None
    if order is None:
        if ident and isinstance(data, QuoteEvent | ProductionEvent):
            raise PredecessorMissing(f"order {ident} has not been submitted here yet")
        return  # not submitted yet, so no business of sellers
    step = next_step(order.status, order.revision, order.quote_id, data, order.held_from)
    if step is None:
        return
    _, told = actor_and_revision(data)
    await repository.move(connection, order, step, event_revision=told, **_changes(data))


def _changes(data: EventData) -> dict[str, Any]:
    if isinstance(data, OrderSubmitted):
        asked = {"quote_id": data.quote_id, "unit": data.unit, "model_sha256": data.model_sha256}
        return {**asked, "quote": None, "reasons": None}
    if isinstance(data, QuotePriced):
        return {"quote": data.quote, "reasons": None}
    if isinstance(data, QuoteNeedsReview):
        return {"quote": data.quote, "reasons": data.reasons}
    if isinstance(data, QuoteRejected):
        return {"reasons": data.reasons}
    return {}


async def expire(connection: Connection) -> None:
    """Expire quotes that nobody approved in time."""
    for order in await repository.expired(connection):
        after = await repository.move(connection, order, Step.EXPIRE, Actor.TIMER)
        if order.quote_id is not None:
            told: dict[str, Any] = {"order_id": order.id, "by": Actor.TIMER.value, "revision": after.revision}
            await outbox.append(connection, QuoteExpired(**told, quote_id=order.quote_id))


def register_background(work: BackgroundTasks, database: Database) -> None:
    """The CRM's relay, consumer and timer."""
    add_messaging(work, "crm", database, Consumer("crm", handle_event, database, settings().needed("kafka_url")))
    timer = Timer(repository.EXPIRY_TIMER, _TIMER_INTERVAL_S)
    work.add("crm timer", timer.run(database, expire))
