"""Answers kept for a moment: many who ask the same at once cost one look at the database.

Nobody is told what was true before a change that this process has made: :meth:`TtlCache.forget` drops what is kept, and
what was being looked up meanwhile is not kept either. Changes made elsewhere show after the time that it was made with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
MOST = 10_000
"""Answers kept at most; beyond, all are forgotten."""


class TtlCache(Generic[Answer]):
    """Keeps answers for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: dict[Hashable, tuple[Answer, float]] = {}
        self._asking: dict[Hashable, asyncio.Future[Answer]] = {}

    async def answer(self, key: Hashable, look: Callable[[], Awaitable[Answer]]) -> Answer:
        """The kept answer to ``key``, else what ``look`` finds; raises as ``look`` does, for all who wait for it."""
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(look())
            asking.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(asking)

    def forget(self) -> None:
        """Something has changed."""
        self._kept.clear()
        self._asking.clear()

    def _keep(self, key: Hashable, done: asyncio.Future[Answer]) -> None:
        if self._asking.get(key) is not done:
            return  # it was forgotten while it was looked up
        del self._asking[key]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = done.result(), time.monotonic() + self._seconds
