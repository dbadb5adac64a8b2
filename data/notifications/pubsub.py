"""Notifications by Redis publish/subscribe: a process notifies others that the object of a key has changed.

They are hints: one may be lost when Redis is unavailable or a reader is slow, so a subscriber also polls the database
(:data:`POLL_INTERVAL_S`). Nothing fails when Redis does.
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
"""How long a subscriber waits for a notification before it polls the database."""
_REDIS_TIMEOUT_S, _RECONNECT_DELAY_S = 0.5, 0.5
_log = structlog.get_logger(__name__)


class Publisher:
    """Publish on one channel. ``lost``: the number of notifications that Redis did not accept."""

    def __init__(self, url: str, channel: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S)
        self._channel = channel
        self.lost = 0

    async def publish(self, keys: Iterable[str]) -> None:
        """Notify the subscribers of each of ``keys``. Does not raise if Redis is unavailable."""
        distinct = sorted(set(keys))
        if not distinct:
            return
        try:
            await self._redis.publish(self._channel, " ".join(distinct))
        except (RedisError, OSError) as error:
            self.lost += len(distinct)
            _log.warning("notifications lost", channel=self._channel, error=str(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class Listener:
    """Receive one channel for all subscriptions of this process, while ``run`` runs. ``connected``: Redis answers."""

    def __init__(self, url: str, channel: str) -> None:
        self._url, self._channel = url, channel
        self._events: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.connected = False

    async def run(self) -> None:
        """Listen until cancelled; reconnect while Redis is unavailable."""
        while True:
            redis = Redis.from_url(self._url, socket_connect_timeout=_REDIS_TIMEOUT_S, health_check_interval=5)
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    self.connected = True
                    async for message in pubsub.listen():
                        self._wake(message["data"].decode().split())
            except (RedisError, OSError) as error:
                _log.warning("listener reconnects to redis", channel=self._channel, error=str(error))
            finally:
                self.connected = False
                with suppress(RedisError, OSError):
                    await redis.aclose()
            await asyncio.sleep(_RECONNECT_DELAY_S)

    def _wake(self, keys: Iterable[str]) -> None:
        for key in keys:
            for event in self._events.get(key, ()):
                event.set()

    def subscribe(self, key: str) -> Subscription:
        """Return a subscription to the notifications of one key; use it in a ``with`` block."""
        return Subscription(self._events, key)


class Subscription:
    """The notifications of one key: one received between two waits ends the next wait at once."""

    def __init__(self, events: dict[str, set[asyncio.Event]], key: str) -> None:
        self._events, self._key, self._event = events, key, asyncio.Event()

    def __enter__(self) -> Subscription:
        self._events[self._key].add(self._event)
        return self

    def __exit__(self, *_error: object) -> None:
        subscribed = self._events[self._key]
        subscribed.discard(self._event)
        if not subscribed:
            del self._events[self._key]

    async def wait(self, timeout_s: float = POLL_INTERVAL_S) -> None:
        """Return at the next notification, or after ``timeout_s``."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        self._event.clear()
