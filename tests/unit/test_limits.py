"""A job under limits in this process, and, where it takes its process along, in one of its own."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import pytest

from pricing_engine.distributed import limits as module
from pricing_engine.distributed.limits import LimitExceeded, Limits, run_limited
from pricing_engine.distributed.niceness import LONG_NICENESS, ORDINARY_NICENESS, raise_niceness

MIB = 1 << 20
WIDE = Limits(1e6, 1e6, 1 << 40)
CPU, WALL, MEMORY = Limits(0.2, 1e6, 1 << 40), Limits(1e6, 0.2, 1 << 40), Limits(1e6, 1e6, 64 * MIB)


def compute() -> None:
    """Python code that never ends."""
    while True:
        pass


def hang() -> None:
    """A call that never comes back and, like a kernel, does not hold the GIL."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold_gil() -> None:
    """Foreign code that computes for ever and never gives the GIL away."""
    re.match("(a+)+$", 64 * "a" + "b")


def collect() -> None:
    """Small blocks without end."""
    blocks = []
    while True:
        blocks.append(np.ones(MIB, np.uint8))


def niceness() -> int:
    """Of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_the_result_and_the_error_of_a_job_come_back() -> None:
    assert run_limited(lambda: 7, WIDE) == 7
    with pytest.raises(ZeroDivisionError):
        run_limited(lambda: 1 // 0, WIDE)


@pytest.mark.parametrize("limits", [CPU, WALL], ids=["cpu", "wall"])
def test_a_job_that_computes_too_long_stops_and_the_process_goes_on(limits: Limits) -> None:
    with pytest.raises(LimitExceeded) as stopped:
        run_limited(compute, limits, on_kill=lambda code: pytest.fail("the process need not end"))
    assert stopped.value.code == "deadline"
    assert run_limited(lambda: "next", WIDE) == "next"


@pytest.mark.parametrize("work", [lambda: np.ones(1 << 40, np.uint8), collect], ids=["one block", "many blocks"])
def test_a_job_that_takes_too_much_memory_stops_and_the_process_goes_on(work: Callable[[], object]) -> None:
    with pytest.raises(LimitExceeded) as stopped:
        run_limited(work, MEMORY, on_kill=lambda code: pytest.fail("the process need not end"))
    assert stopped.value.code == "out_of_memory"
    assert run_limited(lambda: np.ones(128 * MIB, np.uint8).sum(), WIDE) == 128 * MIB, "the limit is lifted again"


def test_a_single_block_over_the_limit_takes_no_page() -> None:
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


def test_a_job_gives_way_when_it_has_run_long_and_the_next_starts_at_full_priority() -> None:
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


def test_a_job_gives_way_further_when_it_has_run_very_long() -> None:
    found: list[int] = []

    def work() -> None:
        while found[-1] < ORDINARY_NICENESS:
            found.append(niceness())

    before = niceness()
    found.append(before)
    run_limited(work, WIDE)
    assert list(dict.fromkeys(found)) == [before, LONG_NICENESS, ORDINARY_NICENESS]


def test_threads_that_a_job_has_started_give_way_with_it_and_others_do_not() -> None:
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
def test_a_job_is_long_by_its_cpu_time_and_later_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, cpu_s: float, wall_s: float
) -> None:
    reported, observed = threading.Event(), []

    class Usage(module._UsageMonitor):
        def exceeded(self) -> str:
            self.cpu_s, self.wall_s = readings.pop(0) if len(readings) > 1 else readings[0]
            return ""

    readings = [(0.9 * cpu_s, 0.9 * wall_s), (cpu_s, wall_s)]
    monkeypatch.setattr(module, "_Watch", Usage)
    run_limited(reported.wait, WIDE, on_long=lambda: (observed.extend(readings), reported.set()))
    assert observed == [(cpu_s, wall_s)]


def test_giving_way_never_lowers_niceness_and_forgives_a_thread_that_has_ended() -> None:
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    assert ended.native_id is not None
    raise_niceness(ended.native_id, LONG_NICENESS)
    assert run_limited(lambda: (raise_niceness(threading.get_native_id(), 3), niceness())[1], WIDE, niceness=7) == 7


def test_a_suspended_process_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    usage = module._UsageMonitor(Limits(1e6, 20.0, 1 << 40))
    now[0] = 3600.0
    assert usage.exceeded() == ""
    for _ in range(25):
        now[0] += 1.0
        code = usage.exceeded()
    assert code == "deadline"


def in_process(work: Callable[[], None], limits: Limits, pipe: Connection) -> None:
    """Run ``work``; what is known when the process ends goes through the pipe."""
    run_limited(work, limits, on_kill=pipe.send)


def test_a_job_that_can_not_be_stopped_takes_its_process_along() -> None:
    assert exit_of(hang, WALL) == ("deadline", -signal.SIGKILL)


def test_a_job_that_holds_the_gil_for_ever_is_ended_by_the_kernel() -> None:
    assert exit_of(hold_gil, WIDE, watchdog_s=0.5) == ("", -signal.SIGPROF)


def interrupted(pipe: Connection) -> None:
    """Be cancelled as Ray cancels: an interrupt of the main thread."""
    threading.Timer(0.1, _thread.interrupt_main).start()
    run_limited(hang, WIDE, on_kill=pipe.send)


def test_a_cancelled_job_that_can_not_be_stopped_takes_its_process_along() -> None:
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=interrupted, args=(sender,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not receiver.poll(), "nobody need be told why"


def test_a_cancelled_job_that_computes_stops_and_the_process_goes_on() -> None:
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_limited(compute, WIDE)
    timer.join()
    assert run_limited(lambda: "next", WIDE) == "next"


def patched(work: Callable[[], None], limits: Limits, pipe: Connection, watchdog_s: float) -> None:
    """:func:`in_process` with a shorter watchdog."""
    module._WATCHDOG_S = watchdog_s
    in_process(work, limits, pipe)


def exit_of(work: Callable[[], None], limits: Limits, watchdog_s: float = 30.0) -> tuple[str, int | None]:
    """The code that a process gave, and how it ended."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=patched, args=(work, limits, sender, watchdog_s))
    process.start()
    process.join()
    return (receiver.recv() if receiver.poll() else ""), process.exitcode
