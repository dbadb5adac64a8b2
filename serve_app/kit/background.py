"""Background tasks of a service: its relay, its consumers and its timers, in one process of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from data.kit import idempotency, inbox
from data.kit.consumer import Consumer
from data.kit.database import UNAVAILABLE_ERRORS, Connection, Database
from data.kit.relay import Relay
from serve_app.kit import metrics
from serve_app.kit.settings import settings

_SWEEP_INTERVAL_S = 3600.0
_CANCEL_INTERVAL_S = 1.0
_LOG = structlog.get_logger(__name__)


class BackgroundTasks:
    """Tasks that run until they are stopped. A task that finishes is a fault, which :meth:`check` raises."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a task that never finishes."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    def check(self) -> None:
        """Raise RuntimeError if a task has finished."""
        for task in self._tasks:
            if task.done():
                cause = None if task.cancelled() else task.exception()
                raise RuntimeError(f"{task.get_name()} stopped: {cause!r}") from cause

    async def stop(self) -> None:
        """Cancel all tasks, repeatedly: ``asyncio.wait_for`` can swallow a cancellation before Python 3.12."""
        pending = set(self._tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_INTERVAL_S)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log the traceback, since Serve drops the cause of a failed health check."""
    if not task.cancelled():
        _LOG.error("background task stopped", task=task.get_name(), exc_info=task.exception())


def add_messaging(tasks: BackgroundTasks, name: str, database: Database, *consumers: Consumer) -> None:
    """Add the service's relay and consumers, their metrics, and the deletion of rows that they need no longer."""
    relay = Relay(database, settings().needed("kafka_url"), name)
    totals = {
        "published": lambda: relay.published,
        "applied": lambda: sum(consumer.applied for consumer in consumers),
        "parked": lambda: sum(consumer.parked for consumer in consumers),
        "buried": lambda: sum(consumer.dead_lettered for consumer in consumers),  # the label of before stays
    }
    tasks.add(f"{name} relay", relay.run())
    for consumer in consumers:
        tasks.add(f"{consumer.name} consumer", consumer.run())
    tasks.add(f"{name} metrics", metrics.export(name, database, totals, [consumer.name for consumer in consumers]))
    tasks.add(
        f"{name} sweep", run_periodically(_SWEEP_INTERVAL_S, database, inbox.delete_expired, idempotency.delete_expired)
    )


async def run_periodically(seconds: float, database: Database, *steps: Callable[[Connection], Awaitable[Any]]) -> None:
    """Run ``steps`` for ever, each in a transaction of its own; if the database is down, the next run retries them."""
    while True:
        for step in steps:
            try:
                async with database.transaction() as connection:
                    await step(connection)
            except UNAVAILABLE_ERRORS as error:
                _LOG.warning("timer waits for the database", step=step.__name__, error=str(error))
        await asyncio.sleep(seconds)
