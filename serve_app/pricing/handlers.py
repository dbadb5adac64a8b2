"""Events that pricing handles (requests of the shop, by priority), and the worker that prices the queue."""

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
    """Queue a quote, or cancel it."""
    if isinstance(data, QuoteRequested):
        quote = await repository.create(connection, data)
    elif isinstance(data, QuoteWithdrawn):
        quote = await repository.withdraw(connection, data)
    else:
        return
    if quote is not None and quote.status is repository.QuoteStatus.CANCELLED:
        await outbox.append(connection, cancelled().event(quote))


def register_background(tasks: BackgroundTasks, database: Database, dispatcher: DispatcherClient | None = None) -> None:
    """Add pricing's relay, a consumer for each priority, and the worker; ``dispatcher``: by default the cluster's."""
    redis, kafka = settings().needed("redis_url"), settings().needed("kafka_url")
    models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)
    worker = QuoteWorker(database, models, dispatcher or RayDispatcherClient(), Publisher(redis, QUOTES_CHANNEL))

    async def after(applied: Sequence[EventData]) -> None:
        worker.withdraw([data.quote_id for data in applied if isinstance(data, QuoteWithdrawn)])
        worker.wake()

    consumers = [
        Consumer(f"pricing-{priority}", handle_event, database, kafka, after_commit=after) for priority in Priority
    ]
    add_messaging(tasks, "pricing", database, *consumers)
    listener = Listener(redis, QUOTE_WORKER_CHANNEL)
    tasks.add("pricing listener", listener.run())
    tasks.add("pricing wake-up", _wake_on_notification(listener, worker))
    tasks.add("pricing worker", worker.run())


async def _wake_on_notification(listener: Listener, worker: QuoteWorker) -> None:
    with listener.subscribe(WORK_KEY) as subscription:
        while True:
            await subscription.wait()
            worker.wake()
