"""Processes found again and ended by pid: each part of the stack runs in a Unix session of its own.

Ray's processes change their process group, their title and with it the environment that others can read, but not their
session. So a session's id (the pid of its first process) together with the moment that process began names everything
that a part has started, also after the first process has died. That moment is counted from boot: the wall clock may
step, and with it what psutil calls the time of creation. PostgreSQL's processes and our workers do leave, each for a
session of its own; they are found as children while their parent lives, and end by themselves once it does not.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STARTTIME = 22  # the field of /proc/<pid>/stat, in ticks since boot
# A killed process is gone in milliseconds, unless it hangs in the kernel (a dead network file system, say).
UNKILLABLE_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """A session: ``pid`` of its first process, which is the session's id, and when that began (s since boot)."""

    pid: int
    began: float


def start(argv: Sequence[str], log: Path, env: Mapping[str, str | None] | None = None) -> Session:
    """Start ``argv`` as the first process of a new session, appending what it prints to ``log``.

    ``env`` is added to this process's environment; a variable set to None is taken away. Raises OSError where the
    program can't be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    merged = {**os.environ, **(env or {})}
    environment = {name: value for name, value in merged.items() if value is not None}
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # Spawned rather than a Popen: the child outlives its record here, and only reap() may take its exit status.
    pid = os.posix_spawnp(
        argv[0],
        list(argv),
        environment,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, appending, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return of_process(pid)


def of_process(pid: int) -> Session:
    """The session whose first process is the living ``pid``; raises psutil.NoSuchProcess."""
    return Session(pid, began_at(pid))


def began_at(pid: int) -> float:
    """When a process began, in seconds since boot; raises psutil.NoSuchProcess."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    after_name = stat.rpartition(")")[2].split()  # a name may hold spaces and brackets
    return int(after_name[_STARTTIME - 3]) / _TICKS_PER_S


def alive(session: Session) -> bool:
    """Whether the session's first process runs: not ended, not a zombie, and not another one with the same pid."""
    try:
        same = began_at(session.pid) == session.began
        return same and psutil.Process(session.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def members(session: Session) -> list[psutil.Process]:
    """The living processes of the session, the first one included, and what descends from them."""
    found: dict[int, psutil.Process] = {}
    others: dict[int, list[psutil.Process]] = {}  # by their parent
    for process in psutil.process_iter():
        try:
            later = began_at(process.pid) - session.began
            if later < 0 or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getsid(process.pid) != session.pid:
                others.setdefault(process.ppid(), []).append(process)
            elif process.pid == session.pid and later > 0:
                return []  # the pid was given to another session after ours had ended
            else:
                found[process.pid] = process
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it ended while the list was walked
    parents = list(found)
    while parents:
        for child in others.get(parents.pop(), []):
            found[child.pid] = child
            parents.append(child.pid)
    return list(found.values())


def end(session: Session, grace_s: float, by: int = signal.SIGTERM) -> int:
    """End every process of the session by pid: signal ``by`` to the first, SIGKILL to what is left after ``grace_s``.

    Returns how many had to be killed. Nothing of the session lives when this returns; raises RuntimeError where the
    kernel does not end a process.
    """
    reap(session)
    seen: set[Session] = set()  # what has left the session is not found again once its parent is gone
    if alive(session):
        _living(session, seen)
        os.kill(session.pid, by)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and _living(session, seen):
            reap(session)
            time.sleep(0.05)
    killed: set[int] = set()
    deadline = time.monotonic() + UNKILLABLE_AFTER_S
    while left := _living(session, seen):  # a raylet may start a worker between the look and the kill, so look again
        for process in left:
            killed.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=5)
        if time.monotonic() > deadline:
            raise RuntimeError(f"can't end process {left[0].pid}: SIGKILL has no effect on it")
    reap(session)
    return len(killed)


def _living(session: Session, seen: set[Session]) -> list[psutil.Process]:
    """The members of the session, and of those ``seen`` before whoever lives; adds to ``seen``."""
    found = []
    for process in members(session):
        try:
            seen.add(of_process(process.pid))
        except psutil.NoSuchProcess:
            continue
    for each in seen:
        if alive(each):
            try:
                found.append(psutil.Process(each.pid))
            except psutil.NoSuchProcess:
                continue
    return found


def reap(session: Session) -> int | None:
    """Exit status of the first process if it was this process's child and has ended (-N: by signal N), else None."""
    try:
        pid, status = os.waitpid(session.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None
