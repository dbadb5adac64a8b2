"""What the partners' service hears: everything about orders. What theirs go through, partners' webhooks are told."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

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
from serve_app.partners.sender import MOST, Sender
from serve_app.partners.ssrf_guard import GuardedTransport, SsrfGuard

TYPES = tuple(kind for kind, entry in EVENTS.items() if entry.step is not None or entry.model is OrderInitiated)
"""The events that webhooks can be told of: those that give an order another status."""


class OrderUpdate(BaseModel):
    """What happened to an order. ``quote``: as it was then."""

    order_id: UUID
    status: OrderStatus
    at: AwareDatetime
    by: str
    quote: QuoteSummary | None


class WebhookMessage(BaseModel):
    """A webhook's body. ``type``: that of the event that caused the new status; ``timestamp``: when that was."""

    type: str
    timestamp: AwareDatetime
    data: OrderUpdate


async def handle_event(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Apply an event to its order, and send on what a partner's order goes through; raises PredecessorMissing."""
    ident = order_id_of(data)
    if ident is None:
        return
    partner, entry = await repository.apply(connection, ident, event)
    if partner is None or entry is None:
        return
    body = message(ident, entry).model_dump_json()
    for webhook in await repository.subscribed_webhooks(connection, partner, event.type):
        await deliveries.add(connection, webhook.id, ident, event.id, event.type, body)


def message(order: UUID, entry: HistoryEntry) -> WebhookMessage:
    """What webhooks are told of a line of an order's history."""
    news = OrderUpdate(order_id=order, status=entry.status, at=entry.at, by=entry.by, quote=entry.quote)
    return WebhookMessage(type=entry.event.type, timestamp=entry.at, data=news)


def register_background(work: BackgroundTasks, database: Database) -> None:
    """The consumer of the partners' service, and the sender of webhooks."""
    guard = SsrfGuard(settings().webhook_private_addresses)
    sender = Sender(database, GuardedTransport(guard, MOST), settings().webhook_timeout_s)

    async def after(_applied: Sequence[EventData]) -> None:
        sender.look()

    consumer = Consumer("partners", handle_event, database, settings().needed("kafka_url"), after_commit=after)
    add_messaging(work, "partners", database, consumer)
    work.add("partners sender", sender.run())
