"""Arithmetic of time intervals: a wait minus the time of outages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[float, float]
"""From, to: seconds since the epoch."""


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same times as disjoint intervals in order; O(n log n)."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def length_within(wait: Interval, disjoint: Sequence[Interval]) -> float:
    """Return for how many seconds of ``wait`` one of the ``disjoint`` intervals holds."""
    return sum(max(0.0, min(wait[1], end) - max(wait[0], begin)) for begin, end in disjoint)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max of ``values``, each one of them; empty where there are none."""
    ordered = sorted(values)
    if not ordered:
        return {}
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[int(share * (len(ordered) - 1))], 3) for name, share in shares.items()}
