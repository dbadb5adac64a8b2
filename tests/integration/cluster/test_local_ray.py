"""``facet up --ray-only``, ``status``, ``down`` with real commands, a real cluster and killed processes."""

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
from tests.support.waiting import wait_until

DRIVER = """
import json, os, ray
ray.init(log_to_driver=False, logging_level=40)
nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
where = ray.remote(lambda: (ray.get_runtime_context().get_node_id(), os.nice(0)))
print(json.dumps([sorted(nodes), *ray.get(where.remote())]))
"""


class Stack:
    """A stack in its own folder, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack_folder = Folder(folder / ".facet" / "stack")

    def facet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pricing_engine", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=150, check=False)

    def state(self) -> State:
        state = self.stack_folder.read()
        assert state is not None
        return state

    def session(self, part: str) -> Session:
        (session,) = (part_state.session for part_state in self.state().parts if part_state.name == part)
        assert session is not None
        return session

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.facet("status", "--json").stdout)
        return status

    def wait_until_healthy(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while not (status := self.status())["healthy"]:
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
        return status


@pytest.fixture(scope="module")
def exported(stack: Stack) -> dict[str, str]:
    """Return the environment that ``facet up`` printed for other programs."""
    return dict(word.split("=", 1) for word in shlex.split((stack.folder / "up.stdout").read_text())[1:])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    created = Stack(tmp_path_factory.mktemp("stack"))
    done = created.facet("up", "--ray-only", "--detach", "--cpus", "1", "--workers", "1")
    assert done.returncode == 0, done.stderr
    (created.folder / "up.stdout").write_text(done.stdout)
    yield created
    assert created.facet("down", "--purge").returncode == 0


def run_driver(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", DRIVER]
    return subprocess.run(
        command, env={**clean, **settings}, capture_output=True, text=True, timeout=90, check=False
    )  # fmt: skip


def test_status_reports_every_part(stack: Stack) -> None:
    status = stack.status()
    assert status["healthy"]
    assert [part["name"] for part in status["parts"]] == ["supervisor", "ray-head", "ray-worker-1"]
    for part in status["parts"]:
        assert set(part) >= {"name", "pid", "address", "healthy", "version", "log"}
        assert Path(part["log"]).exists()
    assert status["ray_dashboard"].startswith("http://127.0.0.1:")
    second = stack.facet("up", "--ray-only", "--detach")
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1


def test_other_programs_connect_only_with_the_token(stack: Stack, exported: dict[str, str]) -> None:
    token = Path(exported["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    done = run_driver(exported)
    assert done.returncode == 0, done.stderr
    cpus, _, niceness = json.loads(done.stdout)
    assert cpus == [0, 1]  # the head takes no tasks where there are workers
    assert niceness == 0
    wrong = token.with_name("another-token")
    wrong.write_text("0" * 64)
    refused = run_driver({**exported, "RAY_AUTH_TOKEN_PATH": str(wrong), "RAY_NUM_REDIS_GET_RETRIES": "1"})
    assert refused.returncode != 0
    assert "uthenticat" in refused.stderr


def test_a_killed_node_restarts(stack: Stack, exported: dict[str, str]) -> None:
    head, worker = stack.session("ray-head"), stack.session("ray-worker-1")
    (raylet,) = (process for process in sessions.members(worker) if process.name() == "raylet")
    os.kill(raylet.pid, signal.SIGKILL)
    wait_for_exit(worker)
    status = stack.wait_until_healthy(60)
    assert [part["restarts"] for part in status["parts"]] == [0, 0, 1]
    assert stack.session("ray-head") == head
    assert run_driver(exported).returncode == 0


def test_a_killed_supervisor_leaves_nothing_after_down(stack: Stack) -> None:
    state = stack.state()
    os.kill(state.supervisor.pid, signal.SIGKILL)
    wait_for_exit(state.supervisor)
    unhealthy = stack.facet("status")
    assert unhealthy.returncode == 4
    assert "not healthy: supervisor" in unhealthy.stderr
    second = stack.facet("up", "--ray-only", "--detach", "--cpus", "1")  # cleans up after the killed one
    assert second.returncode == 0, second.stderr
    assert [sessions.members(part.session) for part in state.parts if part.session] == [[], []]
    assert not Path(state.temp).exists()
    last_state = stack.state()
    assert [part.name for part in last_state.parts] == ["ray-head"]
    assert stack.facet("down").returncode == 0
    assert [sessions.members(part.session) for part in last_state.parts if part.session] == [[]]
    assert not Path(last_state.temp).exists()
    assert not Path(last_state.token).exists()
    assert stack.facet("status").returncode == 4


def wait_for_exit(session: Session) -> None:
    """Wait until the session's first process has exited."""
    wait_until(lambda: not sessions.alive(session), timeout_s=30.0)
