"""Durable timers that outages, suspended processes and clock steps do not falsify.

A timer measures operating time: a number of milliseconds in the service's own database that grows only while the timer
runs and everything it depends on answers. A row stores the operating time at which it began to wait; it is due when the
operating time has grown by as much as it may wait. The cost is one write per tick and service, whatever waits.

Operating time never runs ahead of real time. A tick adds no more than the time since the tick before it, by the
monotonic clock of the process and by the clock of the database, so a step of either adds nothing, and neither do two
processes that tick at once. A tick that comes late (an outage, SIGSTOP, a paused machine) adds nothing, and after such
a gap operating time stands still for :data:`SETTLE_S`, in which backlogs drain and people can act.
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
from data.kit.database import AWAY, Connection, Database
from data.kit.tables import metadata, text_column, timestamp_column

SETTLE_S = 60.0
"""Seconds of uninterrupted operation after a start or a gap before operating time grows again."""
_LATE = 2.0
"""A tick that comes later than so many intervals after the one before it marks a gap."""
Dependency = Callable[[], Awaitable[bool]]
"""Whether something that the timer's decision depends on answers now; bounds its own wait and does not raise."""
Decision = Callable[[Connection], Awaitable[None]]
"""Acts on the rows that are due, within the transaction it is given."""
_log = structlog.get_logger(__name__)

DDL = (
    """CREATE TABLE operating_clocks (
        name text NOT NULL, elapsed_ms bigint NOT NULL, ticked_at timestamptz NOT NULL,
        CONSTRAINT pk_operating_clocks PRIMARY KEY (name)
    )""",
)
DDL_DOWN = ("DROP TABLE operating_clocks",)


def table(into: MetaData) -> Table:
    """Add the table of operating clocks to ``into``; its DDL is :data:`DDL`."""
    return Table(
        "operating_clocks",
        into,
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
    """An SQL expression: the operating time of the clock ``name`` in milliseconds, 0 before its first tick."""
    return select(
        func.coalesce(select(_clocks.c.elapsed_ms).where(_clocks.c.name == sql.inline(name)).scalar_subquery(), 0)
    ).scalar_subquery()


def to_ms(span: timedelta) -> int:
    """A span in whole milliseconds."""
    return round(1000 * span.total_seconds())


class Timer:
    """Advances one operating clock and takes decisions by it. Run :meth:`run` in the background.

    ``depends_on``: what must answer besides the database for time to count. ``steady``: seconds of a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        depends_on: Sequence[Dependency] = (),
        settle_s: float = SETTLE_S,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.interval_s = name, interval_s
        self._depends_on, self._settle_s, self._steady = tuple(depends_on), settle_s, steady
        self._last: float | None = None
        self._well_s = 0.0
        self._counting = False

    async def run(self, database: Database, *decisions: Decision) -> None:
        """Tick forever; cancel it to end it."""
        while True:
            await self.tick(database, *decisions)
            await asyncio.sleep(self.interval_s)

    async def tick(self, database: Database, *decisions: Decision) -> bool:
        """Advance the clock; take each decision, in a transaction of its own, if this tick counted. Gives whether."""
        now = self._steady()
        passed_s = None if self._last is None else now - self._last
        self._last = now
        if passed_s is None or passed_s > _LATE * self.interval_s:
            self._pause("it started" if passed_s is None else f"{passed_s:.0f} s passed since its last tick")
            passed_s = 0.0
        if not all([await answers() for answers in self._depends_on]):
            self._pause("what it depends on does not answer, or lags")
            return False
        counts = self._well_s >= self._settle_s
        try:
            async with database.transaction() as connection:
                given = {"name": self.name, "passed_ms": round(1000 * passed_s) if counts else 0}
                await sql.run(connection, _TICK, given)
            if counts:
                for decide in decisions:
                    async with database.transaction() as connection:
                        await decide(connection)
        except AWAY as error:
            self._pause(f"the database does not answer ({type(error).__name__})")
            return False
        self._well_s += passed_s
        if counts and not self._counting:
            _log.info("timer counts", timer=self.name)
        self._counting = counts
        return counts

    def _pause(self, reason: str) -> None:
        if self._counting:
            _log.warning("timer stands still", timer=self.name, reason=reason)
        self._counting, self._well_s = False, 0.0
