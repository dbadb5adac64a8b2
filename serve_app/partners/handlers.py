"""Events that the partners' service handles: all events of orders, which become deliveries to partners' webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from data.contracts.common import QuoteSummary
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import OrderStatus
from data.contracts.registry import EVENTS
from data.contracts.shop import OrderInitiated
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.orders.projection import HistoryEntry
from data.orders.sequencing import order_id_of
from data.partners import deliveries, repository
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings
from serve_app.partners.sender import MAX_IN_FLIGHT, Sender
from serve_app.partners.ssrf_guard import GuardedTransport, SsrfGuard

EVENT_TYPES = tuple(kind for kind, entry in EVENTS.items() if entry.step is not None or entry.model is OrderInitiated)
"""The events that webhooks can subscribe to: those after which an order has another status."""


class OrderUpdate(BaseModel):
    """A change of an order's status."""

    order_id: UUID = Field(description="Id of the order")
    status: OrderStatus = Field(description="The status that the order entered")
    at: AwareDatetime = Field(description="When it entered the status")
    by: str = Field(description="Who took the step: a user, a partner or a service")
    quote: QuoteSummary | None = Field(description="The price at that time; null if there was none")


class WebhookMessage(BaseModel):
    """The body of a request to a webhook."""

    type: str = Field(description="Type of the event that changed the status")
    timestamp: AwareDatetime = Field(description="When the status changed")
    data: OrderUpdate = Field(description="The change")


async def handle_event(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Apply an event to its order, and add deliveries if a partner placed it; raises PredecessorMissing."""
    order_id = order_id_of(data)
    if order_id is None:
        return
    partner, entry = await repository.apply(connection, order_id, event)
    if partner is None or entry is None:
        return
    body = webhook_message(order_id, entry).model_dump_json()
    for webhook in await repository.subscribed_webhooks(connection, partner, event.type):
        await deliveries.add(connection, webhook.id, order_id, event.id, event.type, body)


def webhook_message(order_id: UUID, entry: HistoryEntry) -> WebhookMessage:
    """Return the message about an entry of an order's history."""
    update = OrderUpdate(order_id=order_id, status=entry.status, at=entry.at, by=entry.by, quote=entry.quote)
    return WebhookMessage(type=entry.event.type, timestamp=entry.at, data=update)


def register_background(tasks: BackgroundTasks, database: Database) -> None:
    """Add the consumer of the partners' service, and the sender of webhooks."""
    guard = SsrfGuard(settings().webhook_private_addresses)
    sender = Sender(database, GuardedTransport(guard, MAX_IN_FLIGHT), settings().webhook_timeout_s)

    async def after(_applied: Sequence[EventData]) -> None:
        sender.wake()

    consumer = Consumer("partners", handle_event, database, settings().needed("kafka_url"), after_commit=after)
    add_messaging(tasks, "partners", database, consumer)
    tasks.add("partners sender", sender.run())
