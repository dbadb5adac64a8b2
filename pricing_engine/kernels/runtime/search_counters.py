"""Count what search kernels do: visits of tree nodes and tests of pairs, by the name of the search.

A kernel counts in registers and stores two sums a chunk in a ``work`` array (chunks, 2); its wrapper passes that array
to :func:`record`. Counts depend on the input alone, never on threads or time, so tests can bound them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.threads import chunk_count

NODES, PAIRS = 0, 1
"""Columns of a ``work`` array: boxes of a tree compared, pairs (facet and facet, ray, sample or segment) tested."""


@dataclass(slots=True)
class Counts:
    """``nodes`` and ``pairs``: how many were visited and tested, by search."""

    nodes: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)

    def total(self) -> int:
        """All visits and tests."""
        return self.nodes.total() + self.pairs.total()


_active: list[Counts] = []
_lock = Lock()


def work_array(count: int, grain: int) -> NDArray[np.int64]:
    """Zeros (chunks, 2) for the chunks that ``run_ranges`` makes of ``count``."""
    return np.zeros((chunk_count(count, grain), 2), np.int64)


def record(search: str, work: NDArray[np.int64]) -> None:
    """Add ``work`` (chunks, 2) to every counter that is open in this process, from any thread."""
    if not _active:
        return
    nodes, pairs = int(work[:, NODES].sum()), int(work[:, PAIRS].sum())
    with _lock:
        for counts in _active:
            counts.nodes[search] += nodes
            counts.pairs[search] += pairs


@contextmanager
def counting() -> Iterator[Counts]:
    """Count all work of this process until the block ends."""
    counts = Counts()
    with _lock:
        _active.append(counts)
    try:
        yield counts
    finally:
        with _lock:
            _active[:] = [other for other in _active if other is not counts]


def work_limit(count: int, factor: float, least: int) -> int:
    """``factor`` * count * log2(count), at least ``least``: what a search over ``count`` facets may spend."""
    return max(least, int(factor * count * math.log2(max(count, 2))))
