"""Stop servers when the process that started them exits, for whatever reason: SIGKILL and time limits included.

The reaper is a small process in its own session that waits on a pipe. Only the owner holds the other end, which the
kernel closes when the owner dies; then the reaper stops every session that was sent over the pipe and removes the
temporary files. The owner stops its servers in the same way, by closing the pipe, so there is only one code path.
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
    """The reaper of this process's servers; removes the files and folders ``temporary`` at the end."""

    def __init__(self, *temporary: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, temporary)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._sessions: list[Session] = []

    def watch(self, session: Session) -> None:
        """Add ``session`` to those to stop at the end."""
        assert self._process.stdin is not None
        self._sessions.append(session)
        self._process.stdin.write(f"{session.pid} {session.start_time!r}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """Stop all sessions, the last one first, and return once none of their processes is alive."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if status := self._process.wait():
            raise RuntimeError(f"the reaper of local servers failed (status {status}); its error is on stderr")
        for session in self._sessions:
            sessions.reap(session)


def main(temporary: Sequence[Path]) -> None:
    """Wait until the pipe closes, then clean up."""
    received = [Session(int(pid), float(start_time)) for pid, start_time in (line.split() for line in sys.stdin)]
    for session in reversed(received):
        sessions.stop(session, grace_s=0)
    for path in temporary:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
