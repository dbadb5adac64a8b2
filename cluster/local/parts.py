"""A part of the local stack: one server, its command, and its health probes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local import sessions
from cluster.local.probes import find_failure
from cluster.local.sessions import Session


class PartFailed(Exception):
    """A part could not start; the message contains its name, the reason and its log.

    ``status``: the exit status of its first process (-N: killed by signal N), None if it did not exit by itself.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Part:
    """How to run one server.

    ``probes``: addresses that all answer when the part is healthy (see :mod:`cluster.local.probes`). ``prepare``:
    called before every start. ``set_up``: creates its databases or topics once the probes answer; called after every
    start, raises PartFailed. ``needs``: names of the parts that must run first; when one of them restarts, so does
    this one. ``after``: parts that must run when it starts and may fail later. ``env``: added to the environment; None
    removes a variable. ``stop_signal``: the signal for a graceful stop; ``grace_s``: from then to SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    address: str
    version: str
    log: Path
    probes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    ready_timeout_s: float = 60.0
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    prepare: Callable[[], None] | None = None
    set_up: Callable[[], None] | None = None


def start(part: Part) -> Session:
    """Start the part and wait until it is ready; raises PartFailed, with the part stopped."""
    session = spawn(part)
    wait_until_ready(part, session)
    return session


def spawn(part: Part) -> Session:
    """Start the part's program; raises PartFailed if it can't be executed."""
    if part.prepare is not None:
        part.prepare()
    try:
        return sessions.start(part.argv, part.log, part.env)
    except OSError as error:
        raise PartFailed(f"{part.name} could not start: {error}; its log: {part.log}") from error


def wait_until_ready(part: Part, session: Session, stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until the part's probes answer, and set it up.

    Raises :class:`PartFailed`, with the part stopped, if it exits, times out, or ``stopping()`` becomes true.
    """
    started_at = time.monotonic()
    try:
        while not is_ready(part, session, started_at):
            if stopping():
                raise PartFailed(f"{part.name} was stopped before it was ready")
            time.sleep(0.1)
    except BaseException:
        sessions.stop(session, grace_s=0)
        raise


def is_ready(part: Part, session: Session, started_at: float) -> bool:
    """Return whether the part's probes answer now; if so, set it up.

    Raises :class:`PartFailed` if it has exited, or is not ready ``ready_timeout_s`` after ``started_at`` (monotonic).
    """
    failure = find_failure(part.probes)
    if failure is None:
        if part.set_up:
            part.set_up()
        return True
    status = sessions.reap(session)
    if status is not None:
        raise PartFailed(
            f"{part.name} could not start: {_describe_exit(status, part.log)}; its log: {part.log}", status
        )
    if time.monotonic() > started_at + part.ready_timeout_s:
        raise PartFailed(
            f"{part.name} was not ready within {part.ready_timeout_s:.0f} s: {failure}; its log: {part.log}"
        )
    return False


def _describe_exit(status: int, log: Path) -> str:
    outcome = f"it was killed by signal {-status}" if status < 0 else f"it exited with status {status}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f'{outcome}, last output "{lines[-1][:300]}"' if lines else f"{outcome} without output"
