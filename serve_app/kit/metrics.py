"""What the work behind a service tells of itself, through Ray's metrics, which end at ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ray.util.metrics import Gauge

from data.kit import sql
from data.kit.database import AWAY, Database
from data.kit.outbox import WAITING

EVERY_S = 5.0


async def tell(service: str, database: Database, counts: Mapping[str, Callable[[], int]]) -> None:
    """Tell for ever how many events wait in the outbox, and ``counts``: of each kind, how many since the start."""
    waiting = Gauge("facet_outbox_waiting", "Events that wait to be published", ("service",))
    done = Gauge("facet_events", "Events since the process began, by what became of them", ("service", "what"))
    while True:
        try:
            async with database.connection() as connection:
                waiting.set(await sql.value(connection, WAITING, {}), {"service": service})
        except AWAY:
            waiting.set(-1, {"service": service})  # not known
        for what, count in counts.items():
            done.set(count(), {"service": service, "what": what})
        await asyncio.sleep(EVERY_S)
