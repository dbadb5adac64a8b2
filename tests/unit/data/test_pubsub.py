"""Announcements: news that comes between two waits is not missed, and who has gone leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from data.notifications.pubsub import Listener, Publisher

NOWHERE = "redis://127.0.0.1:1"


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


async def waited(subscription: Any, timeout_s: float) -> float:
    """How long a wait takes."""
    began = time.monotonic()
    await subscription.wait(timeout_s)
    return time.monotonic() - began


def test_news_ends_a_wait_also_when_it_came_before() -> None:
    async def work() -> None:
        listener = Listener(NOWHERE, "orders")
        with listener.subscribe("a") as one, listener.subscribe("a") as other, listener.subscribe("b") as third:
            listener._wake(["a", "nobody waits for this"])
            assert await waited(one, 5) < 1
            assert await waited(one, 0.05) >= 0.05  # told once
            assert await waited(other, 5) < 1  # to each who listens
            assert await waited(third, 0.05) >= 0.05  # and to nobody else
            waiting = asyncio.create_task(waited(third, 5))
            await asyncio.sleep(0.02)
            listener._wake(["b", "b"])
            assert await waiting < 1

    run(work())


def test_who_has_gone_leaves_nothing() -> None:
    async def work() -> None:
        listener = Listener(NOWHERE, "orders")
        with listener.subscribe("a"):
            with listener.subscribe("a"):
                pass
            assert len(listener._events["a"]) == 1
        listener._wake(["a", "b"])
        assert not listener._events

    run(work())


def test_nothing_fails_without_redis() -> None:
    async def work() -> None:
        announcer, listener = Publisher(NOWHERE, "orders"), Listener(NOWHERE, "orders")
        await announcer.publish([])
        await announcer.publish(["a", "b", "a"])
        assert announcer.lost == 2
        listening = asyncio.create_task(listener.run())
        await asyncio.sleep(0.1)
        assert (listener.connected, listening.done()) == (False, False)
        listening.cancel()
        await announcer.close()

    run(work())
