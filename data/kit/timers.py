"""Durable timers that outages, suspended processes and clock steps do not falsify.

A timer measures operating time: milliseconds in the service's own database that grow only while the timer runs and all
its dependencies answer. A row stores the operating time at which it started to wait; it is due when the operating time
has grown by the permitted wait. The cost is one write per tick and service, however many rows wait.

Operating time never runs ahead of real time. A tick adds no more than the time since the previous tick, by the
monotonic clock of the process and by the clock of the database, so a step of either adds nothing, and neither do two
processes that tick at once. A late tick (an outage, SIGSTOP, a paused machine) adds nothing, and after such a gap
operating time is paused for :data:`SETTLE_S`, in which backlogs drain and people can act.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import BigInteger, Column, MetaData, ScalarSelect, Table, bindparam, cast, extract, func, select
from sqlalchemy.dialects.postgresql import insert

from data.kit import sql
from data.kit.database import UNAVAILABLE_ERRORS, Connection, Database
from data.kit.tables import metadata, text_column, timestamp_column

SETTLE_S = 60.0
"""Seconds of uninterrupted operation after a start or a gap before operating time grows again."""
_GAP_FACTOR = 2.0
"""A tick later than this multiple of the interval marks a gap."""
Dependency = Callable[[], Awaitable[bool]]
"""Return whether a dependency of the timer's actions answers now; has its own time-out and does not raise."""
Action = Callable[[Connection], Awaitable[None]]
"""Handle the due rows within the caller's transaction."""
_log = structlog.get_logger(__name__)

DDL = (
    """CREATE TABLE operating_clocks (
        name text NOT NULL, elapsed_ms bigint NOT NULL, ticked_at timestamptz NOT NULL,
        CONSTRAINT pk_operating_clocks PRIMARY KEY (name)
    )""",
)
DDL_DOWN = ("DROP TABLE operating_clocks",)


def table(metadata: MetaData) -> Table:
    """Add the table of operating clocks to ``metadata``; its DDL is :data:`DDL`."""
    return Table(
        "operating_clocks",
        metadata,
        text_column("name", primary_key=True),
        Column("elapsed_ms", BigInteger, nullable=False),
        timestamp_column("ticked_at"),
    )


_clocks = table(metadata())
_new = insert(_clocks).values(name=bindparam("name"), elapsed_ms=0, ticked_at=func.now())
_since_tick_ms = cast(func.floor(1000 * extract("epoch", func.now() - _clocks.c.ticked_at)), BigInteger)
_TICK = sql.Statement(
    _new.on_conflict_do_update(
        index_elements=[_clocks.c.name],
        set_={
            "elapsed_ms": _clocks.c.elapsed_ms
            + func.greatest(0, func.least(bindparam("passed_ms", type_=BigInteger), _since_tick_ms)),
            "ticked_at": func.now(),
        },
    ).returning(_clocks.c.elapsed_ms)
)


def elapsed_ms(name: str) -> ScalarSelect[int]:
    """Return an SQL expression: the operating time of the clock ``name`` in milliseconds, 0 before its first tick."""
    return select(
        func.coalesce(select(_clocks.c.elapsed_ms).where(_clocks.c.name == sql.inline(name)).scalar_subquery(), 0)
    ).scalar_subquery()


def to_ms(span: timedelta) -> int:
    """Return a time span in whole milliseconds."""
    return round(1000 * span.total_seconds())


class Timer:
    """Advance one operating clock and run actions by it. Run :meth:`run` in the background.

    ``depends_on``: what must answer besides the database for time to count. ``monotonic``: returns seconds.
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        depends_on: Sequence[Dependency] = (),
        settle_s: float = SETTLE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.interval_s = name, interval_s
        self._depends_on, self._settle_s, self._monotonic = tuple(depends_on), settle_s, monotonic
        self._last: float | None = None
        self._uninterrupted_s = 0.0
        self._counting = False

    async def run(self, database: Database, *actions: Action) -> None:
        """Tick until cancelled."""
        while True:
            await self.tick(database, *actions)
            await asyncio.sleep(self.interval_s)

    async def tick(self, database: Database, *actions: Action) -> bool:
        """Advance the clock; run each action in a separate transaction if this tick counted. Return whether it did."""
        now = self._monotonic()
        passed_s = None if self._last is None else now - self._last
        self._last = now
        if passed_s is None or passed_s > _GAP_FACTOR * self.interval_s:
            self._pause("started" if passed_s is None else f"{passed_s:.0f} s passed since the last tick")
            passed_s = 0.0
        if not all([await answers() for answers in self._depends_on]):
            self._pause("a dependency does not answer, or lags")
            return False
        counts = self._uninterrupted_s >= self._settle_s
        try:
            async with database.transaction() as connection:
                parameters = {"name": self.name, "passed_ms": round(1000 * passed_s) if counts else 0}
                await sql.run(connection, _TICK, parameters)
            if counts:
                for act in actions:
                    async with database.transaction() as connection:
                        await act(connection)
        except UNAVAILABLE_ERRORS as error:
            self._pause(f"the database does not answer ({type(error).__name__})")
            return False
        self._uninterrupted_s += passed_s
        if counts and not self._counting:
            _log.info("timer running", timer=self.name)
        self._counting = counts
        return counts

    def _pause(self, reason: str) -> None:
        if self._counting:
            _log.warning("timer paused", timer=self.name, reason=reason)
        self._counting, self._uninterrupted_s = False, 0.0
