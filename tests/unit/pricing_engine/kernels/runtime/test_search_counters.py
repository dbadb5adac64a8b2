"""Counters of search kernels: sums by search while a block is open, from any thread, and limits of work."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, counting, record, work_array, work_limit

_WORK = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), max_size=5)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 300))
def test_a_work_array_has_a_row_for_each_chunk(count: int, grain: int) -> None:
    work = work_array(count, grain)
    assert work.shape == (len(range(0, count, grain)), 2)
    assert work.dtype == np.int64
    assert not work.any()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), _WORK), max_size=6))
def test_open_blocks_sum_the_work_by_search(calls: list[tuple[str, list[tuple[int, int]]]]) -> None:
    with counting() as counts:
        for search, work in calls:
            record(search, np.array(work, np.int64).reshape(-1, 2))
    for name in "abc":
        rows = [row for search, work in calls if search == name for row in work]
        assert counts.nodes[name] == sum(row[NODES] for row in rows)
        assert counts.pairs[name] == sum(row[PAIRS] for row in rows)
    assert counts.total() == sum(nodes + pairs for _, work in calls for nodes, pairs in work)


def test_blocks_nest_and_end() -> None:
    one = np.array([[3, 4]])
    record("before", one)
    with counting() as outer:
        record("outer", one)
        with counting() as inner:
            record("inner", one)
        record("after", one)
        with pytest.raises(ZeroDivisionError), counting() as failed:
            raise ZeroDivisionError
    record("later", one)
    assert dict(outer.nodes) == {"outer": 3, "inner": 3, "after": 3}
    assert dict(inner.pairs) == {"inner": 4}
    assert failed.total() == 0


def test_equal_counts_of_two_blocks_end_one_by_one() -> None:
    with counting() as outer:
        with counting():
            pass
        record("search", np.array([[1, 2]]))
    assert outer.total() == 3


def test_every_thread_counts() -> None:
    def work() -> None:
        for _ in range(200):
            record("search", np.array([[1, 2], [0, 1]]))

    with counting() as counts:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert (counts.nodes["search"], counts.pairs["search"]) == (800, 2400)


@settings(max_examples=50)
@given(st.integers(0, 1 << 28), st.floats(0.5, 1000), st.integers(0, 1 << 40))
def test_limits_grow_with_the_model_and_have_a_least(count: int, factor: float, least: int) -> None:
    limit = work_limit(count, factor, least)
    share = factor * count * math.log(max(count, 2)) / math.log(2)
    assert limit == pytest.approx(max(least, share), rel=1e-9, abs=1)
    assert limit >= least
    assert work_limit(count + 1, factor, least) >= limit


def test_limits_of_powers_of_two() -> None:
    assert work_limit(1, 5.0, 0) == 5
    assert work_limit(1024, 2.0, 0) == 2 * 1024 * 10
    assert work_limit(1024, 2.0, 20_481) == 20_481
