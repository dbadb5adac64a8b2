"""Run range kernels on threads, with chunk boundaries that depend on the input alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np


def default_threads() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def chunk_count(count: int, grain: int) -> int:
    """How many chunks :func:`run_ranges` makes; partial results are arrays of this length, indexed ``lo // grain``."""
    return -(-count // grain)


def run_ranges(kernel: Callable[..., Any], count: int, grain: int, threads: int, *arguments: Any) -> None:
    """Call ``kernel(lo, hi, *arguments)`` for ``[0, grain), [grain, 2 grain) ...`` up to ``count``.

    The kernels release the GIL and write to disjoint parts of their outputs, so plain threads scale and need no
    threading layer of numba's. The calling thread and ``threads - 1`` others of a pool take the next chunk each until
    none is left: one hand-over a thread, not one a chunk. ``threads`` may exceed the cores and never changes a result.
    Chunks must not call it again: chunks that wait for chunks of the same pool can block each other.
    """
    starts = iter(range(0, count, grain))  # next() of a range is atomic: every chunk is taken once

    def take() -> None:
        try:
            for lo in starts:
                kernel(lo, min(lo + grain, count), *arguments)
        except BaseException:  # no other chunk starts, least of all at a KeyboardInterrupt
            for _ in starts:
                pass
            raise

    if not getattr(kernel, "overloads", True):  # compile or load from cache once, before the threads wait for it
        for lo in starts:
            kernel(lo, min(lo + grain, count), *arguments)
            break
    run = _Run(take)
    team = _team(os.getpid(), threads)
    for _ in range(min(threads, chunk_count(count, grain)) - 1):
        team.put(run)
    try:
        take()
    finally:
        run.finish()


class _Run:
    """One call of :func:`run_ranges`: a hand-over costs half of what a future of ThreadPoolExecutor does (50 us)."""

    __slots__ = ("_busy", "_closed", "_error", "_idle", "_lock", "_take")

    def __init__(self, take: Callable[[], None]) -> None:
        self._take, self._lock, self._idle = take, Lock(), Lock()
        self._busy, self._closed = 0, False
        self._error: BaseException | None = None
        self._idle.acquire()

    def help(self) -> None:
        """Take chunks, unless the call is over already."""
        with self._lock:
            if self._closed:
                return
            self._busy += 1
        try:
            self._take()
        except BaseException as error:  # raised where the call was made
            self._error = error
        with self._lock:
            self._busy -= 1
            if self._closed and self._busy == 0:
                self._idle.release()

    def finish(self) -> None:
        """Wait until no helper works on it any more: never leave while a chunk is still written to."""
        with self._lock:
            self._closed = True
            busy = self._busy > 0
        if busy:
            self._idle.acquire()
        if self._error is not None:
            raise self._error


@lru_cache(maxsize=8)
def _team(process: int, threads: int) -> SimpleQueue[_Run]:
    """Return the queue from which the helpers of ``process`` (a fork has none) take calls.

    They live as long as the process: starting threads is slow.
    """
    queue: SimpleQueue[_Run] = SimpleQueue()

    def work() -> None:
        while True:
            queue.get().help()

    for number in range(threads - 1):
        Thread(target=work, name=f"kernels-{process}-{number}", daemon=True).start()
    return queue


def _keep_freed_memory() -> None:
    """Let glibc hand freed arrays of up to 32 MiB out again instead of returning them to the system.

    Fresh pages cost more than many a kernel that fills them (a fifth of the time to load 86 k facets). glibc raises its
    threshold by itself when a large block is freed; the block is never touched, so it costs nothing.
    """
    np.empty(31 << 20, np.uint8)


_keep_freed_memory()
