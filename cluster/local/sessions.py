"""Find and stop processes by session: each part of the stack runs in its own Unix session.

Ray's processes change their process group and their title, and with it their readable environment, but not their
session. So a session's id (the pid of its first process) with that process's start time identifies everything that a
part has started, even after the first process has died. The start time counts from boot: the wall clock may step, and
with it psutil's create_time. PostgreSQL's processes and Facet's workers start sessions of their own; they are found as
children while their parent is alive, and exit by themselves afterwards.
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
# A killed process exits in milliseconds, unless it hangs in the kernel (on a dead network file system, for example).
UNKILLABLE_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """A session: ``pid`` of its first process, which is the session's id, and its start time (s since boot)."""

    pid: int
    start_time: float


def start(argv: Sequence[str], log: Path, env: Mapping[str, str | None] | None = None) -> Session:
    """Start ``argv`` as the first process of a new session, appending its output to ``log``.

    ``env`` is added to this process's environment; a variable set to None is removed. Raises OSError if the program
    can't be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    merged = {**os.environ, **(env or {})}
    environment = {name: value for name, value in merged.items() if value is not None}
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # Not a Popen: the child may outlive its Session object, and only reap() may collect its exit status.
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
    return session_of(pid)


def session_of(pid: int) -> Session:
    """Return the session whose first process is the running ``pid``; raises psutil.NoSuchProcess."""
    return Session(pid, start_time(pid))


def start_time(pid: int) -> float:
    """Return the start time of a process in seconds since boot; raises psutil.NoSuchProcess."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    after_name = stat.rpartition(")")[2].split()  # a name may contain spaces and brackets
    return int(after_name[_STARTTIME - 3]) / _TICKS_PER_S


def alive(session: Session) -> bool:
    """Return whether the session's first process runs: neither exited nor a zombie nor another with the same pid."""
    try:
        same = start_time(session.pid) == session.start_time
        return same and psutil.Process(session.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def members(session: Session) -> list[psutil.Process]:
    """Return the running processes of the session, the first one included, and their descendants."""
    found: dict[int, psutil.Process] = {}
    others: dict[int, list[psutil.Process]] = {}  # by their parent
    for process in psutil.process_iter():
        try:
            age = start_time(process.pid) - session.start_time
            if age < 0 or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getsid(process.pid) != session.pid:
                others.setdefault(process.ppid(), []).append(process)
            elif process.pid == session.pid and age > 0:
                return []  # the pid was reused by another session after this one had ended
            else:
                found[process.pid] = process
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it exited during the iteration
    parents = list(found)
    while parents:
        for child in others.get(parents.pop(), []):
            found[child.pid] = child
            parents.append(child.pid)
    return list(found.values())


def stop(session: Session, grace_s: float, by: int = signal.SIGTERM) -> int:
    """Stop every process of the session: send ``by`` to the first, SIGKILL to those that remain after ``grace_s``.

    Returns the number of killed processes. No process of the session is alive afterwards; raises RuntimeError if the
    kernel does not end one.
    """
    reap(session)
    known_sessions: set[Session] = set()  # sessions of descendants, which are not found once their parent has exited
    if alive(session):
        _living(session, known_sessions)
        os.kill(session.pid, by)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and _living(session, known_sessions):
            reap(session)
            time.sleep(0.05)
    killed: set[int] = set()
    deadline = time.monotonic() + UNKILLABLE_AFTER_S
    # Repeat: a raylet may start a worker between the query and the kill.
    while remaining := _living(session, known_sessions):
        for process in remaining:
            killed.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(remaining, timeout=5)
        if time.monotonic() > deadline:
            raise RuntimeError(f"can't end process {remaining[0].pid}: SIGKILL has no effect on it")
    reap(session)
    return len(killed)


def _living(session: Session, known_sessions: set[Session]) -> list[psutil.Process]:
    """Return the members of the session and the running processes of ``known_sessions``; add to ``known_sessions``."""
    found = []
    for process in members(session):
        try:
            known_sessions.add(session_of(process.pid))
        except psutil.NoSuchProcess:
            continue
    for each in known_sessions:
        if alive(each):
            try:
                found.append(psutil.Process(each.pid))
            except psutil.NoSuchProcess:
                continue
    return found


def reap(session: Session) -> int | None:
    """Return the exit status of the first process if it is an exited child (-N: killed by signal N), else None."""
    try:
        pid, status = os.waitpid(session.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None
