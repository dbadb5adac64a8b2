"""Long faults in a running stack: outages, hangs and full disks, one after the other, without overlap."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local.state import Folder
from tests.support.chaos import progress, strikes
from tests.support.chaos.intervals import Interval
from tests.support.chaos.schedule import FULL_DISK, HANG, OUTAGE, SERVERS, Fault
from tests.support.disks import SmallDisk

POLL_INTERVAL_S = 0.1
READY_WITHIN_S = 180.0
MOVED_WITHIN_S = 120.0
KILL_FREE_S = 15.0
"""No process is killed for this time before the end of an outage, nor until every partition moves again after it: so
the recovery from the outage is measured, and not from a concurrent kill."""
_VICTIM_WITHIN_S = 15.0
_VICTIM_WITHIN_S = 60.0
_GAP_S = (1.0, 4.0)


@dataclass(slots=True)
class Injected:
    """An injected fault: ``began`` and ``ended`` in seconds since the epoch, ``hit`` what was hit.

    ``ready_after_s``: from its end until the state file reported every part of the stack ready. ``moved_after_s``: from
    then until every partition had moved, ``moved_last`` at the end; None if that was not measured, or did not happen
    in time (``stuck``).
    """

    fault: Fault
    hit: str
    began: float
    ended: float = 0.0
    outcome: str = ""
    ready_after_s: float | None = None
    moved_after_s: float | None = None
    moved_last: str = ""
    stuck: str = ""


class DownTimes:
    """Watch the state file in a thread and record the times at which each server was not ready."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._since: dict[str, float] = {}
        self._past: dict[str, list[Interval]] = {name: [] for name in SERVERS}
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(1, "down-times")
        self._watching: Future[None] | None = None

    def __enter__(self) -> DownTimes:
        self._watching = self._pool.submit(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        assert self._watching is not None
        self._watching.result()
        self._pool.shutdown()

    def of(self, part: str) -> list[Interval]:
        """Return the times at which ``part`` was not ready, the current one included."""
        since = self._since.get(part)
        return [*self._past[part], *([(since, time.time())] if since is not None else [])]

    def _watch(self) -> None:
        while not self._closing.wait(POLL_INTERVAL_S):
            state = self._folder.read()
            ready = {part.name for part in state.parts if part.ready} if state else set()
            for name in SERVERS:
                if name not in ready:
                    self._since.setdefault(name, time.time())
                elif (since := self._since.pop(name, None)) is not None:
                    self._past[name].append((since, time.time()))


@dataclass
class Injector:
    """Inject faults into the stack of ``folder``; ``disks``: those that can be filled."""

    folder: Folder
    bootstrap: str
    disks: Mapping[str, SmallDisk]
    chance: random.Random
    down_times: DownTimes
    injected: list[Injected] = field(default_factory=list)
    not_hit: list[str] = field(default_factory=list)
    busy: frozenset[str] = frozenset()
    """Servers that a fault affects now: kills choose other victims."""
    kills_allowed: threading.Event = field(default_factory=threading.Event)
    aborted: threading.Event = field(default_factory=threading.Event)
    """Set to abort: the current fault ends at once, and no other starts."""

    def __post_init__(self) -> None:
        self.kills_allowed.set()

    def run(self, required: Sequence[Fault], more: Iterable[Fault], until: float) -> None:
        """Inject every fault of ``required``, then ``more`` of them until the time ``until`` (monotonic seconds)."""
        for fault in required:
            self._inject(fault)
        for fault in more:
            if time.monotonic() + fault.seconds > until:
                return
            self._inject(fault)

    def _inject(self, fault: Fault) -> None:
        if self.aborted.wait(self.chance.uniform(*_GAP_S)):
            return
        self.busy = frozenset(fault.parts) & frozenset(SERVERS)
        try:
            inject = {OUTAGE: self._outage, HANG: self._hang, FULL_DISK: self._full_disk}[fault.kind]
            give_up = time.monotonic() + _VICTIM_WITHIN_S
            # A kill may have ended the victim just now: it is restarted.
            while (found := inject(fault)) is None and time.monotonic() < give_up and not self.aborted.wait(0.5):
                pass
            if found is None:
                self.not_hit.append(f"{fault.name}: no victim was found")
                return
            found.ended = found.ended or time.time()
            self.injected.append(found)
            if set(fault.parts) & {"postgresql", "kafka"} or fault.kind == OUTAGE:
                self._measure(found)
            after = f"; ready after {found.ready_after_s} s, {found.stuck or f'moving {found.moved_after_s} s later'}"
            print(f"{fault.name}: {found.hit}, {found.ended - found.began:.1f} s, {found.outcome}"
                  f"{after if found.ready_after_s is not None else ''}", flush=True)  # fmt: skip
        finally:
            self.busy = frozenset()
            self.kills_allowed.set()

    def _outage(self, fault: Fault) -> Injected | None:
        self._await_ready()
        victims = [strikes.VICTIMS[part](self.folder, self.chance) for part in fault.parts]
        if None in victims:
            return None
        for part in fault.parts:
            self.folder.hold(part)
        try:
            found = Injected(fault, " and ".join(fault.parts), time.time(), outcome="killed and kept down")
            for victim in victims:
                assert victim is not None
                strikes.kill(victim)
            self.aborted.wait(max(0.0, fault.seconds - KILL_FREE_S))
            self.kills_allowed.clear()
            self.aborted.wait(min(fault.seconds, KILL_FREE_S))
            restarted = [
                part for part in fault.parts if (state := strikes.part_state(self.folder, part)) and state.ready
            ]
            assert not restarted, f"{restarted} restarted although they were held"
        finally:
            for part in fault.parts:
                self.folder.release(part)
        found.ended = time.time()
        return found

    def _hang(self, fault: Fault) -> Injected | None:
        (part,) = fault.parts
        deadline = time.monotonic() + (READY_WITHIN_S if part in SERVERS else _VICTIM_WITHIN_S)
        while (victim := strikes.VICTIMS[part](self.folder, self.chance)) is None:
            if time.monotonic() > deadline or self.aborted.wait(POLL_INTERVAL_S):
                return None
        if part in SERVERS:
            self.kills_allowed.clear()
        found = Injected(fault, victim.name, time.time())
        with strikes.hung(victim) as processes:
            end = time.monotonic() + fault.seconds
            while time.monotonic() < end and victim.processes() and not self.aborted.wait(POLL_INTERVAL_S):
                pass
            resumed = bool(victim.processes())
        found.ended = time.time()
        found.outcome = (
            f"{processes} processes stopped, {'resumed' if resumed else 'ended meanwhile (killed or replaced)'}"
        )
        return found

    def _full_disk(self, fault: Fault) -> Injected | None:
        (name,) = fault.parts
        if name == "kafka":
            self._await_ready()
            self.kills_allowed.clear()
        disk = self.disks[name]
        found = Injected(fault, f"disk of {name}", time.time())
        try:
            end = time.monotonic() + fault.seconds
            while time.monotonic() < end and not self.aborted.wait(POLL_INTERVAL_S):
                disk.fill()
        finally:
            disk.free()
        found.ended = time.time()
        if name == "kafka":
            ended = [end for _, end in self.down_times.of("kafka") if end >= found.began]
            found.outcome = "the broker ended" if ended else "the broker continued"
        else:
            unfinished = len(list(disk.folder.glob("incoming-*")))
            found.outcome = f"{unfinished} unfinished uploads when it was freed"
        return found

    def _measure(self, found: Injected) -> None:
        """Wait until all parts are ready, then until every partition moves."""
        self.kills_allowed.clear()
        began = time.monotonic()
        self._await_ready()
        ready = time.monotonic()
        found.ready_after_s = round(ready - began, 2)
        moved = progress.wait_until_moved(self.bootstrap, ready, MOVED_WITHIN_S)
        if moved.seconds is None:
            found.stuck = _describe(moved.behind) or "the broker did not answer"
        else:
            found.moved_after_s = round(moved.seconds, 2)
            found.moved_last = _describe(moved.last)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while away := self._not_ready():
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN_S} s: {', '.join(away)}"
            time.sleep(POLL_INTERVAL_S)

    def _not_ready(self) -> list[str]:
        state = self.folder.read()
        return ["the stack"] if state is None else [part.name for part in state.parts if not part.ready]


def _describe(behind: progress.Behind) -> str:
    return ", ".join(f"{group} at {topic}-{n}: {left}" for (group, (topic, n)), left in behind.items())


def disk_folders(folder: Path, model_bytes: int) -> dict[str, tuple[Path, int]]:
    """Return where the small disks of a stack in ``folder`` go, and how many bytes each has."""
    data = Folder(folder / ".facet" / "stack").data
    return {"kafka": (data / "kafka" / "data", 256 << 20), "models": (data / "models", model_bytes)}
