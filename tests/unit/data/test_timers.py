"""Operating time: when it counts, with a fake clock and a fake database that follow the rules of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import psycopg
import pytest

from data.kit import sql, timers
from data.kit.database import Connection, Database
from data.kit.timers import SETTLE_S, Action, Timer

TICK_S = 5.0
STEPS = int(SETTLE_S / TICK_S)


@dataclass
class World:
    """A database with a separate clock, a broker, and the monotonic clock of the process."""

    monotonic_s: float = 0.0
    elapsed_ms: int = 0
    acted: int = 0
    database_answers: bool = True
    broker_answers: bool = True

    @property
    def database(self) -> Database:
        return cast("Database", self)  # it has what a timer uses

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[World]:
        if not self.database_answers:
            raise psycopg.OperationalError("unavailable")
        yield self

    async def run(self, _connection: Connection, statement: sql.Statement, parameters: Mapping[str, int]) -> None:
        assert statement is timers._TICK
        self.elapsed_ms += parameters["passed_ms"]

    async def broker(self) -> bool:
        return self.broker_answers

    async def act(self, _connection: Connection) -> None:
        self.acted += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(sql, "run", world.run)
    return world


def timer(world: World) -> Timer:
    return Timer("test", TICK_S, [world.broker], monotonic=lambda: world.monotonic_s)


async def tick(
    world: World, ticking: Timer, times: int = 1, every_s: float = TICK_S, action: Action | None = None
) -> list[bool]:
    counted = []
    for _ in range(times):
        world.monotonic_s += every_s
        counted.append(await ticking.tick(world.database, action or world.act))
    return counted


async def settled(world: World) -> Timer:
    """Return a timer that counts, and has counted nothing yet."""
    ticking = timer(world)
    assert not any(await tick(world, ticking, 1 + STEPS))
    assert (world.elapsed_ms, world.acted) == (0, 0)
    return ticking


async def test_time_counts_and_actions_run_once_it_has_settled(world: World) -> None:
    ticking = await settled(world)
    assert all(await tick(world, ticking, 12))
    assert (world.elapsed_ms, world.acted) == (60_000, 12)


@pytest.mark.parametrize("outage_s", [15, 30, 90, 300])
@pytest.mark.parametrize(
    "unavailable", [("database_answers",), ("broker_answers",), ("database_answers", "broker_answers")], ids="+".join
)
async def test_an_outage_of_any_length_adds_nothing(world: World, unavailable: tuple[str, ...], outage_s: int) -> None:
    ticking = await settled(world)
    await tick(world, ticking, 2)
    for what in unavailable:
        setattr(world, what, False)
    assert not any(await tick(world, ticking, int(outage_s / TICK_S)))
    for what in unavailable:
        setattr(world, what, True)
    assert not any(await tick(world, ticking, STEPS)), "backlogs drain first"
    assert (world.elapsed_ms, world.acted) == (10_000, 2)
    await tick(world, ticking, 3)
    assert 15_000 <= world.elapsed_ms <= 25_000


async def test_a_suspended_process_adds_no_time_and_runs_no_action_on_resume(world: World) -> None:
    ticking = await settled(world)
    await tick(world, ticking, 2)
    assert await tick(world, ticking, every_s=300.0) == [False]
    assert not any(await tick(world, ticking, STEPS))
    assert (world.elapsed_ms, world.acted) == (10_000, 2)


async def test_slightly_late_ticks_count_in_full(world: World) -> None:
    ticking = await settled(world)
    assert all(await tick(world, ticking, 10, every_s=2 * TICK_S))
    assert world.elapsed_ms == 100_000


async def test_repeated_outages_add_nothing(world: World) -> None:
    ticking = await settled(world)
    for _ in range(20):
        world.broker_answers = False
        await tick(world, ticking)
        world.broker_answers = True
        await tick(world, ticking, STEPS)
    assert (world.elapsed_ms, world.acted) == (0, 0)


async def test_a_new_process_settles_first(world: World) -> None:
    await tick(world, await settled(world), 4)
    assert not any(await tick(world, timer(world), 1 + STEPS))
    assert world.elapsed_ms == 20_000


async def test_an_outage_between_tick_and_action_is_no_error(world: World) -> None:
    async def fails(_connection: Connection) -> None:
        raise psycopg.OperationalError("unavailable")

    ticking = await settled(world)
    assert await tick(world, ticking, action=fails) == [False]


async def test_run_ticks_at_its_interval(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.monotonic_s += seconds
        if len(slept) == STEPS + 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await timer(world).run(world.database, world.act)
    assert set(slept) == {TICK_S}
    assert world.acted == 4
