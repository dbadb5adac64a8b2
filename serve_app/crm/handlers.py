"""Events that the CRM handles (submitted orders, prices and production), and the timer that expires quotes."""

from __future__ import annotations

from typing import Any

from data.contracts.crm import QuoteExpired
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Actor, Step
from data.contracts.mes import ProductionEvent
from data.contracts.pricing import QuoteEvent, QuoteNeedsReview, QuotePriced, QuoteRejected
from data.contracts.shop import OrderSubmitted
from data.crm import repository
from data.crm.repository import CrmOrderRow
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.timers import Timer
from data.orders.sequencing import PredecessorMissing, actor_and_revision, next_step, order_id_of
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings

_TIMER_INTERVAL_S = 5.0


async def handle_event(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Open an order, or apply the step of an event; raises PredecessorMissing if an earlier event is missing."""
    if isinstance(data, OrderSubmitted) and await repository.open_order(connection, data):
        return
    order_id = order_id_of(data)
    order = await repository.lock(connection, order_id) if order_id else None
    if order is None:
        if order_id and isinstance(data, QuoteEvent | ProductionEvent):
            raise PredecessorMissing(f"order {order_id} has not been submitted yet")
        return  # sellers see orders once they are submitted
    step = next_step(order.status, order.revision, order.quote_id, data, order.held_from)
    if step is None:
        return
    _, revision = actor_and_revision(data)
    await repository.move(connection, order, step, event_revision=revision, **_changes(data))


def _changes(data: EventData) -> dict[str, Any]:
    if isinstance(data, OrderSubmitted):
        submitted = {"quote_id": data.quote_id, "unit": data.unit, "model_sha256": data.model_sha256}
        return {**submitted, "quote": None, "reasons": None}
    if isinstance(data, QuotePriced):
        return {"quote": data.quote, "reasons": None}
    if isinstance(data, QuoteNeedsReview):
        return {"quote": data.quote, "reasons": data.reasons}
    if isinstance(data, QuoteRejected):
        return {"reasons": data.reasons}
    return {}


async def expire(connection: Connection) -> None:
    """Expire quotes that were not approved in time."""
    for order in await repository.expired(connection):
        event_of = None if order.quote_id is None else _expired
        await repository.move(connection, order, Step.EXPIRE, Actor.TIMER, make_event=event_of)


def _expired(order: CrmOrderRow) -> QuoteExpired:
    assert order.quote_id is not None
    return QuoteExpired(order_id=order.id, by=Actor.TIMER.value, revision=order.revision, quote_id=order.quote_id)


def register_background(tasks: BackgroundTasks, database: Database) -> None:
    """Add the CRM's relay, consumer and timer."""
    add_messaging(tasks, "crm", database, Consumer("crm", handle_event, database, settings().needed("kafka_url")))
    timer = Timer(repository.EXPIRY_TIMER, _TIMER_INTERVAL_S)
    tasks.add("crm timer", timer.run(database, expire))
