"""Questions asked together: while one look is under way, those who come meanwhile wait and make the next one at once.

Alone, one is asked at once; many, asked at a time, cost one statement for all instead of one for each. Nobody is told
what was true before the question came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class BatchLoader(Generic[Key, Answer]):
    """Asks ``look`` about many keys at a time; it gives answers to those that have one."""

    def __init__(self, look: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Answer]]]) -> None:
        self._look = look
        self._waiting: dict[Key, asyncio.Future[Answer | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def ask(self, key: Key) -> Answer | None:
        """The answer to ``key``, None where there is none; raises as the look does, for all who are part of it."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._work())
        return await asyncio.shield(answer)

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    found = await self._look(list(asked))
                except Exception as error:
                    for answer in asked.values():
                        answer.set_exception(error)
                else:
                    for key, answer in asked.items():
                        answer.set_result(found.get(key))
        finally:
            self._looking = None
