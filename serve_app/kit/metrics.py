"""Metrics of a service's background tasks, exported by Ray's metrics agent and read at ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ray.util.metrics import Counter, Gauge

from data.kit import parking, sql
from data.kit.database import UNAVAILABLE_ERRORS, Database
from data.kit.outbox import COUNT_UNPUBLISHED

EXPORT_INTERVAL_S = 5.0


class CounterLike(Protocol):
    """The part of Ray's counter that is used here."""

    def inc(self, value: float, tags: dict[str, str]) -> None:
        """Add ``value`` to the series with these tags."""


async def export(
    service: str, database: Database, totals: Mapping[str, Callable[[], int]], consumers: Sequence[str] = ()
) -> None:
    """Export for ever how many events wait in the outbox and are parked by ``consumers``, and ``totals`` by outcome.

    ``totals``: how many events have had an outcome since the process started. A count that can't be read is left out.
    """
    waiting = Gauge("facet_outbox_waiting", "Events waiting to be published", ("service",))
    parked = Gauge("facet_events_parked", "Events waiting for another event", ("consumer",))
    unreachable = Gauge("facet_events_unreachable", "Parked events that wait in vain: alert above 0", ("consumer",))
    events = Counter("facet_events", "Events since the process started, by outcome", ("service", "what"))
    exported = TotalsExporter(events, service, totals)
    while True:
        try:
            async with database.connection() as connection:
                waiting.set(await sql.value(connection, COUNT_UNPUBLISHED, {}), {"service": service})
                for consumer in consumers:
                    total, in_vain = await parking.counts(connection, consumer)
                    parked.set(total, {"consumer": consumer})
                    unreachable.set(in_vain, {"consumer": consumer})
        except UNAVAILABLE_ERRORS:
            pass  # unknown for now
        exported.update()
        await asyncio.sleep(EXPORT_INTERVAL_S)


class TotalsExporter:
    """Adds to a counter what running totals have grown by since the last update."""

    def __init__(self, counter: CounterLike, service: str, totals: Mapping[str, Callable[[], int]]) -> None:
        self._counter, self._service, self._totals = counter, service, totals
        self._exported = dict.fromkeys(totals, 0)

    def update(self) -> None:
        """Export the growth of every total."""
        for outcome, total in self._totals.items():
            now = total()
            if (growth := now - self._exported[outcome]) > 0:
                self._counter.inc(growth, {"service": self._service, "what": outcome})
            self._exported[outcome] = now
