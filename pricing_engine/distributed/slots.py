"""How many calculations may be in flight: express and ordinary ones apart, what runs long apart from both, and of each
owner never so many that another's could not start.

Pure: the cluster's size and the clock come in as functions.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pricing_engine.distributed.limits import LONG_S

LONG_PER_CPU = 3
"""Express calculations that may run long at the same time; one more starts again as an ordinary one."""

_HANDOVER_S = 0.01  # from the end of a calculation to the beginning of one that waits in the dispatcher
_MAX_PREFETCHED = 15  # a CPU
_EXPRESS_RESERVE_S = 1.0  # a CPU after an express job, for the next
_SMOOTHING = 8  # calculations
_LONG_OWNER_TTL_S = 10.0  # after an owner's calculation has run long


class SlotKind(Enum):
    """What a calculation counts as."""

    EXPRESS = "express"
    ORDINARY = "ordinary"
    LONG = "long"
    """Began as express and has run for LONG_S: it has ordinary niceness and holds no express slot."""


@dataclass(eq=False, slots=True)
class Slot:
    """A calculation in flight.

    ``reserved``: it has the place that is kept for an owner who has none. ``stopping``: it is being stopped.
    """

    owner: str
    kind: SlotKind
    reserved: bool
    started_at: float
    stopping: bool = False


class Slots:
    """Calculations in flight. All operations are O(slots), a few for each CPU, or better."""

    def __init__(self, cpus: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._cpus, self._clock = cpus, clock
        self._taken: dict[SlotKind, dict[Slot, None]] = {kind: {} for kind in SlotKind}  # in the order they began
        self._last_express_at = float("-inf")  # when one was last in flight
        self._mean_seconds = 1.0  # that a calculation takes, smoothed
        self._last_long_at: dict[str, float] = {}  # by owner: when one last began or ended to run long, the latest last

    def __len__(self) -> int:
        return sum(map(len, self._taken.values()))

    def taken(self, kind: SlotKind) -> int:
        """How many calculations of ``kind`` are in flight."""
        return len(self._taken[kind])

    def capacity(self) -> int:
        """How many express ones, and how many others, may be in flight: for each CPU one that runs and so many at hand
        that the next is there when it ends, more where they are short.
        """
        prefetched = 1 + int(_HANDOVER_S / max(self._mean_seconds, 1e-4))
        return self._cpus() * (1 + min(prefetched, _MAX_PREFETCHED))

    def is_free(self, kind: SlotKind) -> bool:
        """Whether anybody's calculation may start in ``kind``."""
        return len(self._taken[kind]) < (self.capacity() if kind is SlotKind.EXPRESS else self._ordinary_capacity())

    def owners_in_flight(self, kind: SlotKind) -> set[str] | None:
        """Where ``kind`` is full: the owners who have something in flight, any other may start one calculation more.

        None where nobody may: somebody has that place already, or an ordinary slot is about to be free.
        """
        slots = self._taken[kind]
        if any(slot.reserved for slot in slots):
            return None
        if kind is SlotKind.ORDINARY and not self._all_are_long():
            return None
        long_slots = self._taken[SlotKind.LONG] if kind is SlotKind.ORDINARY else {}
        return {slot.owner for slot in (*slots, *long_slots)}

    def take(self, owner: str, kind: SlotKind, reserved: bool = False) -> Slot:
        """A slot for a calculation that begins."""
        slot = Slot(owner, kind, reserved, self._clock())
        self._taken[kind][slot] = None
        return slot

    def release(self, slot: Slot, seconds: float | None = None) -> None:
        """The calculation has ended, after ``seconds`` on its worker if it went well."""
        del self._taken[slot.kind][slot]
        if slot.kind is SlotKind.LONG:
            self._record_long(slot.owner)
        if seconds is not None:
            self._mean_seconds += (seconds - self._mean_seconds) / _SMOOTHING

    def mark_long(self, slot: Slot) -> Slot | None:
        """An express calculation runs long: it leaves its slot to the next.

        Where too many do, gives the one that has to end: of the owners who have most of them, the one that has run
        longest, for that is the least likely to end soon.
        """
        if slot.kind is not SlotKind.EXPRESS:
            return None
        del self._taken[SlotKind.EXPRESS][slot]
        slot.kind, slot.reserved = SlotKind.LONG, False
        self._taken[SlotKind.LONG][slot] = None
        self._record_long(slot.owner)
        running = [each for each in self._taken[SlotKind.LONG] if not each.stopping]
        if len(running) <= LONG_PER_CPU * self._cpus():
            return None
        counts = Counter(each.owner for each in running)
        max_count = max(counts.values())
        preempted = next(each for each in running if counts[each.owner] == max_count)
        preempted.stopping = True
        return preempted

    def has_long_work(self, owner: str) -> bool:
        """Whether a calculation of ``owner`` runs long or did a moment ago: the next one probably will."""
        if any(slot.owner == owner for slot in self._taken[SlotKind.LONG]):
            return True
        return self._clock() - self._last_long_at.get(owner, float("-inf")) <= _LONG_OWNER_TTL_S

    def _record_long(self, owner: str) -> None:
        now = self._clock()
        self._last_long_at.pop(owner, None)
        self._last_long_at[owner] = now
        while now - next(iter(self._last_long_at.values())) > _LONG_OWNER_TTL_S:
            del self._last_long_at[next(iter(self._last_long_at))]

    def _ordinary_capacity(self) -> int:
        """How many ordinary ones may be in flight: while express jobs come, a CPU for each of those stays free, for a
        core that calculates beside another, or in turn with it, is slower. What runs long takes ordinary slots. One CPU
        always goes on with ordinary work.
        """
        express, capacity = len(self._taken[SlotKind.EXPRESS]), self.capacity()
        if express:
            self._last_express_at = self._clock()
        if express or self._clock() - self._last_express_at <= _EXPRESS_RESERVE_S:
            capacity = self._cpus() - max(1, express)
        return max(1, capacity - len(self._taken[SlotKind.LONG]))

    def _all_are_long(self) -> bool:
        """Whether no ordinary slot was taken lately, so that none may be free soon."""
        latest = next(reversed(self._taken[SlotKind.ORDINARY]), None)
        return latest is None or self._clock() - latest.started_at >= LONG_S
