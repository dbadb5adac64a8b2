"""Parts, sessions and the supervisor of the local stack, shown with small servers of Python's own."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cluster.local import parts, serve_part, servers, sessions
from cluster.local import supervisor as supervisor_module
from cluster.local.parts import Part, PartFailed
from cluster.local.ports import FIRST, LAST, free_ports
from cluster.local.ray_nodes import make_place
from cluster.local.state import Folder, PartState, State
from cluster.local.status import report
from cluster.local.supervisor import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_AFTER_SIGNAL_S,
    LONGEST_PAUSE_S,
    Supervisor,
    pause_after,
)


def web_server(folder: Path, name: str = "web", needs: tuple[str, ...] = ()) -> Part:
    (port,) = free_ports(1)
    argv = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder))
    probes = (f"http://127.0.0.1:{port}/",)
    return Part(name, argv, f"127.0.0.1:{port}", "1", folder / f"{name}.log", probes, needs, grace_s=2)


def broken(folder: Path, code: str, ready_within_s: float = 20) -> Part:
    return Part(
        "broken", (sys.executable, "-c", code), "", "1", folder / "log", ("http://127.0.0.1:1/",),
        ready_within_s=ready_within_s,
    )  # fmt: skip


def eventually(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_part_that_can_not_start_says_which_why_and_where_its_log_is(tmp_path: Path) -> None:
    with pytest.raises(PartFailed) as failed:
        parts.start(broken(tmp_path, "import sys; sys.exit('the port is taken')"))
    told = str(failed.value)
    assert told.startswith("broken could not start: it ended with status 1")
    assert "the port is taken" in told
    assert str(tmp_path / "log") in told
    assert "\n" not in told


def test_a_part_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    part = broken(tmp_path, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)", 0.5)  # fmt: skip  # noqa: E501
    with pytest.raises(PartFailed, match="not ready within"):
        parts.start(part)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"nowhere could not start: .*No such file"):
        parts.start(Part("nowhere", ("/no/such/program",), "", "1", tmp_path / "log", ()))


def test_the_end_of_a_session_ends_what_has_left_its_group_and_lost_its_parent(tmp_path: Path) -> None:
    # As Ray's workers do: a group of their own, and a parent that has gone.
    stray = "import os, time; os.setpgid(0, 0); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stray!r}])"
    session = sessions.start([sys.executable, "-c", code], tmp_path / "log")
    eventually(lambda: sessions.reap(session) == 0)
    assert not sessions.alive(session)
    assert len(sessions.members(session)) == 1
    assert sessions.end(session, grace_s=5) == 1
    assert sessions.members(session) == []


def test_the_end_of_a_session_ends_a_child_that_has_begun_one_of_its_own(tmp_path: Path) -> None:
    # As our workers do. Once the first process has ended, nothing names the child any more.
    session = sessions.start(["sh", "-c", "setsid sleep 60 & wait"], tmp_path / "log")
    eventually(lambda: len(sessions.members(session)) == 2)
    child = next(process for process in sessions.members(session) if process.pid != session.pid)
    eventually(lambda: os.getsid(child.pid) == child.pid)
    assert sessions.end(session, grace_s=0.5) == 1
    assert not child.is_running()


def test_a_session_whose_pid_now_belongs_to_another_is_not_touched(tmp_path: Path) -> None:
    session = sessions.start(["sleep", "60"], tmp_path / "log")
    earlier = sessions.Session(session.pid, session.began - 100)
    assert not sessions.alive(earlier)
    assert sessions.end(earlier, grace_s=1) == 0
    assert sessions.alive(session)
    sessions.end(session, grace_s=1)


def test_a_step_of_the_wall_clock_changes_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sessions.start(["sleep", "60"], tmp_path / "log")
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 3600)
    assert sessions.alive(session)
    assert [process.pid for process in sessions.members(session)] == [session.pid]
    sessions.end(session, grace_s=1)


def test_what_a_killed_process_had_started_is_ended_by_its_guardian(tmp_path: Path) -> None:
    temp, pid = tmp_path / "temp", tmp_path / "pid"
    temp.mkdir()
    owner = f"""
import time
from pathlib import Path
from cluster.local import sessions
from cluster.local.reaper import Guardian
guardian = Guardian(Path({str(temp)!r}), Path({str(temp / "token")!r}))
session = sessions.start(["sleep", "60"], Path({str(tmp_path / "log")!r}))
guardian.watch(session)
Path({str(pid)!r}).write_text(f"{{session.pid}} {{session.began!r}}")
time.sleep(60)
"""
    session = sessions.start([sys.executable, "-c", owner], tmp_path / "owner.log", {"PYTHONPATH": os.getcwd()})
    eventually(lambda: pid.exists() and bool(pid.read_text()))
    number, began = pid.read_text().split()
    guarded = sessions.Session(int(number), float(began))
    assert sessions.alive(guarded)
    os.kill(session.pid, signal.SIGKILL)
    eventually(lambda: not sessions.alive(guarded) and not temp.exists())
    sessions.reap(session)


def test_the_supervisor_starts_anew_what_died_and_what_needs_it(tmp_path: Path) -> None:
    told: list[tuple[PartState, ...]] = []
    stop = threading.Event()
    asked = [web_server(tmp_path, "base"), web_server(tmp_path, "above", ("base",)), web_server(tmp_path, "beside")]
    supervisor = Supervisor(asked, told.append, stop.is_set)
    supervisor.start()
    first = {part.name: part.session for part in told[-1]}
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        assert first["base"] is not None
        os.kill(first["base"].pid, signal.SIGKILL)
        eventually(lambda: [part.restarts for part in told[-1]] == [1, 1, 0] and all(part.ready for part in told[-1]))
        last = {part.name: part.session for part in told[-1]}
        assert last["beside"] == first["beside"]
        assert last["base"] != first["base"]
        assert last["above"] != first["above"]
    finally:
        stop.set()
        watching.join()
        supervisor.end()
    assert [part.session for part in told[-1]] == [None, None, None]
    assert [sessions.members(session) for session in last.values() if session] == [[], [], []]


def test_what_dies_while_another_part_comes_back_is_mended_beside_it(tmp_path: Path) -> None:
    told: list[tuple[PartState, ...]] = []
    stop, again = threading.Event(), tmp_path / "again"
    slow = web_server(tmp_path, "slow")
    command = f"test -e {again} && sleep 60; touch {again}; exec {shlex.join(slow.argv)}"
    asked = [replace(slow, argv=("sh", "-c", command)), web_server(tmp_path, "quick")]
    supervisor = Supervisor(asked, told.append, stop.is_set)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        for number in (0, 1):
            session = told[-1][number].session
            assert session is not None
            os.kill(session.pid, signal.SIGKILL)
            eventually(lambda: told[-1][0].restarts == 1 and told[-1][0].session is not None)
        eventually(lambda: told[-1][1].restarts == 1 and told[-1][1].ready)
        assert not told[-1][0].ready
    finally:
        stop.set()
        watching.join()
        supervisor.end()


@pytest.mark.parametrize(
    ("status", "pauses"),
    [
        (-signal.SIGKILL, [1, 2, 4, 5, 5, 5, 5]),
        (-signal.SIGTERM, [1, 2, 4, 5, 5, 5, 5]),
        (1, [1, 2, 4, 8, 16, 30, 30]),
        (0, [1, 2, 4, 8, 16, 30, 30]),
        (None, [1, 2, 4, 8, 16, 30, 30]),
    ],
)
def test_the_pause_before_a_restart_doubles_up_to_a_bound_that_follows_how_the_part_ended(
    status: int | None, pauses: list[float]
) -> None:
    pause_s, found = FIRST_PAUSE_S, []
    for _ in pauses:
        pause_s = pause_after(pause_s, False, status)
        found.append(pause_s)
    assert found == pauses
    assert pause_after(pause_s, True, status) == FIRST_PAUSE_S
    assert pause_after(30.0, False, -signal.SIGKILL) == 5


FIRST_THREAD_ENDS = """
import ctypes, os, platform, signal, threading, time
threading.Thread(target=lambda: (time.sleep(0.7), os.kill(os.getpid(), signal.SIGKILL))).start()
ctypes.CDLL(None).syscall(93 if platform.machine() == "aarch64" else 60, 0)  # exit, of this thread alone
"""


@pytest.mark.parametrize(
    ("ending", "longest"),
    [
        ("kill -9 $$", LONGEST_PAUSE_AFTER_SIGNAL_S),
        (f"exec {sys.executable} -c {shlex.quote(FIRST_THREAD_ENDS)}", LONGEST_PAUSE_AFTER_SIGNAL_S),
        ("exit 3", LONGEST_PAUSE_S),
    ],
    ids=["killed", "killed, and its first thread ends before the others", "exits"],
)
@pytest.mark.parametrize("starting", [False, True], ids=["when ready", "while it starts"])
def test_the_supervisor_sees_whether_a_part_was_killed_or_ended_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, longest: float, starting: bool
) -> None:
    go = tmp_path / "go"
    argv = ("sh", "-c", f"while ! test -e {go}; do sleep 0.02; done; {ending}")
    base = web_server(tmp_path)
    probes = ("http://127.0.0.1:1/",) if starting else ()
    asked = replace(base, argv=argv, probes=probes)
    seen: list[float] = []

    def pause(previous_s: float, recovered: bool, status: int | None) -> float:
        seen.append(pause_after(1000.0, recovered, status))
        return 0.0

    monkeypatch.setattr(supervisor_module, "pause_after", pause)
    stop = threading.Event()
    supervisor = Supervisor([asked], lambda _states: None, stop.is_set)
    watching = threading.Thread(target=supervisor.watch)
    watching.start()  # without start(): the part begins as one that is started anew, and is not ready at first
    try:
        time.sleep(0.5)
        go.touch()
        eventually(lambda: len(seen) >= 2)
    finally:
        stop.set()
        watching.join()
        supervisor.end()
    assert set(seen) == {longest}


def test_a_held_part_stays_down_until_it_is_released_and_then_starts_at_once(tmp_path: Path) -> None:
    told: list[tuple[PartState, ...]] = []
    stop, folder = threading.Event(), Folder(tmp_path / "stack")
    folder.path.mkdir()
    asked = [web_server(tmp_path, "base"), web_server(tmp_path, "above", ("base",)), web_server(tmp_path, "beside")]
    supervisor = Supervisor(asked, told.append, stop.is_set, folder.held)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        folder.hold("base")
        for number in (0, 2):
            session = told[-1][number].session
            assert session is not None
            os.kill(session.pid, signal.SIGKILL)
        # The part beside comes back, so the supervisor has had its turn; the held one and what needs it do not.
        eventually(lambda: told[-1][2].restarts == 1 and told[-1][2].ready)
        polls = 0

        def counted(part: str) -> bool:
            nonlocal polls
            polls += part == "base"
            return folder.held(part)

        supervisor._held = counted
        eventually(lambda: polls >= 8)  # two seconds: longer than the pause after the first kill
        assert [part.session for part in told[-1][:2]] == [None, None]
        folder.release("base")
        eventually(lambda: all(part.ready for part in told[-1]))
    finally:
        stop.set()
        watching.join()
        supervisor.end()
    folder.hold("base")
    folder.forget(purge=False)
    assert not folder.held("base")


def test_the_state_survives_its_file_and_status_asks_the_parts_themselves(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    part = web_server(tmp_path)
    session = parts.start(part)
    me = sessions.of_process(os.getpid())
    known = PartState.of(part, session, True, 0)
    state = State(me, "/tmp/none", "/tmp/none", "http://127.0.0.1:1", None, None, {}, (known,))
    folder.write(state)
    assert folder.read() == state
    assert report(folder, state)["healthy"]
    os.kill(session.pid, signal.SIGSTOP)  # alive, but it answers nobody
    tree = report(folder, state)
    assert [(row["name"], row["healthy"]) for row in tree["parts"]] == [("supervisor", True), ("web", False)]
    os.kill(session.pid, signal.SIGCONT)
    sessions.end(session, grace_s=2)
    assert not report(folder, state)["healthy"]
    folder.forget(purge=True)
    assert folder.read() is None


def test_a_place_has_a_short_temporary_folder_and_a_token_that_only_its_owner_reads(tmp_path: Path) -> None:
    one, two = make_place(tmp_path), make_place(tmp_path)
    assert len(str(one.temp)) <= 40
    assert one.token.stat().st_mode & 0o777 == 0o600
    assert len(two.token.read_text()) == 64
    one.temp.rmdir()
    two.temp.rmdir()


def test_free_ports_are_different_and_out_of_the_way() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(FIRST <= port < LAST for port in found)


def test_servers_that_settings_name_are_not_started(tmp_path: Path) -> None:
    given = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL, servers.KAFKA_URL), "elsewhere")
    found = servers.servers(tmp_path, tmp_path, [], given, print)
    assert (list(found.parts), found.environment) == ([], given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_the_one_server_that_no_setting_names_is_started(tmp_path: Path, value: str | None) -> None:
    def broker(folder: Path, logs: Path, topics: Sequence[str], tell: servers.Tell) -> Part:
        assert topics == ["topic"]
        return web_server(tmp_path, "kafka")

    given = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL), "elsewhere")
    settings = given if value is None else {**given, servers.KAFKA_URL: value}
    found = servers.servers(tmp_path, tmp_path, ["topic"], settings, print, broker)
    (part,) = found.parts
    assert part.name == "kafka"
    assert found.environment == {**given, servers.KAFKA_URL: part.address}


def test_settings_are_shown_without_secrets() -> None:
    settings = {
        "FACET_SHOP_DATABASE_URL": "postgresql://facet_shop:hidden@127.0.0.1:1/facet_shop",
        "FACET_REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
        "FACET_SIGNING_KEY": "hidden",
        "FACET_CURSOR_SECRET": "hidden",
        "FACET_KAFKA_URL": "127.0.0.1:1",
        "RAY_OTHER": "not ours",
    }
    shown = serve_part.masked(settings)
    assert "hidden" not in str(shown)
    assert shown["FACET_SHOP_DATABASE_URL"] == "postgresql://facet_shop:***@127.0.0.1:1/facet_shop"
    assert shown["FACET_KAFKA_URL"] == "127.0.0.1:1"
    assert "RAY_OTHER" not in shown
