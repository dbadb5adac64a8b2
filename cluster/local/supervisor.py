"""Supervises the parts of the stack: start them in order, restart those that exit, stop all in reverse order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.local import parts, sessions
from cluster.local.parts import Part, PartFailed
from cluster.local.sessions import Session
from cluster.local.state import PartState

POLL_INTERVAL_S = 0.25
MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.5, 30.0
# A part that was killed by a signal is able to run: only one that exits by itself, with a status, may wait longer.
MAX_RESTART_DELAY_AFTER_SIGNAL_S = 5.0
EXIT_STATUS_TIMEOUT_S = 2.0
# A part that ran this long had recovered: its next exit is a new failure and is handled without delay.
RECOVERED_S = 60.0


@dataclass(slots=True)
class SupervisedPart:
    """A part under supervision: its session while it runs, and when it may next be started (monotonic seconds)."""

    part: Part
    session: Session | None = None
    ready: bool = False
    restarts: int = 0
    delay_s: float = MIN_RESTART_DELAY_S
    started_at: float = 0.0
    next_start: float = 0.0


def restart_delay(previous_s: float, recovered: bool, status: int | None) -> float:
    """Return the seconds to wait before an exited part is restarted.

    The delay doubles from ``previous_s``, up to 30 s, or up to 5 s if a signal killed the part (``status`` < 0, as
    :func:`sessions.reap` returns it; None: unknown). ``recovered``: the part had run long enough to reset the delay.
    """
    if recovered:
        return MIN_RESTART_DELAY_S
    killed = status is not None and status < 0
    return min(previous_s * 2, MAX_RESTART_DELAY_AFTER_SIGNAL_S if killed else MAX_RESTART_DELAY_S)


def _exit_status(session: Session) -> int | None:
    # A process with many threads (a Java one) is a zombie, without a status yet, until its last thread has exited.
    deadline = time.monotonic() + EXIT_STATUS_TIMEOUT_S
    while (status := sessions.reap(session)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return status


class Supervisor:
    """Runs ``stack_parts``; calls ``publish`` with their states whenever one changes.

    ``held(name)``: whether a part is held. A held part is not restarted after it has exited; a running one is left
    alone. It restarts at the first poll after its release, without delay.
    """

    def __init__(
        self,
        stack_parts: Sequence[Part],
        publish: Callable[[tuple[PartState, ...]], None],
        stopping: Callable[[], bool],
        held: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self._parts = [SupervisedPart(part) for part in stack_parts]
        self._publish = publish
        self._stopping = stopping
        self._held = held

    def start(self) -> None:
        """Start every part, those with the same dependencies concurrently.

        Raises PartFailed if one can't start, or if a stop was requested meanwhile.
        """
        self._publish_states()
        while waiting := [entry for entry in self._parts if not entry.ready]:
            ready = {entry.part.name for entry in self._parts if entry.ready}
            wave = [entry for entry in waiting if ready.issuperset({*entry.part.needs, *entry.part.after})]
            for entry in wave:
                self._spawn(entry)
            for entry in wave:
                self._wait_until_ready(entry)

    def watch(self) -> None:
        """Restart parts that exit, after the delays of :func:`restart_delay`, until a stop is requested."""
        while not self._stopping():
            self._poll()
            time.sleep(POLL_INTERVAL_S)

    def stop_all(self) -> None:
        """Stop every part, the last one first."""
        for entry in reversed(self._parts):
            self._stop_part(entry)
        self._publish_states()

    def _poll(self) -> None:
        """Poll once without blocking, so that several parts can restart concurrently."""
        now = time.monotonic()
        for entry in self._parts:
            if entry.ready and entry.session and not sessions.alive(entry.session):
                status = _exit_status(entry.session)
                name = entry.part.name
                held = ", held: not restarted until its release" if self._held(name) else ""
                print(f"{name} exited (status {status}){held}; its log: {entry.part.log}", file=sys.stderr)
                self._handle_exit(entry, now, status)
        running = {entry.part.name for entry in self._parts if entry.ready}
        for entry in self._parts:
            if self._stopping():
                return
            dependencies = {*entry.part.needs, *entry.part.after}
            try:
                if entry.session is None and self._may_start(entry, now) and running.issuperset(dependencies):
                    self._spawn(entry)
                if entry.session and not entry.ready and parts.is_ready(entry.part, entry.session, entry.started_at):
                    entry.ready = True
                    running.add(entry.part.name)
                    self._publish_states()
                    print(f"{entry.part.name} has restarted", file=sys.stderr)
            except PartFailed as error:
                print(error, file=sys.stderr)
                self._handle_exit(entry, time.monotonic(), error.status)

    def _may_start(self, entry: SupervisedPart, now: float) -> bool:
        if self._held(entry.part.name):
            entry.next_start = now
            return False
        return now >= entry.next_start

    def _handle_exit(self, exited: SupervisedPart, now: float, status: int | None) -> None:
        """Stop the remains of a part and the parts that need it, and schedule their restart."""
        recovered = exited.session is not None and now - exited.started_at > RECOVERED_S
        exited.delay_s = restart_delay(exited.delay_s, recovered, status)
        exited.next_start = now + exited.delay_s
        exited.restarts += 1
        self._stop_part(exited)
        for entry in self._parts:
            if exited.part.name in entry.part.needs and entry.session:
                entry.restarts += 1
                self._stop_part(entry)
        self._publish_states()

    def _spawn(self, entry: SupervisedPart) -> None:
        entry.session = parts.spawn(entry.part)
        entry.started_at = time.monotonic()
        self._publish_states()  # before it is ready, so that it can be cleaned up if this process dies

    def _wait_until_ready(self, entry: SupervisedPart) -> None:
        assert entry.session is not None
        parts.wait_until_ready(entry.part, entry.session, self._stopping)
        entry.ready = True
        self._publish_states()

    def _stop_part(self, entry: SupervisedPart) -> None:
        if entry.session:
            sessions.stop(entry.session, entry.part.grace_s, entry.part.stop_signal)
            entry.session, entry.ready = None, False

    def _publish_states(self) -> None:
        states = (PartState.from_part(entry.part, entry.session, entry.ready, entry.restarts) for entry in self._parts)
        self._publish(tuple(states))
