"""Outages are subtracted from a wait exactly, however they overlap."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.chaos.intervals import length_within, percentiles, union

INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda each: (each[0], sum(each))), max_size=8
)


@given(INTERVALS, st.integers(0, 60), st.integers(0, 30))
def test_subtracted_outages_equal_a_count_of_seconds(
    intervals: list[tuple[float, float]], start: int, length: int
) -> None:
    unavailable = [any(low <= second < high for low, high in intervals) for second in range(100)]
    assert length_within((start, start + length), union(intervals)) == sum(unavailable[start : start + length])


@given(INTERVALS)
def test_a_union_is_disjoint_and_in_order(intervals: list[tuple[float, float]]) -> None:
    disjoint = union(intervals)
    assert all(begin <= end for begin, end in disjoint)
    assert all(before[1] < after[0] for before, after in pairwise(disjoint))
    assert bool(disjoint) == bool(intervals)


def test_percentiles_are_measured_values() -> None:
    assert percentiles(float(n) for n in range(101)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert percentiles([]) == {}
