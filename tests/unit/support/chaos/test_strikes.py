"""A hang stops every process of its victim, and none stays stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.local import sessions
from tests.support.chaos.strikes import Victim, hung, kill
from tests.support.waiting import wait_until


def stopped(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_STOPPED


@pytest.fixture
def family(tmp_path: Path) -> Iterator[sessions.Session]:
    """Yield a process with two children, the second in a separate session, as PostgreSQL's are."""
    session = sessions.start(["sh", "-c", "sleep 60 & setsid sleep 60 & wait"], tmp_path / "log")
    wait_until(lambda: len(sessions.members(session)) == 3)
    yield session
    sessions.stop(session, grace_s=0)


def test_every_process_of_a_server_is_stopped_and_resumed(family: sessions.Session) -> None:
    victim = Victim("server", lambda: sessions.members(family))
    processes = victim.processes()
    with hung(victim) as count:
        assert count == 3
        wait_until(lambda: all(map(stopped, processes)))
    wait_until(lambda: not any(map(stopped, processes)))


def test_an_error_or_a_kill_during_a_hang_leaves_nothing_stopped(family: sessions.Session) -> None:
    victim = Victim("server", lambda: sessions.members(family))
    first, *_, last = sorted(victim.processes(), key=lambda process: process.pid)

    def fails() -> None:
        with hung(victim):
            last.kill()
            wait_until(lambda: len(victim.processes()) == 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    wait_until(lambda: not any(map(stopped, victim.processes())))
    assert first.is_running()


def test_stopped_processes_are_resumed_at_exit(family: sessions.Session) -> None:
    code = f"""
import psutil
from tests.support.chaos.strikes import Victim, hung
held = hung(Victim("server", lambda: [psutil.Process({family.pid})]))
held.__enter__()
while psutil.Process({family.pid}).status() != psutil.STATUS_STOPPED:
    pass
print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("stopped\n", "")
    wait_until(lambda: not stopped(psutil.Process(family.pid)))


def test_a_kill_hits_every_process_and_returns_whether_there_was_one(family: sessions.Session) -> None:
    victim = Victim("server", lambda: sessions.members(family))
    assert kill(victim)
    wait_until(lambda: not victim.processes())
    assert not kill(victim)
    assert sessions.reap(family) in (-signal.SIGKILL, None)
