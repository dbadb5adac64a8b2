"""Loads batched: keys requested while one load is running wait and are loaded together by the next.

A single key is loaded at once; many keys at a time cost one statement instead of one each. No request gets a value that
was read before the request was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BatchLoader(Generic[Key, Value]):
    """Calls ``load_many`` with many keys at a time; it returns the values of those that exist."""

    def __init__(self, load_many: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._load_many = load_many
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def load(self, key: Key) -> Value | None:
        """Return the value of ``key``, None if there is none; raises as ``load_many`` does, to the whole batch."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                try:
                    values = await self._load_many(list(batch))
                except Exception as error:
                    for future in batch.values():
                        future.set_exception(error)
                else:
                    for key, future in batch.items():
                        future.set_result(values.get(key))
        finally:
            self._task = None
