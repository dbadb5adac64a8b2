"""Ends servers when the process that started it is gone, however that ended: SIGKILL and time limits included.

A small process of its own session that waits at a pipe. Its other end is held by the owner alone and closed by the
kernel when the owner dies; then every session that was named over the pipe is ended and what was temporary removed.
The owner ends its servers in the same way, by closing the pipe: there is one way out, and it is always tried.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.local import sessions
from cluster.local.sessions import Session


class Reaper:
    """Watches over this process; the files and folders ``temporary`` are removed at the end."""

    def __init__(self, *temporary: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, temporary)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._sessions: list[Session] = []

    def watch(self, session: Session) -> None:
        """End ``session`` at the end."""
        assert self._process.stdin is not None
        self._sessions.append(session)
        self._process.stdin.write(f"{session.pid} {session.began!r}\n".encode())
        self._process.stdin.flush()

    def end(self) -> None:
        """End all sessions, the last one first, and return when nothing of them lives."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if status := self._process.wait():
            raise RuntimeError(f"the guardian of local servers failed (status {status}); its words are on stderr")
        for session in self._sessions:
            sessions.reap(session)


def main(temporary: Sequence[Path]) -> None:
    """Wait until the pipe closes, then clear up."""
    named = [Session(int(pid), float(began)) for pid, began in (line.split() for line in sys.stdin)]
    for session in reversed(named):
        sessions.end(session, grace_s=0)
    for path in temporary:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
