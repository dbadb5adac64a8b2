"""Keeps the parts of the stack running: starts them in order, starts anew what dies, ends all in reverse order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.local import parts, sessions
from cluster.local.parts import Part, PartFailed
from cluster.local.sessions import Session
from cluster.local.state import PartState

LOOK_EVERY_S = 0.25
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
# A part that a signal killed is able to run: only one that ends by itself, with a status, may wait longer.
LONGEST_PAUSE_AFTER_SIGNAL_S = 5.0
STATUS_WITHIN_S = 2.0
# A part that ran this long had recovered: its next end is a new failure and is mended at once.
RECOVERED_S = 60.0


@dataclass(slots=True)
class Watched:
    """A part under supervision: its session while it runs, and when it may be started next (monotonic seconds)."""

    part: Part
    session: Session | None = None
    ready: bool = False
    restarts: int = 0
    pause_s: float = FIRST_PAUSE_S
    began: float = 0.0
    next_start: float = 0.0


def pause_after(previous_s: float, recovered: bool, status: int | None) -> float:
    """Return the seconds to wait before a part that ended is started again.

    The pause doubles from ``previous_s``, up to 30 s, or up to 5 s where a signal ended the part (``status`` < 0, as
    :func:`sessions.reap` returns it; None: unknown). ``recovered``: the part had run long enough to start afresh.
    """
    if recovered:
        return FIRST_PAUSE_S
    killed = status is not None and status < 0
    return min(previous_s * 2, LONGEST_PAUSE_AFTER_SIGNAL_S if killed else LONGEST_PAUSE_S)


def _exit_status(session: Session) -> int | None:
    # A process of many threads (a Java one) is a zombie, and has no status yet, until the last thread has ended.
    deadline = time.monotonic() + STATUS_WITHIN_S
    while (status := sessions.reap(session)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return status


class Supervisor:
    """Runs the parts ``asked``; ``publish`` is called with their states whenever one changes.

    ``held(name)``: whether operations keep a part down. A held part is not started again after it has ended; a running
    one is left alone. It starts at the first poll after it is released, without a pause.
    """

    def __init__(
        self,
        asked: Sequence[Part],
        publish: Callable[[tuple[PartState, ...]], None],
        stopping: Callable[[], bool],
        held: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self._watched = [Watched(part) for part in asked]
        self._publish = publish
        self._stopping = stopping
        self._held = held

    def start(self) -> None:
        """Start every part, those that wait for the same others at once.

        Raises PartFailed where one can't start, or where stopping was asked meanwhile.
        """
        self._tell()
        while waiting := [watched for watched in self._watched if not watched.ready]:
            ready = {watched.part.name for watched in self._watched if watched.ready}
            wave = [watched for watched in waiting if ready.issuperset({*watched.part.needs, *watched.part.after})]
            for watched in wave:
                self._spawn(watched)
            for watched in wave:
                self._await(watched)

    def watch(self) -> None:
        """Start anew what ends, after the pauses of :func:`pause_after`, until stopping is asked."""
        while not self._stopping():
            self._mend()
            time.sleep(LOOK_EVERY_S)

    def end(self) -> None:
        """End every part, the last one first."""
        for watched in reversed(self._watched):
            self._end(watched)
        self._tell()

    def _mend(self) -> None:
        """One look: nothing is waited for, so that what dies while another part comes back is mended beside it."""
        now = time.monotonic()
        for watched in self._watched:
            if watched.ready and watched.session and not sessions.alive(watched.session):
                status = _exit_status(watched.session)
                name = watched.part.name
                held = ", held: not started again until it is released" if self._held(name) else ""
                print(f"{name} ended (status {status}){held}; its log: {watched.part.log}", file=sys.stderr)
                self._fall(watched, now, status)
        running = {watched.part.name for watched in self._watched if watched.ready}
        for watched in self._watched:
            if self._stopping():
                return
            first = {*watched.part.needs, *watched.part.after}
            try:
                if watched.session is None and self._may_start(watched, now) and running.issuperset(first):
                    self._spawn(watched)
                if (
                    watched.session
                    and not watched.ready
                    and parts.is_ready(watched.part, watched.session, watched.began)
                ):
                    watched.ready = True
                    running.add(watched.part.name)
                    self._tell()
                    print(f"{watched.part.name} runs again", file=sys.stderr)
            except PartFailed as error:
                print(error, file=sys.stderr)
                self._fall(watched, time.monotonic(), error.status)

    def _may_start(self, watched: Watched, now: float) -> bool:
        if self._held(watched.part.name):
            watched.next_start = now
            return False
        return now >= watched.next_start

    def _fall(self, fallen: Watched, now: float, status: int | None) -> None:
        """End what is left of a part and of those that need it, and set when each is started anew."""
        recovered = fallen.session is not None and now - fallen.began > RECOVERED_S
        fallen.pause_s = pause_after(fallen.pause_s, recovered, status)
        fallen.next_start = now + fallen.pause_s
        fallen.restarts += 1
        self._end(fallen)
        for watched in self._watched:
            if fallen.part.name in watched.part.needs and watched.session:
                watched.restarts += 1
                self._end(watched)
        self._tell()

    def _spawn(self, watched: Watched) -> None:
        watched.session = parts.spawn(watched.part)
        watched.began = time.monotonic()
        self._tell()  # before it is ready: what was started must be known to whoever cleans up, should this process die

    def _await(self, watched: Watched) -> None:
        assert watched.session is not None
        parts.wait_until_ready(watched.part, watched.session, self._stopping)
        watched.ready = True
        self._tell()

    def _end(self, watched: Watched) -> None:
        if watched.session:
            sessions.end(watched.session, watched.part.grace_s, watched.part.end_by)
            watched.session, watched.ready = None, False

    def _tell(self) -> None:
        self._publish(tuple(PartState.of(one.part, one.session, one.ready, one.restarts) for one in self._watched))
