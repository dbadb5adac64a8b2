"""The reaper stops the servers of a killed process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cluster.local import sessions
from tests.support.waiting import wait_until


def test_the_reaper_stops_the_sessions_of_a_killed_process(tmp_path: Path) -> None:
    temp, pid = tmp_path / "temp", tmp_path / "pid"
    temp.mkdir()
    owner = f"""
import time
from pathlib import Path
from cluster.local import sessions
from cluster.local.reaper import Reaper
reaper = Reaper(Path({str(temp)!r}), Path({str(temp / "token")!r}))
session = sessions.start(["sleep", "60"], Path({str(tmp_path / "log")!r}))
reaper.watch(session)
Path({str(pid)!r}).write_text(f"{{session.pid}} {{session.start_time!r}}")
time.sleep(60)
"""
    session = sessions.start([sys.executable, "-c", owner], tmp_path / "owner.log", {"PYTHONPATH": os.getcwd()})
    wait_until(lambda: pid.exists() and bool(pid.read_text()))
    watched_pid, start_time = pid.read_text().split()
    watched = sessions.Session(int(watched_pid), float(start_time))
    assert sessions.alive(watched)
    os.kill(session.pid, signal.SIGKILL)
    wait_until(lambda: not sessions.alive(watched) and not temp.exists())
    sessions.reap(session)
