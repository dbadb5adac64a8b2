"""The executor of one process: in the background with several threads, on request with one."""

from __future__ import annotations

import os
import threading

import pytest

from pricing_engine.analysis.executor import ThreadExecutor


def _part(lo: int, hi: int, threads: int, *arguments: object) -> tuple[object, ...]:
    return lo, hi, threads, *arguments


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_range_is_one_part_on_all_threads(threads: int) -> None:
    executor = ThreadExecutor(threads)
    results_of = executor.submit("stage", _part, 10, 4, executor.share("mesh"), 7)
    assert results_of() == [(0, 10, threads, "mesh", 7)]


def test_one_thread_runs_a_part_when_its_results_are_requested() -> None:
    ran_in: list[threading.Thread] = []
    results_of = ThreadExecutor(1).submit("stage", lambda *_: ran_in.append(threading.current_thread()), 1, 1)
    assert ran_in == []
    results_of()
    assert ran_in == [threading.main_thread()]


def test_several_threads_run_parts_in_order_while_the_caller_goes_on() -> None:
    executor, ended, order = ThreadExecutor(2), threading.Event(), list[str]()

    def second(*_: object) -> None:
        order.append("second")
        ended.set()

    first_of = executor.submit("first", lambda *_: order.append("first"), 1, 1)
    executor.submit("second", second, 1, 1)
    assert ended.wait(60), "it runs before its results are requested"
    first_of()
    assert order == ["first", "second"]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_is_raised_where_the_results_are_requested(threads: int) -> None:
    def fail(lo: int, hi: int, threads: int) -> None:
        raise ValueError("too much")

    executor = ThreadExecutor(threads)
    failing_of, next_of = executor.submit("stage", fail, 1, 1), executor.submit("stage", _part, 1, 1)
    with pytest.raises(ValueError, match="too much"):
        failing_of()
    assert next_of() == [(0, 1, threads)]


def test_the_background_has_a_higher_niceness_than_the_caller() -> None:
    def niceness(*_: object) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    (background,) = ThreadExecutor(2).submit("stage", niceness, 1, 1)()
    assert background == min(before + 10, 19)
    assert niceness() == before


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_thread_of_its_own() -> None:
    ThreadExecutor(2).submit("stage", _part, 1, 1)()
    child = os.fork()
    if child == 0:
        done = ThreadExecutor(2).submit("stage", _part, 1, 1)() == [(0, 1, 2)]
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
