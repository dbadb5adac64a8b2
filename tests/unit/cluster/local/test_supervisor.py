"""The supervisor: restarts, restart delays, held parts."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.local import sessions
from cluster.local import supervisor as supervisor_module
from cluster.local.state import Folder, PartState
from cluster.local.supervisor import (
    MAX_RESTART_DELAY_AFTER_SIGNAL_S,
    MAX_RESTART_DELAY_S,
    MIN_RESTART_DELAY_S,
    Supervisor,
    restart_delay,
)
from tests.support.waiting import wait_until
from tests.unit.cluster.local.fake_parts import web_server


def test_a_killed_part_and_its_dependents_restart(tmp_path: Path) -> None:
    published: list[tuple[PartState, ...]] = []
    stopped = threading.Event()
    stack_parts = [
        web_server(tmp_path, "base"),
        web_server(tmp_path, "above", ("base",)),
        web_server(tmp_path, "beside"),
    ]
    supervisor = Supervisor(stack_parts, published.append, stopped.is_set)
    supervisor.start()
    first = {part.name: part.session for part in published[-1]}
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        assert first["base"] is not None
        os.kill(first["base"].pid, signal.SIGKILL)
        wait_until(
            lambda: [part.restarts for part in published[-1]] == [1, 1, 0] and all(part.ready for part in published[-1])
        )
        last = {part.name: part.session for part in published[-1]}
        assert last["beside"] == first["beside"]
        assert last["base"] != first["base"]
        assert last["above"] != first["above"]
    finally:
        stopped.set()
        watching.join()
        supervisor.stop_all()
    assert [part.session for part in published[-1]] == [None, None, None]
    assert [sessions.members(session) for session in last.values() if session] == [[], [], []]


def test_parts_restart_concurrently(tmp_path: Path) -> None:
    published: list[tuple[PartState, ...]] = []
    stopped, marker = threading.Event(), tmp_path / "again"
    slow = web_server(tmp_path, "slow")
    command = f"test -e {marker} && sleep 60; touch {marker}; exec {shlex.join(slow.argv)}"
    stack_parts = [replace(slow, argv=("sh", "-c", command)), web_server(tmp_path, "quick")]
    supervisor = Supervisor(stack_parts, published.append, stopped.is_set)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        for index in (0, 1):
            session = published[-1][index].session
            assert session is not None
            os.kill(session.pid, signal.SIGKILL)
            wait_until(lambda: published[-1][0].restarts == 1 and published[-1][0].session is not None)
        wait_until(lambda: published[-1][1].restarts == 1 and published[-1][1].ready)
        assert not published[-1][0].ready
    finally:
        stopped.set()
        watching.join()
        supervisor.stop_all()


@pytest.mark.parametrize(
    ("status", "delays"),
    [
        (-signal.SIGKILL, [1, 2, 4, 5, 5, 5, 5]),
        (-signal.SIGTERM, [1, 2, 4, 5, 5, 5, 5]),
        (1, [1, 2, 4, 8, 16, 30, 30]),
        (0, [1, 2, 4, 8, 16, 30, 30]),
        (None, [1, 2, 4, 8, 16, 30, 30]),
    ],
)
def test_the_restart_delay_doubles_up_to_a_limit_by_exit_status(status: int | None, delays: list[float]) -> None:
    delay_s, found = MIN_RESTART_DELAY_S, []
    for _ in delays:
        delay_s = restart_delay(delay_s, False, status)
        found.append(delay_s)
    assert found == delays
    assert restart_delay(delay_s, True, status) == MIN_RESTART_DELAY_S
    assert restart_delay(30.0, False, -signal.SIGKILL) == 5


FIRST_THREAD_ENDS = """
import ctypes, os, platform, signal, threading, time
threading.Thread(target=lambda: (time.sleep(0.7), os.kill(os.getpid(), signal.SIGKILL))).start()
ctypes.CDLL(None).syscall(93 if platform.machine() == "aarch64" else 60, 0)  # exit, of this thread alone
"""


@pytest.mark.parametrize(
    ("ending", "max_delay"),
    [
        ("kill -9 $$", MAX_RESTART_DELAY_AFTER_SIGNAL_S),
        (f"exec {sys.executable} -c {shlex.quote(FIRST_THREAD_ENDS)}", MAX_RESTART_DELAY_AFTER_SIGNAL_S),
        ("exit 3", MAX_RESTART_DELAY_S),
    ],
    ids=["killed", "killed, its first thread first", "exits"],
)
@pytest.mark.parametrize("before_ready", [False, True], ids=["when ready", "before ready"])
def test_the_supervisor_distinguishes_kill_and_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, max_delay: float, before_ready: bool
) -> None:
    go = tmp_path / "go"
    argv = ("sh", "-c", f"while ! test -e {go}; do sleep 0.02; done; {ending}")
    base = web_server(tmp_path)
    probes = ("http://127.0.0.1:1/",) if before_ready else ()
    part = replace(base, argv=argv, probes=probes)
    delays_used: list[float] = []

    def record_delay(previous_s: float, recovered: bool, status: int | None) -> float:
        delays_used.append(restart_delay(1000.0, recovered, status))
        return 0.0

    monkeypatch.setattr(supervisor_module, "restart_delay", record_delay)
    stopped = threading.Event()
    supervisor = Supervisor([part], lambda _states: None, stopped.is_set)
    watching = threading.Thread(target=supervisor.watch)
    watching.start()  # without start(): the part starts like a restarted one, not ready at first
    try:
        time.sleep(0.5)
        go.touch()
        wait_until(lambda: len(delays_used) >= 2)
    finally:
        stopped.set()
        watching.join()
        supervisor.stop_all()
    assert set(delays_used) == {max_delay}


def test_a_held_part_restarts_only_after_its_release(tmp_path: Path) -> None:
    published: list[tuple[PartState, ...]] = []
    stopped, folder = threading.Event(), Folder(tmp_path / "stack")
    folder.path.mkdir()
    stack_parts = [
        web_server(tmp_path, "base"),
        web_server(tmp_path, "above", ("base",)),
        web_server(tmp_path, "beside"),
    ]
    supervisor = Supervisor(stack_parts, published.append, stopped.is_set, folder.held)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        folder.hold("base")
        for index in (0, 2):
            session = published[-1][index].session
            assert session is not None
            os.kill(session.pid, signal.SIGKILL)
        # The other part restarts, so the supervisor has polled; the held one and its dependent do not.
        wait_until(lambda: published[-1][2].restarts == 1 and published[-1][2].ready)
        polls = 0

        def counted(part: str) -> bool:
            nonlocal polls
            polls += part == "base"
            return folder.held(part)

        supervisor._held = counted
        wait_until(lambda: polls >= 8)  # two seconds: longer than the restart delay after the first kill
        assert [part.session for part in published[-1][:2]] == [None, None]
        folder.release("base")
        wait_until(lambda: all(part.ready for part in published[-1]))
    finally:
        stopped.set()
        watching.join()
        supervisor.stop_all()
    folder.hold("base")
    folder.forget(purge=False)
    assert not folder.held("base")
