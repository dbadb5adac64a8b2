"""Events that the status service handles: all events of orders, from which it builds and publishes their history."""

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
"""The Redis channel of ids of orders that have changed."""


async def handle_event(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Apply an event to its order."""
    order_id = order_id_of(data)
    if order_id is not None:
        await repository.apply(connection, order_id, event)


def register_background(tasks: BackgroundTasks, database: Database) -> None:
    """Add the consumer of the status service, which publishes the ids of changed orders."""
    publisher = Publisher(settings().needed("redis_url"), ORDERS)

    async def after(applied: Sequence[EventData]) -> None:
        await publisher.publish(str(order_id) for order_id in map(order_id_of, applied) if order_id)

    consumer = Consumer("status", handle_event, database, settings().needed("kafka_url"), after_commit=after)
    add_messaging(tasks, "status", database, consumer)
