"""Values cached for a short time: many equal requests at once cost one database query.

No request gets a value from before a change that this process has made: :meth:`TtlCache.clear` drops the cached values,
and values being loaded meanwhile are not cached either. Changes of other processes show once a value has expired.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")
MAX_ENTRIES = 10_000
"""Values cached at most; beyond, all are dropped."""


class TtlCache(Generic[Value]):
    """Caches values for ``ttl_s``."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._entries: dict[Hashable, tuple[Value, float]] = {}
        self._loading: dict[Hashable, asyncio.Future[Value]] = {}

    async def get_or_load(self, key: Hashable, load: Callable[[], Awaitable[Value]]) -> Value:
        """Return the cached value of ``key``, else what ``load`` returns; raises as ``load`` does, to all waiters."""
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() < entry[1]:
            return entry[0]
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(load())
            loading.add_done_callback(lambda done: self._store(key, done))
        return await asyncio.shield(loading)

    def clear(self) -> None:
        """Drop all values, since something has changed."""
        self._entries.clear()
        self._loading.clear()

    def _store(self, key: Hashable, done: asyncio.Future[Value]) -> None:
        if self._loading.get(key) is not done:
            return  # cleared while it was loading
        del self._loading[key]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._entries) >= MAX_ENTRIES:
            self._entries.clear()
        self._entries[key] = done.result(), time.monotonic() + self._ttl_s
