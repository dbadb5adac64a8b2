"""Announcements by Redis: a process tells others that something about an id is new.

They are hints: one may be lost when Redis is away or a reader is slow, so who listens also looks at the database from
time to time (:data:`POLL_INTERVAL_S`). Nothing fails when Redis does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

POLL_INTERVAL_S = 1.0
"""How long a reader waits for an announcement before it looks by itself."""
_TIMEOUT_S, _REST_S = 0.5, 0.5
_log = structlog.get_logger(__name__)


class Publisher:
    """Tells on one channel. ``lost``: how many announcements Redis did not take."""

    def __init__(self, url: str, channel: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._channel = channel
        self.lost = 0

    async def tell(self, idents: Iterable[str]) -> None:
        """Something about each of ``idents`` is new."""
        names = sorted(set(idents))
        if not names:
            return
        try:
            await self._redis.publish(self._channel, " ".join(names))
        except (RedisError, OSError) as error:
            self.lost += len(names)
            _log.warning("announcements were lost", channel=self._channel, error=str(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class Listener:
    """Hears one channel for all who wait in this process. ``run`` must be running; ``hears`` while Redis answers."""

    def __init__(self, url: str, channel: str) -> None:
        self._url, self._channel = url, channel
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.connected = False

    async def run(self) -> None:
        """Listen for ever; cancel it to end it."""
        while True:
            redis = Redis.from_url(self._url, socket_connect_timeout=_TIMEOUT_S, health_check_interval=5)
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(self._channel)
                    self.connected = True
                    async for message in subscription.listen():
                        self._wake(message["data"].decode().split())
            except (RedisError, OSError) as error:
                _log.warning("listener waits for redis", channel=self._channel, error=str(error))
            finally:
                self.connected = False
                with suppress(RedisError, OSError):
                    await redis.aclose()
            await asyncio.sleep(_REST_S)

    def _wake(self, idents: Iterable[str]) -> None:
        for ident in idents:
            for event in self._waiting.get(ident, ()):
                event.set()

    def subscribe(self, ident: str) -> Subscription:
        """News of one id, from now on; use it in a ``with`` block."""
        return Subscription(self._waiting, ident)


class Subscription:
    """Set while there is news that was not waited for yet: what comes between two waits is not missed."""

    def __init__(self, waiting: dict[str, set[asyncio.Event]], ident: str) -> None:
        self._waiting, self._ident, self._news = waiting, ident, asyncio.Event()

    def __enter__(self) -> Subscription:
        self._waiting[self._ident].add(self._news)
        return self

    def __exit__(self, *_error: object) -> None:
        mine = self._waiting[self._ident]
        mine.discard(self._news)
        if not mine:
            del self._waiting[self._ident]

    async def wait(self, timeout_s: float = POLL_INTERVAL_S) -> None:
        """Return at the next news, or after ``timeout_s``."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()
