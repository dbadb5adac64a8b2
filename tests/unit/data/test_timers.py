"""Operating time: what counts, by a fake clock and a fake database that keep to the same rules as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from data.kit import sql, timers
from data.kit.timers import SETTLE_S, Timer

TICK_S = 5.0
STEPS = int(SETTLE_S / TICK_S)


@dataclass
class World:
    """A database with a clock of its own, a broker, and the monotonic clock of the process."""

    monotonic_s: float = 0.0
    elapsed_ms: int = 0
    decided: int = 0
    database_answers: bool = True
    broker_answers: bool = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        if not self.database_answers:
            raise psycopg.OperationalError("away")
        yield self

    async def run(self, _connection: Any, statement: sql.Statement, given: Mapping[str, Any]) -> None:
        assert statement is timers._TICK
        self.elapsed_ms += given["passed_ms"]

    async def broker(self) -> bool:
        return self.broker_answers

    async def decide(self, _connection: Any) -> None:
        self.decided += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(sql, "run", world.run)
    return world


def timer(world: World) -> Timer:
    return Timer("test", TICK_S, [world.broker], monotonic=lambda: world.monotonic_s)


def tick(world: World, ticking: Timer, times: int = 1, every_s: float = TICK_S) -> list[bool]:
    async def ticked() -> list[bool]:
        counted = []
        for _ in range(times):
            world.monotonic_s += every_s
            counted.append(await ticking.tick(world, world.decide))  # type: ignore[arg-type]
        return counted

    return asyncio.run(ticked())


def settled(world: World) -> Timer:
    """A timer that counts, and has counted nothing yet."""
    ticking = timer(world)
    assert not any(tick(world, ticking, 1 + STEPS))
    assert (world.elapsed_ms, world.decided) == (0, 0)
    return ticking


def test_time_counts_once_it_has_settled_and_decisions_are_taken(world: World) -> None:
    ticking = settled(world)
    assert all(tick(world, ticking, 12))
    assert (world.elapsed_ms, world.decided) == (60_000, 12)


@pytest.mark.parametrize("outage_s", [15, 30, 90, 300])
@pytest.mark.parametrize(
    "away", [("database_answers",), ("broker_answers",), ("database_answers", "broker_answers")], ids="+".join
)
def test_an_outage_of_any_length_adds_nothing(world: World, away: tuple[str, ...], outage_s: int) -> None:
    ticking = settled(world)
    tick(world, ticking, 2)
    for what in away:
        setattr(world, what, False)
    assert not any(tick(world, ticking, int(outage_s / TICK_S)))
    for what in away:
        setattr(world, what, True)
    assert not any(tick(world, ticking, STEPS)), "backlogs drain first"
    assert (world.elapsed_ms, world.decided) == (10_000, 2)
    tick(world, ticking, 3)
    assert 15_000 <= world.elapsed_ms <= 25_000


def test_a_suspended_process_adds_nothing_and_decides_nothing_in_its_first_moment(world: World) -> None:
    ticking = settled(world)
    tick(world, ticking, 2)
    assert tick(world, ticking, every_s=300.0) == [False]
    assert not any(tick(world, ticking, STEPS))
    assert (world.elapsed_ms, world.decided) == (10_000, 2)


def test_ticks_that_are_a_little_late_lose_nothing(world: World) -> None:
    ticking = settled(world)
    assert all(tick(world, ticking, 10, every_s=2 * TICK_S))
    assert world.elapsed_ms == 100_000


def test_outages_that_come_again_and_again_never_let_it_count(world: World) -> None:
    ticking = settled(world)
    for _ in range(20):
        world.broker_answers = False
        tick(world, ticking)
        world.broker_answers = True
        tick(world, ticking, STEPS)
    assert (world.elapsed_ms, world.decided) == (0, 0)


def test_a_new_process_settles_first(world: World) -> None:
    tick(world, settled(world), 4)
    assert not any(tick(world, timer(world), 1 + STEPS))
    assert world.elapsed_ms == 20_000


def test_a_database_that_goes_away_between_tick_and_decision_is_no_fault(world: World) -> None:
    async def fails(_connection: Any) -> None:
        raise psycopg.OperationalError("away")

    ticking = settled(world)
    world.decide = fails  # type: ignore[method-assign]
    assert tick(world, ticking) == [False]


def test_run_ticks_at_its_interval(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.monotonic_s += seconds
        if len(slept) == STEPS + 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(timers.asyncio, "sleep", sleep)
    decide: Callable[[Any], Awaitable[None]] = world.decide
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(timer(world).run(world, decide))  # type: ignore[arg-type]
    assert set(slept) == {TICK_S}
    assert world.decided == 4
