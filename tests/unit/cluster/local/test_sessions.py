"""Sessions: stop all their processes, and only those."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from cluster.local import sessions
from tests.support.waiting import wait_until


def test_stop_kills_orphans_of_another_process_group(tmp_path: Path) -> None:
    # As Ray's workers: a process group of their own, and an exited parent.
    stray = "import os, time; os.setpgid(0, 0); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stray!r}])"
    session = sessions.start([sys.executable, "-c", code], tmp_path / "log")
    wait_until(lambda: sessions.reap(session) == 0)
    assert not sessions.alive(session)
    assert len(sessions.members(session)) == 1
    assert sessions.stop(session, grace_s=5) == 1
    assert sessions.members(session) == []


def test_stop_kills_a_child_with_its_own_session(tmp_path: Path) -> None:
    # As Facet's workers. Once the first process has exited, nothing links to the child any more.
    session = sessions.start(["sh", "-c", "setsid sleep 60 & wait"], tmp_path / "log")
    wait_until(lambda: len(sessions.members(session)) == 2)
    child = next(process for process in sessions.members(session) if process.pid != session.pid)
    wait_until(lambda: os.getsid(child.pid) == child.pid)
    assert sessions.stop(session, grace_s=0.5) == 1
    assert not child.is_running()


def test_a_session_with_a_reused_pid_is_not_touched(tmp_path: Path) -> None:
    session = sessions.start(["sleep", "60"], tmp_path / "log")
    earlier = sessions.Session(session.pid, session.start_time - 100)
    assert not sessions.alive(earlier)
    assert sessions.stop(earlier, grace_s=1) == 0
    assert sessions.alive(session)
    sessions.stop(session, grace_s=1)


def test_sessions_are_independent_of_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sessions.start(["sleep", "60"], tmp_path / "log")
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 3600)
    assert sessions.alive(session)
    assert [process.pid for process in sessions.members(session)] == [session.pid]
    sessions.stop(session, grace_s=1)
