"""What the status service hears: everything about orders; it builds their history and announces what is new."""

from __future__ import annotations

from collections.abc import Sequence

from data.contracts.envelope import CloudEvent, EventData
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.notifications.pubsub import Publisher
from data.orders.sequencing import order_id_of
from data.status import repository
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings

ORDERS = "facet.orders"
"""The Redis channel: an order has news."""


async def handle_event(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Apply an event to its order."""
    ident = order_id_of(data)
    if ident is not None:
        await repository.apply(connection, ident, event)


def register_background(work: BackgroundTasks, database: Database) -> None:
    """The consumer of the status service, and what it announces."""
    announcer = Publisher(settings().needed("redis_url"), ORDERS)

    async def after(applied: Sequence[EventData]) -> None:
        await announcer.publish(str(ident) for ident in map(order_id_of, applied) if ident)

    consumer = Consumer("status", handle_event, database, settings().needed("kafka_url"), after_commit=after)
    add_messaging(work, "status", database, consumer)
