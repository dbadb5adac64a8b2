"""CPU priority of work on its machine: niceness of threads, and of this process's session.

Linux shares the CPU between sessions first ("autogroup", the kernel's default outside of containers with CPU groups of
their own), and niceness applies only within a session. So a worker leads its own session, whose niceness follows that
of its job. With one common session, a job of niceness 10 kept other processes off a core for up to 3 s.
"""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from pathlib import Path

LONG_NICENESS = 5
"""Niceness of long jobs: against 5, an express thread gets three quarters of a shared core."""
ORDINARY_NICENESS = 10
"""Niceness of ordinary work and of very long jobs: against 10, an express thread gets nine tenths of a core."""

_AUTOGROUP = Path("/proc/self/autogroup")
_RETRY_DELAY_S = 0.1  # the kernel's minimum between two changes on a machine, for processes without privileges
_MAX_NICENESS = 19
_START_TIMEOUT_S = 3.0  # for workers that start at the same time to apply their changes

_log = logging.getLogger(__name__)


def raise_niceness(thread: int, niceness: int) -> None:
    """Raise the niceness of a thread, by its native id, to at least ``niceness``; a finished thread is ignored."""
    try:
        if os.getpriority(os.PRIO_PROCESS, thread) < niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except ProcessLookupError:
        return


class SessionNiceness:
    """Niceness of the session that this process leads. Unlike that of a thread it can be lowered again.

    Does nothing if the process leads no session or the kernel does not share the CPU by sessions.
    """

    def __init__(self) -> None:
        is_leader = os.getsid(0) == os.getpid() and _AUTOGROUP.exists()
        self._base = self._current = self._target = (
            int(_AUTOGROUP.read_text().split()[-1]) if is_leader else _MAX_NICENESS
        )

    def set_niceness(self, niceness: int) -> None:
        """Give the session the priority of a thread of ``niceness``, but never more than its initial one.

        The session's niceness is twice that: all processes and cores of another session share one weight, so the
        services' many processes would otherwise get little more of a core than a single worker.
        """
        self._target = max(min(2 * niceness, _MAX_NICENESS), self._base)
        self.apply()

    def apply(self) -> bool:
        """Apply a pending change; return False if the kernel refuses it because another process made one just now."""
        if self._target != self._current:
            try:
                _AUTOGROUP.write_text(str(self._target))
            except BlockingIOError:
                return False
            self._current = self._target
        return True


@cache
def session_niceness() -> SessionNiceness:
    """Return the session of this process; the first call determines its initial niceness."""
    return SessionNiceness()


def start_session(niceness: int) -> None:
    """Make this process the leader of a new session with the priority of a thread of ``niceness``.

    If that is not permitted, the process stays in its session.
    """
    try:
        os.setpgid(0, os.getpgid(os.getppid()))  # the leader of a process group can't start a session
        os.setsid()
    except OSError as error:
        _log.warning("process %d stays in its session, and its jobs take CPU from others: %s", os.getpid(), error)
        return
    if not _AUTOGROUP.exists():
        return
    session, deadline = SessionNiceness(), time.monotonic() + _START_TIMEOUT_S
    session.set_niceness(niceness)
    while not session.apply() and time.monotonic() < deadline:
        time.sleep(_RETRY_DELAY_S)
