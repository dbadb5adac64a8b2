"""Who asks while a look is under way is part of the next one; answers and errors reach those they are for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from serve_app.kit.batch_loader import BatchLoader


class Source:
    """Numbers that have squares; a look waits at the gate, and fails over a negative one."""

    def __init__(self) -> None:
        self.looks: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def look(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.looks.append(sorted(keys))
        await self.gate.wait()
        if min(keys) < 0:
            raise LookupError("not there")
        return {key: key * key for key in keys if key < 100}


async def _under_way(source: Source, key: int) -> tuple[BatchLoader[int, int], asyncio.Task[int | None]]:
    """A look about ``key`` that waits at the gate."""
    together = BatchLoader(source.look)
    source.gate.clear()
    first = asyncio.create_task(together.ask(key))
    await _begun(first)
    return together, first


async def _begun(*asking: asyncio.Task[int | None]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(each.done() for each in asking)


def test_one_alone_is_asked_at_once() -> None:
    async def main() -> None:
        source = Source()
        together = BatchLoader(source.look)
        assert [await together.ask(3), await together.ask(100), await together.ask(3)] == [9, None, 9]
        assert source.looks == [[3], [100], [3]]

    asyncio.run(main())


def test_who_comes_meanwhile_is_asked_together() -> None:
    async def main() -> None:
        source = Source()
        together, first = await _under_way(source, 1)
        later = [asyncio.create_task(together.ask(key)) for key in (1, 2, 3, 2, 100)]
        await _begun(first, *later)
        source.gate.set()
        assert await asyncio.gather(first, *later) == [1, 1, 4, 9, 4, None]
        assert source.looks == [[1], [1, 2, 3, 100]], "what was asked after a look began is not answered by it"

    asyncio.run(main())


def test_an_error_is_for_those_of_the_look() -> None:
    async def main() -> None:
        source = Source()
        together, first = await _under_way(source, -1)
        second = asyncio.create_task(together.ask(4))
        source.gate.set()
        with pytest.raises(LookupError, match="not there"):
            await first
        assert await second == 16
        assert await together.ask(5) == 25

    asyncio.run(main())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        source = Source()
        together = BatchLoader(source.look)
        source.gate.clear()
        going, staying = asyncio.create_task(together.ask(2)), asyncio.create_task(together.ask(2))
        await _begun(going, staying)
        going.cancel()
        source.gate.set()
        assert await staying == 4
        assert going.cancelled()
        assert source.looks == [[2]]

    asyncio.run(main())
