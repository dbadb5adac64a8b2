"""Keys requested while a load is running are part of the next one; values and errors reach their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from serve_app.kit.batch_loader import BatchLoader


class Source:
    """Squares of numbers; a load waits at the gate, and fails for a negative number."""

    def __init__(self) -> None:
        self.loads: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.loads.append(sorted(keys))
        await self.gate.wait()
        if min(keys) < 0:
            raise LookupError("not there")
        return {key: key * key for key in keys if key < 100}


async def _running_load(source: Source, key: int) -> tuple[BatchLoader[int, int], asyncio.Task[int | None]]:
    """Return a loader, and a load of ``key`` that waits at the gate."""
    loader = BatchLoader(source.load)
    source.gate.clear()
    first = asyncio.create_task(loader.load(key))
    await _started(first)
    return loader, first


async def _started(*loads: asyncio.Task[int | None]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(each.done() for each in loads)


async def test_a_single_key_is_loaded_at_once() -> None:
    source = Source()
    loader = BatchLoader(source.load)
    assert [await loader.load(3), await loader.load(100), await loader.load(3)] == [9, None, 9]
    assert source.loads == [[3], [100], [3]]


async def test_keys_requested_during_a_load_share_the_next_one() -> None:
    source = Source()
    loader, first = await _running_load(source, 1)
    later = [asyncio.create_task(loader.load(key)) for key in (1, 2, 3, 2, 100)]
    await _started(first, *later)
    source.gate.set()
    assert await asyncio.gather(first, *later) == [1, 1, 4, 9, 4, None]
    assert source.loads == [[1], [1, 2, 3, 100]], "a load has no value for keys requested after it started"


async def test_an_error_reaches_the_whole_batch() -> None:
    source = Source()
    loader, first = await _running_load(source, -1)
    second = asyncio.create_task(loader.load(4))
    source.gate.set()
    with pytest.raises(LookupError, match="not there"):
        await first
    assert await second == 16
    assert await loader.load(5) == 25


async def test_a_cancelled_request_does_not_affect_others() -> None:
    source = Source()
    loader = BatchLoader(source.load)
    source.gate.clear()
    cancelled, waiting = asyncio.create_task(loader.load(2)), asyncio.create_task(loader.load(2))
    await _started(cancelled, waiting)
    cancelled.cancel()
    source.gate.set()
    assert await waiting == 4
    assert cancelled.cancelled()
    assert source.loads == [[2]]
