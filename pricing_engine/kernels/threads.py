"""Run range kernels on threads, with chunk boundaries that depend on the input alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any


def default_threads() -> int:
    """The cores this process may run on."""
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
        for lo in starts:
            kernel(lo, min(lo + grain, count), *arguments)

    if not getattr(kernel, "overloads", True):  # compile or load from cache once, before the threads wait for it
        for lo in starts:
            kernel(lo, min(lo + grain, count), *arguments)
            break
    helpers = min(threads, chunk_count(count, grain)) - 1
    others = [_pool(os.getpid(), threads).submit(take) for _ in range(helpers)]
    try:
        take()
    finally:  # never leave while a chunk is still written to
        unfinished = [other for other in others if not other.cancel()]
        wait(unfinished)
    for other in unfinished:
        other.result()


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool for the life of ``process`` (a fork has none): starting threads costs as much as a small kernel."""
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"kernels-{process}")
