"""Where the parts of a stage run: on this process's threads, or wherever another Spread takes them.

A heavy stage is a function ``part(lo, hi, threads, *arguments)`` over a range, whose boundaries lie at multiples of a
grain that the input alone decides. However the whole range is cut, joining the parts' results in order gives the same
bits, so a cluster and a single thread agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Part = Callable[..., T]
Results = Callable[[], list[T]]


class StageExecutor(Protocol):
    """Runs parts. ``threads``: for what runs right here."""

    threads: int

    def hold(self, value: T) -> T:
        """``value``, ready to be an argument of many parts; what comes back may only be passed to :meth:`start`."""

    def start(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Begin ``part`` over ``[0, count)`` in ranges of ``grain`` or more, after those of stages begun before.

        Call the answer, once, for the results in order.
        """


class ThreadExecutor:
    """All of a range as one part, on the threads of this process, when its results are asked for."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def hold(self, value: T) -> T:
        """``value`` itself."""
        return value

    def start(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Nothing runs before the answer is called."""
        return lambda: [part(0, count, self.threads, *arguments)]
