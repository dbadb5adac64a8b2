"""A part of the local stack: one server, how it is started, and how one sees that it is well."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local import sessions
from cluster.local.probes import ailment
from cluster.local.sessions import Session


class PartFailed(Exception):
    """A part could not start: says which, why and where its log is.

    ``status``: the exit status of its first process (-N: ended by signal N), None where it did not end by itself.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Part:
    """How one server is run.

    ``probes``: addresses that must all answer when the part is well (see :mod:`cluster.local.probes`). ``prepare`` is
    called before every start. ``set_up``: what
    makes it complete once they do, its databases or topics; called after every start, raises PartFailed. ``needs``:
    names of the parts that must run first; when one of them is started anew, so is this one. ``after``: those that must
    run when it starts, and may be away later. ``env``: added to the environment, None takes a variable away.
    ``end_by``: the signal that ends it in order; ``grace_s``: from then to SIGKILL.
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
    ready_within_s: float = 60.0
    end_by: int = signal.SIGTERM
    grace_s: float = 10.0
    prepare: Callable[[], None] | None = None
    set_up: Callable[[], None] | None = None


def start(part: Part) -> Session:
    """Start the part and wait until it is ready; raises PartFailed, and then nothing of it runs."""
    session = spawn(part)
    wait_until_ready(part, session)
    return session


def spawn(part: Part) -> Session:
    """Start the part's program; raises PartFailed where there is none."""
    if part.prepare is not None:
        part.prepare()
    try:
        return sessions.start(part.argv, part.log, part.env)
    except OSError as error:
        raise PartFailed(f"{part.name} could not start: {error}; its log: {part.log}") from error


def wait_until_ready(part: Part, session: Session, stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until the part's probes answer, and set it up.

    Raises :class:`PartFailed` where it ends, is not ready in time, or ``stopping()`` before; nothing of it runs then.
    """
    began = time.monotonic()
    try:
        while not is_ready(part, session, began):
            if stopping():
                raise PartFailed(f"{part.name} was stopped before it was ready")
            time.sleep(0.1)
    except BaseException:
        sessions.end(session, grace_s=0)
        raise


def is_ready(part: Part, session: Session, began: float) -> bool:
    """Whether the part's probes answer now; it is set up then.

    Raises :class:`PartFailed` where it has ended, or is not ready ``ready_within_s`` after ``began`` (monotonic).
    """
    why = ailment(part.probes)
    if why is None:
        if part.set_up:
            part.set_up()
        return True
    status = sessions.reap(session)
    if status is not None:
        raise PartFailed(f"{part.name} could not start: {_ending(status, part.log)}; its log: {part.log}", status)
    if time.monotonic() > began + part.ready_within_s:
        raise PartFailed(f"{part.name} was not ready within {part.ready_within_s:.0f} s: {why}; its log: {part.log}")
    return False


def _ending(status: int, log: Path) -> str:
    how = f"signal {-status} ended it" if status < 0 else f"it ended with status {status}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f'{how} after saying "{lines[-1][:300]}"' if lines else f"{how} without a word"
