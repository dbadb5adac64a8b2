"""``facet up --ray-only``, ``status``, ``down`` as operations use them: real commands, a real cluster, real deaths."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local import sessions
from cluster.local.sessions import Session
from cluster.local.state import Folder, State

DRIVER = """
import json, os, ray
ray.init(log_to_driver=False, logging_level=40)
nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
where = ray.remote(lambda: (ray.get_runtime_context().get_node_id(), os.nice(0)))
print(json.dumps([sorted(nodes), *ray.get(where.remote())]))
"""


class Stack:
    """A stack of its own folder, and the commands that act on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = Folder(folder / ".facet" / "stack")

    def facet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pricing_engine", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=150, check=False)

    def state(self) -> State:
        state = self.kept.read()
        assert state is not None
        return state

    def session(self, part: str) -> Session:
        (session,) = (known.session for known in self.state().parts if known.name == part)
        assert session is not None
        return session

    def status(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(self.facet("status", "--json").stdout)
        return tree

    def until_healthy(self, within_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while not (tree := self.status())["healthy"]:
            assert time.monotonic() < deadline, tree
            time.sleep(0.3)
        return tree


@pytest.fixture(scope="module")
def exported(stack: Stack) -> dict[str, str]:
    """The settings that ``facet up`` printed for other programs."""
    return dict(word.split("=", 1) for word in shlex.split((stack.folder / "said").read_text())[1:])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("stack"))
    done = made.facet("up", "--ray-only", "--detach", "--cpus", "1", "--workers", "1")
    assert done.returncode == 0, done.stderr
    (made.folder / "said").write_text(done.stdout)
    yield made
    assert made.facet("down", "--purge").returncode == 0


def drive(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", DRIVER]
    return subprocess.run(
        command, env={**clean, **settings}, capture_output=True, text=True, timeout=90, check=False
    )  # fmt: skip


def test_status_tells_every_part(stack: Stack) -> None:
    tree = stack.status()
    assert tree["healthy"]
    assert [part["name"] for part in tree["parts"]] == ["supervisor", "ray-head", "ray-worker-1"]
    for part in tree["parts"]:
        assert set(part) >= {"name", "pid", "address", "healthy", "version", "log"}
        assert Path(part["log"]).exists()
    assert tree["ray_dashboard"].startswith("http://127.0.0.1:")
    again = stack.facet("up", "--ray-only", "--detach")
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


def test_other_programs_reach_it_with_the_token_alone(stack: Stack, exported: dict[str, str]) -> None:
    token = Path(exported["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    done = drive(exported)
    assert done.returncode == 0, done.stderr
    cpus, _, niceness = json.loads(done.stdout)
    assert cpus == [0, 1]  # the head takes no tasks where there are workers
    assert niceness == 0
    wrong = token.with_name("another-token")
    wrong.write_text("0" * 64)
    refused = drive({**exported, "RAY_AUTH_TOKEN_PATH": str(wrong), "RAY_NUM_REDIS_GET_RETRIES": "1"})
    assert refused.returncode != 0
    assert "uthenticat" in refused.stderr


def test_what_dies_is_started_anew(stack: Stack, exported: dict[str, str]) -> None:
    head, worker = stack.session("ray-head"), stack.session("ray-worker-1")
    (raylet,) = (process for process in sessions.members(worker) if process.name() == "raylet")
    os.kill(raylet.pid, signal.SIGKILL)
    sessions_end(worker)
    tree = stack.until_healthy(60)
    assert [part["restarts"] for part in tree["parts"]] == [0, 0, 1]
    assert stack.session("ray-head") == head
    assert drive(exported).returncode == 0


def test_nothing_is_left_when_the_supervisor_was_killed(stack: Stack) -> None:
    state = stack.state()
    os.kill(state.supervisor.pid, signal.SIGKILL)
    sessions_end(state.supervisor)
    ill = stack.facet("status")
    assert ill.returncode == 4
    assert "not healthy: supervisor" in ill.stderr
    again = stack.facet("up", "--ray-only", "--detach", "--cpus", "1")  # clears what the killed one left
    assert again.returncode == 0, again.stderr
    assert [sessions.members(part.session) for part in state.parts if part.session] == [[], []]
    assert not Path(state.temp).exists()
    gone = stack.state()
    assert [part.name for part in gone.parts] == ["ray-head"]
    assert stack.facet("down").returncode == 0
    assert [sessions.members(part.session) for part in gone.parts if part.session] == [[]]
    assert not Path(gone.temp).exists()
    assert not Path(gone.token).exists()
    assert stack.facet("status").returncode == 4


def sessions_end(session: Session) -> None:
    """Wait until the session's first process has ended."""
    deadline = time.monotonic() + 30
    while sessions.alive(session):
        assert time.monotonic() < deadline
        time.sleep(0.05)
