"""Work that goes on behind a service's back: its relay, its consumers and its timers, in one process of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from data.kit import idempotency, inbox
from data.kit.consumer import Consumer
from data.kit.database import UNAVAILABLE_ERRORS, Connection, Database
from data.kit.relay import Relay
from serve_app.kit import metrics
from serve_app.kit.settings import settings

_SWEEP_EVERY_S = 3600.0
_STOP_AGAIN_S = 1.0
_LOG = structlog.get_logger(__name__)


class BackgroundTasks:
    """Tasks that run until they are stopped. A task that ends is a fault: :meth:`check` raises what ended it."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, task: Coroutine[Any, Any, None]) -> None:
        """Begin ``task``, which has no end."""
        begun = asyncio.get_running_loop().create_task(task, name=name)
        begun.add_done_callback(_log_end)
        self._tasks.append(begun)

    def check(self) -> None:
        """Raise RuntimeError where a task has ended."""
        for task in self._tasks:
            if task.done():
                why = None if task.cancelled() else task.exception()
                raise RuntimeError(f"{task.get_name()} ended: {why!r}") from why

    async def stop(self) -> None:
        """End all tasks; a cancellation is repeated, since ``asyncio.wait_for`` can swallow one before Python 3.12."""
        pending = set(self._tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_STOP_AGAIN_S)


def _log_end(task: asyncio.Task[None]) -> None:
    """Where it came from: whoever checks is told what it was, but Serve drops the cause of a failed check."""
    if not task.cancelled():
        _LOG.error("work ended", task=task.get_name(), exc_info=task.exception())


def add_messaging(work: BackgroundTasks, name: str, database: Database, *consumers: Consumer) -> None:
    """The service's relay and consumers, what they tell of themselves, and the sweeping of what they need no longer."""
    relay = Relay(database, settings().needed("kafka_url"), name)
    counts = {"published": lambda: relay.published}
    work.add(f"{name} relay", relay.run())
    for consumer in consumers:
        work.add(f"{consumer.name} consumer", consumer.run())
    for count in ("applied", "parked", "buried"):
        counts[count] = partial(_sum, consumers, count)
    work.add(f"{name} metrics", metrics.tell(name, database, counts, [consumer.name for consumer in consumers]))
    work.add(
        f"{name} sweep", run_periodically(_SWEEP_EVERY_S, database, inbox.delete_expired, idempotency.delete_expired)
    )


def _sum(consumers: Sequence[Consumer], count: str) -> int:
    return sum(getattr(consumer, count) for consumer in consumers)


async def run_periodically(seconds: float, database: Database, *steps: Callable[[Connection], Awaitable[Any]]) -> None:
    """Run ``steps`` for ever, each in a transaction of its own; a database that is away is tried the next time."""
    while True:
        for step in steps:
            try:
                async with database.transaction() as connection:
                    await step(connection)
            except UNAVAILABLE_ERRORS as error:
                _LOG.warning("timer waits for the database", step=step.__name__, error=str(error))
        await asyncio.sleep(seconds)
