"""Niceness (``distributed/niceness.py``) and session of a worker, in a separate process."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pricing_engine.distributed import niceness as module
from pricing_engine.distributed.limits import JobLimits, run_limited
from pricing_engine.distributed.niceness import (
    LONG_NICENESS,
    ORDINARY_NICENESS,
    SessionNiceness,
    session_niceness,
    start_session,
)

WIDE = JobLimits(1e6, 1e6, 1 << 40)


class Kernel:
    """A fake of ``/proc/self/autogroup``. ``values``: the initial niceness and every value written."""

    def __init__(self, niceness: int = 0) -> None:
        self.values = [niceness]
        self.busy = False

    def exists(self) -> bool:
        return True

    def read_text(self) -> str:
        return f"/autogroup-17 nice {self.values[-1]}\n"

    def write_text(self, text: str) -> None:
        if self.busy:
            raise BlockingIOError(errno.EAGAIN, "changed a moment ago")
        self.values.append(int(text))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    monkeypatch.setattr(module, "_AUTOGROUP", fake)
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    return fake


def test_the_niceness_of_a_session_can_be_raised_and_lowered(kernel: Kernel) -> None:
    session = SessionNiceness()
    for niceness in (0, LONG_NICENESS, ORDINARY_NICENESS, 0):
        session.set_niceness(niceness)
    assert kernel.values == [0, 10, 19, 0], "and an unchanged value is not written"


def test_a_session_never_goes_below_its_initial_niceness(kernel: Kernel) -> None:
    kernel.values = [15]
    SessionNiceness().set_niceness(LONG_NICENESS)
    assert kernel.values == [15]


def test_a_change_refused_by_a_busy_kernel_is_retried(kernel: Kernel) -> None:
    session, kernel.busy = SessionNiceness(), True
    session.set_niceness(LONG_NICENESS)
    assert not session.apply()
    kernel.busy = False
    assert session.apply()
    assert session.apply(), "once"
    assert kernel.values == [0, 10]


def test_foreign_sessions_and_kernels_without_autogroups_are_not_changed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getsid", lambda _: 1)
    SessionNiceness().set_niceness(ORDINARY_NICENESS)
    assert kernel.values == [0]
    monkeypatch.undo()
    monkeypatch.setattr(module, "_AUTOGROUP", tmp_path / "none")
    SessionNiceness().set_niceness(ORDINARY_NICENESS)
    assert not (tmp_path / "none").exists()


def sent_by(work: Callable[[Connection], None]) -> list[int]:
    """Return what ``work`` sends from a separate process that leads its process group, as a Ray worker does."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=as_worker, args=(work, sender))
    process.start()
    sender.close()
    process.join()
    assert process.exitcode == 0
    numbers = []
    while receiver.poll():
        try:
            numbers.append(receiver.recv())
        except EOFError:
            break
    return numbers


def as_worker(work: Callable[[Connection], None], pipe: Connection) -> None:
    os.setpgid(0, 0)
    start_session(0)
    work(pipe)


def ids(pipe: Connection) -> None:
    for number in (os.getsid(0), os.getpgid(0), os.getpid()):
        pipe.send(number)


def test_a_worker_leads_a_session_and_still_its_process_group() -> None:
    assert len(set(sent_by(ids))) == 1


def nicenesses(pipe: Connection) -> None:
    """Send the session's niceness after a short, a very long and another short job."""

    def until_very_long() -> None:
        while session._current < 19:
            pass

    session = session_niceness()
    for work in (lambda: None, until_very_long, lambda: None):
        run_limited(work, WIDE)
        while not session.apply():  # without privileges the kernel takes ten changes a second
            pass
        run_limited(lambda: pipe.send(int(module._AUTOGROUP.read_text().split()[-1])), WIDE)


@pytest.mark.skipif(not module._AUTOGROUP.exists(), reason="this kernel does not share the CPU by sessions")
def test_the_session_of_a_long_job_is_nicer_and_the_next_job_starts_at_full_priority() -> None:
    assert sent_by(nicenesses) == [0, 0, 0]
