"""What ``kill -9`` can hit in a running stack, found by the stack's own sessions: nothing else is hit."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from cluster.local import sessions
from cluster.local.state import Folder, PartState

REPLICA = re.compile(r"ServeReplica:(\w+):(api|events)")
Strike = Callable[[Folder, random.Random], str | None]
"""Kills something of the stack at random and says what; None where there is nothing of its kind to kill now."""


def replica(folder: Folder, chance: random.Random) -> str | None:
    """One replica of one service: its API, or what goes on behind it (relay, consumers, timers, pricing's desk)."""
    found = [(process, match) for process, title in _on_ray(folder) if (match := REPLICA.search(title))]
    if not found:
        return None
    process, match = chance.choice(found)
    return _kill(process, f"{match[2]} of {match[1]}")


def controller(folder: Folder, _chance: random.Random) -> str | None:
    """Serve's controller, which Ray starts anew."""
    return _titled(folder, "ray::ServeController", "controller")


def dispatcher(folder: Folder, _chance: random.Random) -> str | None:
    """Pricing's dispatcher."""
    return _titled(folder, "ray::DispatcherActor", "dispatcher")


def worker(folder: Folder, chance: random.Random) -> str | None:
    """A worker that analyses a model, or one that waits for the next."""
    processes = _on_ray(folder)
    busy = [process for process, title in processes if title.startswith("ray::analyse")]
    idle = [process for process, title in processes if title.startswith("ray::IDLE")]
    for candidates, what in ((busy, "worker at work"), (idle, "worker at rest")):
        if candidates:
            return _kill(chance.choice(candidates), what)
    return None


def server(name: str) -> Strike:
    """The whole of a server: every process of its Unix session, and what descends from them."""

    def strike(folder: Folder, _chance: random.Random) -> str | None:
        part = _part(folder, name)
        if part is None or part.session is None or not part.ready or not sessions.alive(part.session):
            return None
        for process in sessions.members(part.session):
            _kill(process, name)
        return name

    return strike


STRIKES: dict[str, Strike] = {
    "replica": replica,
    "controller": controller,
    "worker": worker,
    "dispatcher": dispatcher,
    "redis": server("redis"),
    "kafka": server("kafka"),
    "postgresql": server("postgresql"),
}
WEIGHTS = {"replica": 8, "controller": 1, "worker": 3, "dispatcher": 1, "redis": 1, "kafka": 1, "postgresql": 1}
"""A server takes seconds to come back, and a stack whose database is always away shows little."""


def _titled(folder: Folder, title: str, what: str) -> str | None:
    found = [process for process, its in _on_ray(folder) if its.startswith(title)]
    return _kill(found[0], what) if found else None


def _on_ray(folder: Folder) -> list[tuple[psutil.Process, str]]:
    """The processes of the stack's Ray with their titles, in the order of their pids so that a seed means something."""
    head = _part(folder, "ray-head")
    if head is None or head.session is None:
        return []
    found = sorted(sessions.members(head.session), key=lambda process: process.pid)
    return [(process, _title(process.pid)) for process in found]


def _part(folder: Folder, name: str) -> PartState | None:
    state = folder.read()
    return next((part for part in state.parts if part.name == name), None) if state else None


def _kill(process: psutil.Process, what: str) -> str | None:
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return what


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
