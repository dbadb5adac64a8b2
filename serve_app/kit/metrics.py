"""What the work behind a service tells of itself, through Ray's metrics, which end at ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from ray.util.metrics import Gauge

from data.kit import parking, sql
from data.kit.database import UNAVAILABLE_ERRORS, Database
from data.kit.outbox import COUNT_UNPUBLISHED

EVERY_S = 5.0


async def tell(
    service: str, database: Database, counts: Mapping[str, Callable[[], int]], consumers: Sequence[str] = ()
) -> None:
    """Publish for ever how many events wait in the outbox and are parked by ``consumers``, and ``counts``: of each
    kind, how many since the start.
    """
    waiting = Gauge("facet_outbox_waiting", "Events that wait to be published", ("service",))
    parked = Gauge("facet_events_parked", "Events that wait for another event", ("consumer",))
    unreachable = Gauge("facet_events_unreachable", "Parked events that wait in vain: alert above 0", ("consumer",))
    done = Gauge("facet_events", "Events since the process began, by what became of them", ("service", "what"))
    while True:
        try:
            async with database.connection() as connection:
                waiting.set(await sql.value(connection, COUNT_UNPUBLISHED, {}), {"service": service})
                for consumer in consumers:
                    all_of_them, in_vain = await parking.counts(connection, consumer)
                    parked.set(all_of_them, {"consumer": consumer})
                    unreachable.set(in_vain, {"consumer": consumer})
        except UNAVAILABLE_ERRORS:
            waiting.set(-1, {"service": service})  # not known
        for what, count in counts.items():
            done.set(count(), {"service": service, "what": what})
        await asyncio.sleep(EVERY_S)
