"""What the status service hears: everything about orders; it builds their history and announces what is new."""

from __future__ import annotations

from collections.abc import Sequence

from data.contracts.envelope import CloudEvent, EventData
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.notifications.pubsub import Announcer
from data.status import repository
from serve_app.kit.background import Work, add_messaging
from serve_app.kit.settings import settings
from serve_app.kit.told import order_of

ORDERS = "facet.orders"
"""The Redis channel: an order has news."""


async def hear(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Apply an event to its order."""
    ident = order_of(data)
    if ident is not None:
        await repository.apply(connection, ident, event)


def add_to(work: Work, database: Database) -> None:
    """The consumer of the status service, and what it announces."""
    announcer = Announcer(settings().needed("redis_url"), ORDERS)

    async def after(applied: Sequence[EventData]) -> None:
        await announcer.tell(str(ident) for ident in map(order_of, applied) if ident)

    consumer = Consumer("status", hear, database, settings().needed("kafka_url"), after=after)
    add_messaging(work, "status", database, consumer)
