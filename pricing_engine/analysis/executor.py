"""Executors decide where the parts of a stage run: on the threads of this process or elsewhere.

A heavy stage is a function ``part(lo, hi, threads, *arguments)`` over a range, split at multiples of a grain that
depends on the input alone. Joining the results in order gives the same bits for any split, so a cluster and a single
thread agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
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
    """Runs a range as one part, on the threads of this process, when its results are requested."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def share(self, value: T) -> T:
        """Return ``value`` itself."""
        return value

    def submit(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Return a function that runs the part when called."""
        return lambda: [part(0, count, self.threads, *arguments)]
