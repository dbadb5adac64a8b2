"""What faults hit in a running stack, found by the stack's own sessions: nothing else is hit."""

from __future__ import annotations

import atexit
import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.local import sessions
from cluster.local.state import Folder, PartState

REPLICA = re.compile(r"ServeReplica:(\w+):(api|events)")


@dataclass(frozen=True, slots=True)
class Victim:
    """Processes that are hit together. ``processes``: those that live now, each time it is called."""

    name: str
    processes: Callable[[], list[psutil.Process]]

    @classmethod
    def one(cls, process: psutil.Process, name: str) -> Victim:
        """A victim of a single process."""
        return cls(name, lambda: [process] if alive(process) else [])


Finder = Callable[[Folder, random.Random], Victim | None]
"""Finds something of the stack at random; None where there is nothing of its kind to hit now."""


def replica(folder: Folder, chance: random.Random) -> Victim | None:
    """One replica of one service: its API, or what goes on behind it (relay, consumers, timers, pricing's desk)."""
    found = [(process, match) for process, title in _on_ray(folder) if (match := REPLICA.search(title))]
    if not found:
        return None
    process, match = chance.choice(found)
    return Victim.one(process, f"{match[2]} of {match[1]}")


def controller(folder: Folder, _chance: random.Random) -> Victim | None:
    """Serve's controller, which Ray starts anew."""
    return _titled(folder, "ray::ServeController", "controller")


def dispatcher(folder: Folder, _chance: random.Random) -> Victim | None:
    """Pricing's dispatcher."""
    return _titled(folder, "ray::DispatcherActor", "dispatcher")


def worker(folder: Folder, chance: random.Random) -> Victim | None:
    """A worker that analyses a model, or one that waits for the next."""
    processes = _on_ray(folder)
    busy = [process for process, title in processes if title.startswith("ray::analyse")]
    idle = [process for process, title in processes if title.startswith("ray::IDLE")]
    for candidates, what in ((busy, "worker at work"), (idle, "worker at rest")):
        if candidates:
            return Victim.one(chance.choice(candidates), what)
    return None


def server(name: str) -> Finder:
    """The whole of a server: every process of its Unix session, and what descends from them."""

    def find(folder: Folder, _chance: random.Random) -> Victim | None:
        part = part_state(folder, name)
        if part is None or part.session is None or not part.ready or not sessions.alive(part.session):
            return None
        session = part.session
        return Victim(name, lambda: sessions.members(session))

    return find


VICTIMS: dict[str, Finder] = {
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


def kill(victim: Victim) -> bool:
    """Send SIGKILL to every process of ``victim``; return whether there was one."""
    hit = False
    for process in victim.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
            hit = True
    return hit


_stopped: dict[int, psutil.Process] = {}


@contextmanager
def hung(victim: Victim) -> Iterator[int]:
    """Stop (SIGSTOP) every process of ``victim`` for the block and let it go on after it; gives how many there were.

    What a process starts before its own turn comes is stopped too. Whatever ends the block or this interpreter, no
    process stays stopped.
    """
    mine: list[int] = []
    try:
        while fresh := [process for process in victim.processes() if process.pid not in mine]:
            for process in fresh:
                mine.append(process.pid)
                _stopped[process.pid] = process
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
        yield len(mine)
    finally:
        _resume(mine)


def _resume(pids: Iterable[int]) -> None:
    for pid in list(pids):
        if (process := _stopped.pop(pid, None)) is not None:
            with suppress(psutil.NoSuchProcess):  # killed meanwhile: by Serve, say, whose health check it had missed
                process.resume()


atexit.register(_resume, _stopped)


def alive(process: psutil.Process) -> bool:
    """Return whether ``process`` lives: not ended, no zombie, not another one with the same pid."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def part_state(folder: Folder, name: str) -> PartState | None:
    """Return what the supervisor has written about a part; None where the stack is down."""
    state = folder.read()
    return next((part for part in state.parts if part.name == name), None) if state else None


def _titled(folder: Folder, title: str, what: str) -> Victim | None:
    found = [process for process, its in _on_ray(folder) if its.startswith(title)]
    return Victim.one(found[0], what) if found else None


def _on_ray(folder: Folder) -> list[tuple[psutil.Process, str]]:
    """The processes of the stack's Ray with their titles, in the order of their pids so that a seed means something."""
    head = part_state(folder, "ray-head")
    if head is None or head.session is None:
        return []
    found = sorted(sessions.members(head.session), key=lambda process: process.pid)
    return [(process, _title(process.pid)) for process in found]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
