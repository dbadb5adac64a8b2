"""Limits (``distributed/limits.py``) of a job in this process, or in a separate one if it is killed."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import numpy as np
import pytest

from pricing_engine.distributed import limits as module
from pricing_engine.distributed.limits import JobLimits, LimitExceeded, run_limited
from pricing_engine.distributed.niceness import LONG_NICENESS, ORDINARY_NICENESS, raise_niceness
from pricing_engine.distributed.worker_process import accept_cancellation

MIB = 1 << 20
WIDE = JobLimits(1e6, 1e6, 1 << 40)
CPU, WALL, MEMORY = JobLimits(0.2, 1e6, 1 << 40), JobLimits(1e6, 0.2, 1 << 40), JobLimits(1e6, 1e6, 64 * MIB)


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Let interrupts raise KeyboardInterrupt, as in a worker: tests in the background inherit that they are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def compute() -> None:
    """Run Python code for ever."""
    while True:
        pass


def hang() -> None:
    """Block for ever without holding the GIL, like a kernel."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold_gil() -> None:
    """Run foreign code for ever that never releases the GIL."""
    re.match("(a+)+$", 64 * "a" + "b")


def collect() -> None:
    """Allocate small blocks for ever."""
    blocks = []
    while True:
        blocks.append(np.ones(MIB, np.uint8))


def niceness() -> int:
    """Return the niceness of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_the_result_and_the_error_of_a_job_are_returned() -> None:
    assert run_limited(lambda: 7, WIDE) == 7
    with pytest.raises(ZeroDivisionError):
        run_limited(lambda: 1 // 0, WIDE)


@pytest.mark.parametrize("limits", [CPU, WALL], ids=["cpu", "wall"])
def test_a_job_beyond_its_time_stops_and_the_process_continues(limits: JobLimits) -> None:
    with pytest.raises(LimitExceeded) as stopped:
        run_limited(compute, limits, on_kill=lambda code: pytest.fail("the process need not end"))
    assert stopped.value.code == "deadline"
    assert run_limited(lambda: "next", WIDE) == "next"


@pytest.mark.parametrize("work", [lambda: np.ones(1 << 40, np.uint8), collect], ids=["one block", "many blocks"])
def test_a_job_beyond_its_memory_stops_and_the_process_continues(work: Callable[[], object]) -> None:
    with pytest.raises(LimitExceeded) as stopped:
        run_limited(work, MEMORY, on_kill=lambda code: pytest.fail("the process need not end"))
    assert stopped.value.code == "out_of_memory"
    assert run_limited(lambda: np.ones(128 * MIB, np.uint8).sum(), WIDE) == 128 * MIB, "the limit is lifted again"


def test_a_single_block_over_the_limit_allocates_no_page() -> None:
    peak = []

    def work() -> None:
        before = module._anonymous_bytes()
        try:
            np.ones(512 * MIB, np.uint8)
        finally:
            peak.append(module._anonymous_bytes() - before)

    with pytest.raises(LimitExceeded, match="out_of_memory"):
        run_limited(work, MEMORY)
    assert peak[0] < 64 * MIB


def test_a_long_job_becomes_nicer_and_the_next_starts_at_full_priority() -> None:
    before, started, found = niceness(), threading.Event(), []

    def work() -> int:
        found.append(niceness())
        started.wait()
        helper = threading.Thread(target=lambda: found.append(niceness()))
        helper.start()
        helper.join()
        return niceness()

    assert run_limited(work, WIDE, on_long=started.set) == LONG_NICENESS
    assert found == [before, LONG_NICENESS], "threads started later inherit it"
    assert run_limited(niceness, WIDE) == niceness() == before


def test_a_very_long_job_becomes_even_nicer() -> None:
    found: list[int] = []

    def work() -> None:
        while found[-1] < ORDINARY_NICENESS:
            found.append(niceness())

    before = niceness()
    found.append(before)
    run_limited(work, WIDE)
    assert list(dict.fromkeys(found)) == list(dict.fromkeys([before, LONG_NICENESS, ORDINARY_NICENESS]))


def test_only_threads_started_by_the_job_become_nicer_with_it() -> None:
    started, finish, found = threading.Event(), threading.Event(), {}

    def usage(name: str) -> None:
        started.wait()
        found[name] = niceness()
        finish.wait()

    other = threading.Thread(target=usage, args=("other",))
    other.start()

    def work() -> None:
        mine = threading.Thread(target=usage, args=("mine",))
        mine.start()
        started.wait()
        finish.set()
        mine.join()

    run_limited(work, WIDE, on_long=started.set)
    other.join()
    assert found == {"mine": LONG_NICENESS, "other": niceness()}


def test_a_short_job_is_not_reported() -> None:
    run_limited(lambda: None, WIDE, on_long=lambda: pytest.fail("it was short"))


@pytest.mark.parametrize(("cpu_s", "wall_s"), [(module.LONG_S, 0.0), (0.0, module.LONG_WALL_S)])
def test_a_job_is_long_by_cpu_time_or_by_more_wall_clock_time(
    monkeypatch: pytest.MonkeyPatch, cpu_s: float, wall_s: float
) -> None:
    reported, observed = threading.Event(), []

    class Usage(module._UsageMonitor):
        def exceeded(self) -> str:
            self.cpu_s, self.wall_s = readings.pop(0) if len(readings) > 1 else readings[0]
            return ""

    readings = [(0.9 * cpu_s, 0.9 * wall_s), (cpu_s, wall_s)]
    monkeypatch.setattr(module, "_UsageMonitor", Usage)

    def report() -> None:
        observed.extend(readings)
        reported.set()

    run_limited(reported.wait, WIDE, on_long=report)
    assert observed == [(cpu_s, wall_s)]


def test_niceness_is_never_lowered_and_a_finished_thread_is_ignored() -> None:
    finished = threading.Thread(target=lambda: None)
    finished.start()
    finished.join()
    assert finished.native_id is not None
    raise_niceness(finished.native_id, LONG_NICENESS)

    def lower() -> int:
        raise_niceness(threading.get_native_id(), 3)
        return niceness()

    assert run_limited(lower, WIDE, niceness=7) == 7


def test_a_suspended_process_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    usage = module._UsageMonitor(JobLimits(1e6, 20.0, 1 << 40))
    now[0] = 3600.0
    assert usage.exceeded() == ""
    for _ in range(25):
        now[0] += 1.0
        code = usage.exceeded()
    assert code == "deadline"


def in_process(work: Callable[[], None], limits: JobLimits, pipe: Connection) -> None:
    """Run ``work``, sending the code of a kill through the pipe."""
    run_limited(work, limits, on_kill=pipe.send)


def test_the_process_of_a_job_that_does_not_stop_is_killed() -> None:
    assert exit_of(hang, WALL) == ("deadline", -signal.SIGKILL)


def test_a_job_that_holds_the_gil_for_ever_is_killed_by_the_kernel() -> None:
    assert exit_of(hold_gil, WIDE, watchdog_s=0.5) == ("", -signal.SIGPROF)


def interrupted(pipe: Connection) -> None:
    """Cancel as Ray does: interrupt the main thread."""
    accept_cancellation()
    threading.Timer(0.1, _thread.interrupt_main).start()
    run_limited(hang, WIDE, on_kill=pipe.send)


def test_the_process_of_a_cancelled_job_that_does_not_stop_is_killed() -> None:
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=interrupted, args=(sender,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not receiver.poll(), "a cancellation is not reported"


def test_a_cancelled_job_stops_and_the_process_continues() -> None:
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_limited(compute, WIDE)
    timer.join()
    assert run_limited(lambda: "next", WIDE) == "next"


def patched(work: Callable[[], None], limits: JobLimits, pipe: Connection, watchdog_s: float) -> None:
    """:func:`in_process` with a shorter watchdog."""
    module._WATCHDOG_S = watchdog_s
    in_process(work, limits, pipe)


def exit_of(work: Callable[[], None], limits: JobLimits, watchdog_s: float = 30.0) -> tuple[str, int | None]:
    """Return the code that a process sent, and its exit code."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=patched, args=(work, limits, sender, watchdog_s))
    process.start()
    process.join()
    return (receiver.recv() if receiver.poll() else ""), process.exitcode
