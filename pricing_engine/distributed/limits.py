"""Run a job in a worker process under limits of CPU time, wall-clock time and memory, enforced even inside a kernel.

A job that runs long gets a higher niceness. It runs in a thread of its own, because on Linux niceness belongs to a
thread: a thread may always raise its own, and the next job's thread starts with that of the process (see
``niceness``). The main thread monitors it; it needs only the GIL, which kernels release. If a job does not stop between
two kernels, its process is killed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from pricing_engine.distributed.niceness import LONG_NICENESS, ORDINARY_NICENESS, raise_niceness, session_niceness

T = TypeVar("T")

LONG_S = 0.25
"""CPU seconds after which a job yields to express jobs. CPU time, as a short job is not long on a busy machine."""
LONG_WALL_S = 2.0
"""Wall-clock seconds after which it does so with less CPU time, as it waits for something."""
WALL_FOR_CPU = 4.0
"""Wall-clock seconds allowed for each CPU second of a limit."""
VERY_LONG_S = 1.0
"""CPU seconds, or ten times as many wall-clock seconds, after which a job also yields to jobs that ran shorter."""

STOP_TIMEOUT_S = 0.15
"""Time for a job to stop between two kernels before its process is killed."""

_POLL_INTERVAL_S = 0.05
_WATCHDOG_S = 30.0  # CPU time without a run of the main thread: foreign code holds the GIL, nothing else can stop it
_MAX_POLL_GAP_S = 1.0  # between two polls; beyond it the process was suspended, which is not charged to the job
_ALLOCATION_SLACK = 1.25  # factor of the memory limit that a single allocation must not exceed
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Maximum CPU and wall-clock seconds of a job, and bytes by which it may grow its process."""

    cpu_s: float
    wall_s: float
    memory: int


class _Step(NamedTuple):
    """The niceness of a job after so many CPU or wall-clock seconds."""

    cpu_s: float
    wall_s: float
    niceness: int


_STEPS = _Step(LONG_S, LONG_WALL_S, LONG_NICENESS), _Step(VERY_LONG_S, 10 * VERY_LONG_S, ORDINARY_NICENESS)


class LimitExceeded(Exception):
    """The job was stopped at a limit. ``code``: deadline or out_of_memory."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _StopRequested(BaseException):
    """Raised in the job's thread to stop it; a BaseException, so that no handler treats it as a fault of the model."""


class _JobThread(threading.Thread, Generic[T]):
    """A job's thread. ``error``: the exception it raised."""

    def __init__(self, work: Callable[[], T], niceness: int) -> None:
        super().__init__(name="job", daemon=True)
        self._work, self._niceness = work, niceness
        self.results: list[T] = []
        self.error: BaseException | None = None
        # Not join(): in Python 3.11 a KeyboardInterrupt inside it marks a running thread as finished.
        self._running = threading.Lock()
        self._running.acquire()

    def run(self) -> None:
        """Run the job and store its result or error."""
        try:
            if self._niceness:
                raise_niceness(threading.get_native_id(), self._niceness)
            self.results.append(self._work())
        except BaseException as error:  # run_limited raises it again
            self.error = error
        finally:
            self._running.release()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the job finishes within ``timeout_s``."""
        if self._running.acquire(timeout=timeout_s):
            self._running.release()
            return True
        return not self.is_alive()  # stopped in its last instructions, without releasing the lock

    def stop(self, timeout_s: float) -> bool:
        """Interrupt the job between two bytecodes; return False if it still runs after ``timeout_s``."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(_StopRequested))
        return self.wait(timeout_s)


def run_limited(
    work: Callable[[], T],
    limits: JobLimits | None,
    on_long: Callable[[], None] | None = None,
    on_kill: Callable[[str], None] | None = None,
    niceness: int = 0,
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> T:
    """Run ``work`` in its own thread with ``niceness`` and return its result; call it on the main thread.

    After :data:`LONG_S` the thread, those it has started and the session of this process get LONG_NICENESS and
    ``on_long`` is called; after :data:`VERY_LONG_S` they get ORDINARY_NICENESS.
    Raises LimitExceeded. If the work does not stop within ``stop_timeout_s``, at a limit or on a KeyboardInterrupt,
    ``on_kill`` is called with the code and this process is killed. Overhead: 0.1 ms, and 30 us every 50 ms.
    """
    before = {thread.ident for thread in threading.enumerate()}
    job, session = _JobThread(work, niceness), session_niceness()
    try:
        with _allocation_limit(limits):
            _reset_watchdog()  # before the job might hold the GIL for ever
            session.set_niceness(niceness)
            job.start()
            usage = _UsageMonitor(limits)
            steps = iter([] if niceness >= ORDINARY_NICENESS else _STEPS)
            step = next(steps, None)
            while not job.wait(_POLL_INTERVAL_S):
                _reset_watchdog()
                session.apply()
                code = usage.exceeded()
                if code and not job.stop(stop_timeout_s):
                    _end_process(code, on_kill)
                elif step is not None and (usage.cpu_s >= step.cpu_s or usage.wall_s >= step.wall_s):
                    for thread in threading.enumerate():
                        if thread.ident not in before and thread.native_id is not None:
                            raise_niceness(thread.native_id, step.niceness)
                    session.set_niceness(step.niceness)
                    if step is _STEPS[0] and on_long is not None:
                        on_long()
                    step = next(steps, None)
    except KeyboardInterrupt:
        if job.ident is not None and not job.stop(stop_timeout_s):
            _end_process("cancelled", None)
        raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        session.set_niceness(0)
    if job.results:  # possibly just before it was stopped
        return job.results[0]
    if isinstance(job.error, MemoryError):
        raise LimitExceeded("out_of_memory") from job.error
    if job.error is None or isinstance(job.error, _StopRequested):
        raise LimitExceeded(usage.code or "deadline")
    raise job.error


def _reset_watchdog() -> None:
    """Let the operating system kill this process by SIGPROF unless this is called again in time.

    The timer counts CPU time, so a suspended process does not count as hanging.
    """
    signal.setitimer(signal.ITIMER_PROF, _WATCHDOG_S)


def _end_process(code: str, on_kill: Callable[[str], None] | None) -> None:
    try:
        if on_kill is not None:
            on_kill(code)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


class _UsageMonitor:
    """Resources used by a job since its start. ``code``: the limit that it exceeded, or empty."""

    def __init__(self, limits: JobLimits | None) -> None:
        self._limits = limits
        self._cpu_at_start, self._polled_at = time.process_time(), time.monotonic()
        self._memory = _anonymous_bytes() if limits is not None else 0
        self.cpu_s, self.wall_s, self.code = 0.0, 0.0, ""

    def exceeded(self) -> str:
        """Measure time and memory; return the code of an exceeded limit, or an empty string."""
        now = time.monotonic()
        self.wall_s += min(now - self._polled_at, _MAX_POLL_GAP_S)
        self._polled_at = now
        self.cpu_s = time.process_time() - self._cpu_at_start
        if self._limits is None:
            return ""
        if _anonymous_bytes() - self._memory > self._limits.memory:
            self.code = "out_of_memory"
        elif self.cpu_s > self._limits.cpu_s or self.wall_s > self._limits.wall_s:
            self.code = "deadline"
        return self.code


@contextmanager
def _allocation_limit(limits: JobLimits | None) -> Iterator[None]:
    """Make a single allocation far over the limit fail at once with MemoryError, before it uses a page."""
    if limits is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    finite = [limit for limit in before if limit != resource.RLIM_INFINITY]
    soft_limit = min([_pages(5) + int(_ALLOCATION_SLACK * limits.memory), *finite])
    resource.setrlimit(resource.RLIMIT_DATA, (soft_limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _anonymous_bytes() -> int:
    """Return the private memory of this process."""
    return _pages(1) - _pages(2)


def _pages(column: int) -> int:
    """Return a column of ``/proc/self/statm``, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return _PAGE * int(file.read().split()[column])
