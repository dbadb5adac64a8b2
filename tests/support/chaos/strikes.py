"""Victims of faults in a running stack, found by the stack's own sessions: nothing else is hit."""

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
    """Processes that are hit at once. ``processes``: returns those that are alive."""

    name: str
    processes: Callable[[], list[psutil.Process]]

    @classmethod
    def one(cls, process: psutil.Process, name: str) -> Victim:
        """Return a victim of a single process."""
        return cls(name, lambda: [process] if alive(process) else [])


Finder = Callable[[Folder, random.Random], Victim | None]
"""Return a random victim of one kind in the stack; None if there is none now."""


def replica(folder: Folder, chance: random.Random) -> Victim | None:
    """Return a replica of a service: of its API, or of its background (relay, consumers, timers, quote worker)."""
    found = [(process, match) for process, title in _on_ray(folder) if (match := REPLICA.search(title))]
    if not found:
        return None
    process, match = chance.choice(found)
    return Victim.one(process, f"{match[2]} of {match[1]}")


def controller(folder: Folder, _chance: random.Random) -> Victim | None:
    """Return Serve's controller, which Ray restarts."""
    return _titled(folder, "ray::ServeController", "controller")


def dispatcher(folder: Folder, _chance: random.Random) -> Victim | None:
    """Return pricing's dispatcher."""
    return _titled(folder, "ray::DispatcherActor", "dispatcher")


def worker(folder: Folder, chance: random.Random) -> Victim | None:
    """Return a worker that analyses a model, or else an idle one."""
    processes = _on_ray(folder)
    busy = [process for process, title in processes if title.startswith("ray::analyse")]
    idle = [process for process, title in processes if title.startswith("ray::IDLE")]
    for candidates, what in ((busy, "worker at work"), (idle, "idle worker")):
        if candidates:
            return Victim.one(chance.choice(candidates), what)
    return None


def server(name: str) -> Finder:
    """Return the finder of a complete server: every process of its Unix session, and their descendants."""

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
"""A server takes seconds to restart, and a stack whose database is always down proves little."""


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
    """Stop (SIGSTOP) every process of ``victim`` for the block and resume it afterwards; yield their number.

    Children that a process starts before it is stopped are stopped too. Whatever ends the block or this interpreter, no
    process stays stopped.
    """
    stopped_pids: list[int] = []
    try:
        while running := [process for process in victim.processes() if process.pid not in stopped_pids]:
            for process in running:
                stopped_pids.append(process.pid)
                _stopped[process.pid] = process
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
        yield len(stopped_pids)
    finally:
        _resume(stopped_pids)


def _resume(pids: Iterable[int]) -> None:
    for pid in list(pids):
        if (process := _stopped.pop(pid, None)) is not None:
            with suppress(psutil.NoSuchProcess):  # killed meanwhile, for instance by Serve after a missed health check
                process.resume()


atexit.register(_resume, _stopped)


def alive(process: psutil.Process) -> bool:
    """Return whether ``process`` is alive: not ended, no zombie, not another one with the same pid."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def part_state(folder: Folder, name: str) -> PartState | None:
    """Return the state of a part in the supervisor's file; None if the stack is down."""
    state = folder.read()
    return next((part for part in state.parts if part.name == name), None) if state else None


def _titled(folder: Folder, title: str, what: str) -> Victim | None:
    found = [process for process, its in _on_ray(folder) if its.startswith(title)]
    return Victim.one(found[0], what) if found else None


def _on_ray(folder: Folder) -> list[tuple[psutil.Process, str]]:
    """Return the processes of the stack's Ray with their titles, ordered by pid so that a seed is reproducible."""
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
