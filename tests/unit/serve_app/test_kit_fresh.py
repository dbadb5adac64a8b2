"""Answers kept for a moment are never older than a change that was made here."""

from __future__ import annotations

import asyncio

from serve_app.kit.ttl_cache import TtlCache


class Source:
    """Something that changes, and counts who looks at it."""

    def __init__(self) -> None:
        self.value, self.looks, self.gate = 0, 0, asyncio.Event()
        self.gate.set()

    async def look(self) -> int:
        self.looks += 1
        seen = self.value
        await self.gate.wait()
        if seen < 0:
            raise LookupError("not there")
        return seen


def test_many_who_ask_cost_one_look() -> None:
    async def main() -> None:
        fresh, source = TtlCache[int](60), Source()
        assert await asyncio.gather(*(fresh.answer("a", source.look) for _ in range(50))) == [0] * 50
        assert await fresh.answer("a", source.look) == 0
        assert source.looks == 1
        assert await fresh.answer("b", source.look) == 0
        assert source.looks == 2

    asyncio.run(main())


def test_a_change_is_seen_at_once() -> None:
    async def main() -> None:
        fresh, source = TtlCache[int](60), Source()
        assert await fresh.answer("a", source.look) == 0
        source.value = 1
        fresh.forget()
        assert await fresh.answer("a", source.look) == 1

    asyncio.run(main())


def test_what_was_looked_up_before_a_change_is_not_kept() -> None:
    async def main() -> None:
        fresh, source = TtlCache[int](60), Source()
        source.gate.clear()
        early = asyncio.create_task(fresh.answer("a", source.look))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        source.value = 1
        fresh.forget()
        late = asyncio.create_task(fresh.answer("a", source.look))
        await asyncio.sleep(0)
        source.gate.set()
        assert (await early, await late) == (0, 1)
        assert await fresh.answer("a", source.look) == 1

    asyncio.run(main())


def test_an_error_is_for_who_waits_and_not_kept() -> None:
    async def main() -> None:
        fresh, source = TtlCache[int](60), Source()
        source.value = -1
        found = await asyncio.gather(*(fresh.answer("a", source.look) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in found] == [LookupError] * 3
        source.value = 5
        assert await fresh.answer("a", source.look) == 5

    asyncio.run(main())


def test_after_its_time_an_answer_is_looked_up_again() -> None:
    async def main() -> None:
        fresh, source = TtlCache[int](0), Source()
        await fresh.answer("a", source.look)
        await fresh.answer("a", source.look)
        assert source.looks == 2

    asyncio.run(main())
