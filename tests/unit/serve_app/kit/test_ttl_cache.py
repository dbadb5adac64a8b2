"""Cached values are never older than a change of this process."""

from __future__ import annotations

import asyncio

from serve_app.kit.ttl_cache import TtlCache


class Source:
    """A value that changes, and counts how often it is loaded."""

    def __init__(self) -> None:
        self.value, self.loads, self.gate = 0, 0, asyncio.Event()
        self.gate.set()

    async def load(self) -> int:
        self.loads += 1
        value = self.value
        await self.gate.wait()
        if value < 0:
            raise LookupError("not there")
        return value


async def test_many_equal_requests_cost_one_load() -> None:
    cache, source = TtlCache[int](60), Source()
    assert await asyncio.gather(*(cache.get_or_load("a", source.load) for _ in range(50))) == [0] * 50
    assert await cache.get_or_load("a", source.load) == 0
    assert source.loads == 1
    assert await cache.get_or_load("b", source.load) == 0
    assert source.loads == 2


async def test_a_change_shows_at_once() -> None:
    cache, source = TtlCache[int](60), Source()
    assert await cache.get_or_load("a", source.load) == 0
    source.value = 1
    cache.clear()
    assert await cache.get_or_load("a", source.load) == 1


async def test_a_value_loaded_before_a_change_is_not_cached() -> None:
    cache, source = TtlCache[int](60), Source()
    source.gate.clear()
    early = asyncio.create_task(cache.get_or_load("a", source.load))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.value = 1
    cache.clear()
    late = asyncio.create_task(cache.get_or_load("a", source.load))
    await asyncio.sleep(0)
    source.gate.set()
    assert (await early, await late) == (0, 1)
    assert await cache.get_or_load("a", source.load) == 1


async def test_an_error_reaches_all_waiters_and_is_not_cached() -> None:
    cache, source = TtlCache[int](60), Source()
    source.value = -1
    found = await asyncio.gather(*(cache.get_or_load("a", source.load) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [LookupError] * 3
    source.value = 5
    assert await cache.get_or_load("a", source.load) == 5


async def test_an_expired_value_is_loaded_again() -> None:
    cache, source = TtlCache[int](0), Source()
    await cache.get_or_load("a", source.load)
    await cache.get_or_load("a", source.load)
    assert source.loads == 2
