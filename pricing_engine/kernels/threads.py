"""Run range kernels on threads, with chunk boundaries that depend on the input alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    threading layer of numba's. ``threads`` may exceed the cores and never changes a result. Chunks must not
    call it again: chunks that wait for chunks of the same pool can block each other.
    """
    starts = range(0, count, grain)
    if threads <= 1 or len(starts) <= 1:
        for lo in starts:
            kernel(lo, min(lo + grain, count), *arguments)
        return
    kernel(0, min(grain, count), *arguments)  # compile or load from cache once, before the threads race for it
    pool = _pool(os.getpid(), threads)
    for done in [pool.submit(kernel, lo, min(lo + grain, count), *arguments) for lo in starts[1:]]:
        done.result()


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool for the life of ``process`` (a fork has none): starting threads costs as much as a small kernel."""
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"kernels-{process}")
