"""Threads (``runtime/threads.py``): each chunk runs once, errors are raised, callers run concurrently."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from pricing_engine.kernels.runtime.threads import run_ranges


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_chunk_runs_once_with_the_same_borders(threads: int) -> None:
    chunks: list[tuple[int, int]] = []
    for _ in range(200):
        chunks.clear()
        run_ranges(lambda lo, hi: chunks.append((lo, hi)), 103, 10, threads)
        assert sorted(chunks) == [(lo, min(lo + 10, 103)) for lo in range(0, 103, 10)]


def test_an_empty_range_runs_no_chunk() -> None:
    run_ranges(lambda lo, hi: pytest.fail("no chunk"), 0, 10, 3)


@pytest.mark.parametrize("bad", range(8))
def test_an_error_of_any_chunk_is_raised_and_the_rest_is_left(bad: int) -> None:
    def part(lo: int, hi: int) -> None:
        if lo == bad:
            raise ZeroDivisionError(f"chunk {lo}")

    with pytest.raises(ZeroDivisionError, match=f"chunk {bad}"):
        run_ranges(part, 8, 1, 3)
    run_ranges(lambda lo, hi: None, 8, 1, 3)


def test_no_chunk_runs_after_the_call_has_returned() -> None:
    running: Counter[str] = Counter()
    slow = threading.Event()

    def part(lo: int, hi: int) -> None:
        running["now"] += 1
        if lo == 0:
            slow.wait(0.05)
        running["now"] -= 1

    run_ranges(part, 4, 1, 4)
    assert running["now"] == 0


def test_many_callers_share_the_helpers() -> None:
    totals = []

    def call() -> None:
        counts: list[int] = []
        for _ in range(50):
            run_ranges(lambda lo, hi: counts.append(hi - lo), 40, 3, 3)
        totals.append(sum(counts))

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert totals == [2000] * 6
