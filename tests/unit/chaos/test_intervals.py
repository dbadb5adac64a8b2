"""Times of outages are taken out of a wait exactly, however they overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.services.intervals import length_within, percentiles, union

INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda each: (each[0], sum(each))), max_size=8
)


@given(INTERVALS, st.integers(0, 60), st.integers(0, 30))
def test_what_is_taken_out_is_what_a_count_of_seconds_gives(
    intervals: list[tuple[float, float]], begin: int, length: int
) -> None:
    away = [any(low <= second < high for low, high in intervals) for second in range(100)]
    assert length_within((begin, begin + length), union(intervals)) == sum(away[begin : begin + length])


@given(INTERVALS)
def test_a_union_is_disjoint_and_in_order(intervals: list[tuple[float, float]]) -> None:
    edges = [edge for each in union(intervals) for edge in each]
    assert edges == sorted(edges)
    assert len(set(edges[1:-1:2])) == len(edges[1:-1:2])


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles(float(n) for n in range(101)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert percentiles([]) == {}
