"""A part of the local stack: one server, how it is started, and how one sees that it is well."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cluster.local import sessions
from cluster.local.sessions import Session

# A healthy server answers a probe in milliseconds; one that takes longer than this is told as unhealthy.
PROBE_TIMEOUT_S = 3.0


class PartFailed(Exception):
    """A part could not start: says which, why and where its log is."""


@dataclass(frozen=True, slots=True)
class Part:
    """How one server is run.

    ``probes``: addresses that must all answer when the part is well, ``http://host:port/path`` (status 200) or
    ``tcp://host:port`` (accepts). ``needs``: names of the parts that must run first; when one of them is started anew,
    so is this one. ``env``: added to the environment, None takes a variable away. ``grace_s``: from SIGTERM to SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    address: str
    version: str
    log: Path
    probes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    ready_within_s: float = 60.0
    grace_s: float = 10.0


def start(part: Part) -> Session:
    """Start the part and wait until it is ready; raises PartFailed, and then nothing of it runs."""
    session = spawn(part)
    wait_until_ready(part, session)
    return session


def spawn(part: Part) -> Session:
    """Start the part's program; raises PartFailed where there is none."""
    try:
        return sessions.start(part.argv, part.log, part.env)
    except OSError as error:
        raise PartFailed(f"{part.name} could not start: {error}; its log: {part.log}") from error


def wait_until_ready(part: Part, session: Session, stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until the part's probes answer.

    Raises :class:`PartFailed` where it ends, is not ready in time, or ``stopping()`` before; nothing of it runs then.
    """
    deadline = time.monotonic() + part.ready_within_s
    try:
        while (why := ailment(part.probes)) is not None:
            status = sessions.reap(session)
            if status is not None:
                raise PartFailed(f"{part.name} could not start: {_ending(status, part.log)}; its log: {part.log}")
            if stopping():
                raise PartFailed(f"{part.name} was stopped before it was ready")
            if time.monotonic() > deadline:
                raise PartFailed(
                    f"{part.name} was not ready within {part.ready_within_s:.0f} s: {why}; its log: {part.log}"
                )
            time.sleep(0.1)
    except BaseException:
        sessions.end(session, grace_s=0)
        raise


def ailment(probes: tuple[str, ...]) -> str | None:
    """What is wrong with the first probe that does not answer, in a few words; None when all do."""
    for probe in probes:
        target = urlsplit(probe)
        host, port = target.hostname or "", target.port or 0
        try:
            if target.scheme == "tcp":
                socket.create_connection((host, port), PROBE_TIMEOUT_S).close()
                continue
            connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
            connection.request("GET", target.path)
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            return f"{probe} does not answer ({type(error).__name__})"
        if status != http.client.OK:
            return f"{probe} answers {status}"
    return None


def _ending(status: int, log: Path) -> str:
    how = f"signal {-status} ended it" if status < 0 else f"it ended with status {status}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f'{how} after saying "{lines[-1][:300]}"' if lines else f"{how} without a word"
