"""What pricing hears: requests of the shop, by priority; and the desk that works them off."""

from __future__ import annotations

from collections.abc import Sequence

from data.contracts.common import Priority
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.shop import QuoteRequested, QuoteWithdrawn
from data.kit import outbox
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.model_store.store import ModelStore
from data.notifications.channels import QUOTE_WORKER_CHANNEL, QUOTES_CHANNEL, WORK_KEY
from data.notifications.pubsub import Listener, Publisher
from data.pricing import repository
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings
from serve_app.pricing.dispatcher_client import DispatcherClient, RayDispatcherClient
from serve_app.pricing.outcomes import cancelled
from serve_app.pricing.quote_worker import QuoteWorker


async def handle_event(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Put a request into the queue, or take it away."""
    if isinstance(data, QuoteRequested):
        quote = await repository.create(connection, data)
    elif isinstance(data, QuoteWithdrawn):
        quote = await repository.withdraw(connection, data)
    else:
        return
    if quote is not None and quote.status is repository.QuoteStatus.CANCELLED:
        await outbox.append(connection, cancelled().event(quote))


def register_background(work: BackgroundTasks, database: Database, dispatchers: DispatcherClient | None = None) -> None:
    """Pricing's relay, a consumer for each priority, and the desk; ``dispatchers``: another than the cluster's."""
    redis, kafka = settings().needed("redis_url"), settings().needed("kafka_url")
    models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)
    desk = QuoteWorker(database, models, dispatchers or RayDispatcherClient(), Publisher(redis, QUOTES_CHANNEL))

    async def after(applied: Sequence[EventData]) -> None:
        desk.withdraw([data.quote_id for data in applied if isinstance(data, QuoteWithdrawn)])
        desk.wake()

    consumers = [
        Consumer(f"pricing-{priority}", handle_event, database, kafka, after_commit=after) for priority in Priority
    ]
    add_messaging(work, "pricing", database, *consumers)
    listener = Listener(redis, QUOTE_WORKER_CHANNEL)
    work.add("pricing listener", listener.run())
    work.add("pricing bell", _ring(listener, desk))
    work.add("pricing desk", desk.run())


async def _ring(listener: Listener, desk: QuoteWorker) -> None:
    with listener.subscribe(WORK_KEY) as news:
        while True:
            await news.wait()
            desk.wake()
