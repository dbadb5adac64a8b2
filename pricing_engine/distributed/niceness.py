"""How far work steps back for other work on its machine: niceness of threads, and of this process's session.

Linux shares the CPU between sessions first ("autogroup", the kernel's default outside of containers with CPU groups of
their own), and niceness counts only within one. So a worker leads a session of its own, and that session gives way as
its job does. In one session for all, a job of niceness 10 kept other processes of the machine off a core for up to 3 s.
"""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from pathlib import Path

LONG_NICENESS = 5
"""Niceness of what gives way: at 5 an express thread gets three quarters of a core that it shares."""
ORDINARY_NICENESS = 10
"""Niceness of ordinary work and of what has run so long: at 10 an express thread gets nine tenths of a core."""

_AUTOGROUP = Path("/proc/self/autogroup")
_RETRY_DELAY_S = 0.1  # between two changes on the whole machine, where the process has no privileges
_MAX_NICENESS = 19
_START_TIMEOUT_S = 3.0  # for workers that begin together to get their changes

_log = logging.getLogger(__name__)


def raise_niceness(thread: int, niceness: int) -> None:
    """Raise the niceness of a thread, by its native id, to ``niceness``; one that is nicer or has ended is left."""
    try:
        if os.getpriority(os.PRIO_PROCESS, thread) < niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except ProcessLookupError:
        return


class SessionNiceness:
    """Niceness of the session that this process leads; does nothing where it leads none, or where the kernel does not
    share the CPU by sessions. Unlike that of a thread it can be lowered again.
    """

    def __init__(self) -> None:
        is_leader = os.getsid(0) == os.getpid() and _AUTOGROUP.exists()
        self._base = self._current = self._target = int(_AUTOGROUP.read_text().split()[-1]) if is_leader else _MAX_NICENESS

    def set_niceness(self, niceness: int) -> None:
        """Give way as a thread of ``niceness`` does, or as always if that is further.

        The session's niceness is twice that: all processes of another session and all its cores share one weight, so
        that the services' many processes would have little more of a core than a single worker.
        """
        self._target = max(min(2 * niceness, _MAX_NICENESS), self._base)
        self.apply()

    def apply(self) -> bool:
        """Try again what the kernel had refused because another process changed its own at that moment; False where it
        still does.
        """
        if self._target != self._current:
            try:
                _AUTOGROUP.write_text(str(self._target))
            except BlockingIOError:
                return False
            self._current = self._target
        return True


@cache
def session_niceness() -> SessionNiceness:
    """The one of this process, as it was when first asked for."""
    return SessionNiceness()


def start_session(niceness: int) -> None:
    """Make this process the leader of a session of its own, one that gives way as a thread of ``niceness`` does.

    One that can't be stays where it is.
    """
    try:
        os.setpgid(0, os.getpgid(os.getppid()))  # the leader of a process group can't begin a session
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
