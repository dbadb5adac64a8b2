"""Notifications: one received between two waits is not lost, and a closed subscription leaves nothing."""

from __future__ import annotations

import asyncio
import time

from data.notifications.pubsub import Listener, Publisher, Subscription

NOWHERE = "redis://127.0.0.1:1"


async def waited(subscription: Subscription, timeout_s: float) -> float:
    """Return the seconds that a wait takes."""
    started = time.monotonic()
    await subscription.wait(timeout_s)
    return time.monotonic() - started


async def test_a_notification_ends_the_current_or_the_next_wait() -> None:
    listener = Listener(NOWHERE, "orders")
    with listener.subscribe("a") as one, listener.subscribe("a") as other, listener.subscribe("b") as third:
        listener._wake(["a", "a key without subscription"])
        assert await waited(one, 5) < 1
        assert await waited(one, 0.05) >= 0.05  # notified once
        assert await waited(other, 5) < 1  # each subscription of the key
        assert await waited(third, 0.05) >= 0.05  # and no other
        waiting = asyncio.create_task(waited(third, 5))
        await asyncio.sleep(0.02)
        listener._wake(["b", "b"])
        assert await waiting < 1


async def test_a_closed_subscription_leaves_nothing() -> None:
    listener = Listener(NOWHERE, "orders")
    with listener.subscribe("a"):
        with listener.subscribe("a"):
            pass
        assert len(listener._events["a"]) == 1
    listener._wake(["a", "b"])
    assert not listener._events


async def test_nothing_fails_without_redis() -> None:
    publisher, listener = Publisher(NOWHERE, "orders"), Listener(NOWHERE, "orders")
    await publisher.publish([])
    await publisher.publish(["a", "b", "a"])
    assert publisher.lost == 2
    listening = asyncio.create_task(listener.run())
    await asyncio.sleep(0.1)
    assert (listener.connected, listening.done()) == (False, False)
    listening.cancel()
    await publisher.close()
