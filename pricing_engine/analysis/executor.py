"""Executors decide where the parts of a stage run: on the threads of this process or elsewhere.

A heavy stage is a function ``part(lo, hi, threads, *arguments)`` over a range, split at multiples of a grain that
depends on the input alone. Joining the results in order gives the same bits for any split, so a cluster and a single
thread agree.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from queue import SimpleQueue
from threading import Thread, get_native_id
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_MORE_NICENESS, _MAX_NICENESS = 10, 19
Part = Callable[..., T]
Results = Callable[[], list[T]]


class StageExecutor(Protocol):
    """Runs the parts of stages. ``threads``: number of threads for work in this process."""

    threads: int

    def share(self, value: T) -> T:
        """Prepare ``value`` as an argument of many parts; pass the result only to :meth:`submit`."""

    def submit(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Submit ``part`` over ``[0, count)`` in ranges of at least ``grain``, after the stages submitted earlier.

        Call the returned function once to wait for the results, in order.
        """


class ThreadExecutor:
    """Runs each range as one part on the threads of this process.

    With several threads the parts run in the background, one after the other, while the caller goes on: they use the
    cores that its serial steps leave idle. With one thread a part runs when its results are requested.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def share(self, value: T) -> T:
        """Return ``value`` itself."""
        return value

    def submit(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Start the part in the background, or return a function that runs it when called."""
        if self.threads == 1:
            return lambda: [part(0, count, 1, *arguments)]
        results: Future[list[T]] = Future()

        def run() -> None:
            try:
                results.set_result([part(0, count, self.threads, *arguments)])
            except BaseException as error:  # raised where the results are requested
                results.set_exception(error)

        _background(os.getpid()).put(run)
        return results.result


@lru_cache(maxsize=1)
def _background(process: int) -> SimpleQueue[Callable[[], None]]:
    """Return the queue from which a thread of ``process`` (a fork has none) takes parts; it never ends.

    Linux has a niceness for each thread: the caller's steps, on which everything waits, go first.
    """
    queue: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def work() -> None:
        if sys.platform == "linux":
            thread = get_native_id()
            niceness = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(niceness + _MORE_NICENESS, _MAX_NICENESS))
        while True:
            queue.get()()

    Thread(target=work, name=f"parts-{process}", daemon=True).start()
    return queue
