"""Events that the MES handles: approved orders, and orders that are cancelled or put on hold."""

from __future__ import annotations

from data.contracts.common import OrderEvent
from data.contracts.crm import OrderApproved, OrderHeld, OrderResumed, OrderWithdrawn
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.shop import OrderCancelled
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.mes import repository
from data.orders.sequencing import next_step
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings


async def handle_event(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Add an order to the board, withdraw it, or put it on hold."""
    if isinstance(data, OrderApproved):
        await repository.receive(connection, data)
    elif isinstance(data, OrderCancelled | OrderWithdrawn):
        await repository.withdraw(connection, data.order_id, data.revision)
    elif isinstance(data, OrderHeld | OrderResumed):
        await _apply(connection, data)


async def _apply(connection: Connection, data: OrderEvent) -> None:
    task = await repository.lock(connection, data.order_id)
    if task is None:
        return  # it was put on hold before it was approved
    step = next_step(task.status, task.revision, None, data)
    if step is not None:
        await repository.move(connection, task, step, event_revision=data.revision)


def register_background(tasks: BackgroundTasks, database: Database) -> None:
    """Add the relay and the consumer of the MES."""
    add_messaging(tasks, "mes", database, Consumer("mes", handle_event, database, settings().needed("kafka_url")))
