"""Wait in tests until a condition holds, with an upper bound, in synchronous and in asynchronous code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.02
ResultT = TypeVar("ResultT")


def wait_until(
    condition: Callable[[], bool],
    every_s: float = POLL_INTERVAL_S,
    timeout_s: float = TIMEOUT_S,
    what: str = "the condition holds",
) -> None:
    """Return when ``condition`` holds; raise TimeoutError with ``what`` after ``timeout_s``."""
    eventually(lambda: condition() or None, what, every_s, timeout_s)


def eventually(
    poll: Callable[[], ResultT | None], what: str, every_s: float = POLL_INTERVAL_S, timeout_s: float = TIMEOUT_S
) -> ResultT:
    """Return the first result of ``poll`` that is not None; raise TimeoutError like :func:`wait_until`."""
    deadline = time.monotonic() + timeout_s
    while (found := poll()) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)
    return found


async def until(
    condition: Callable[[], bool | Awaitable[bool]], every_s: float = POLL_INTERVAL_S, timeout_s: float = TIMEOUT_S
) -> None:
    """Return when ``condition``, a function or a coroutine function, holds; raise TimeoutError after ``timeout_s``."""
    async with asyncio.timeout(timeout_s):
        while True:
            held = condition()
            if await held if isinstance(held, Awaitable) else held:
                return
            await asyncio.sleep(every_s)
