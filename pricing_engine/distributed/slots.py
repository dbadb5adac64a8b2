"""Slots bound the calculations in flight: separate ones for express, ordinary and long-running calculations.

No owner can take so many that another's calculation could not start. Pure: the cluster's size and the clock are passed
in as functions.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pricing_engine.distributed.limits import LONG_S

LONG_PER_CPU = 3
"""Express calculations that may run long at the same time; one more is restarted as an ordinary one."""

_HANDOVER_S = 0.01  # from the end of a calculation to the start of one that waits in the dispatcher
_MAX_PREFETCHED = 15  # per CPU
_EXPRESS_RESERVE_S = 1.0  # a CPU stays free this long after an express job, for the next
_SMOOTHING = 8  # calculations
_LONG_OWNER_TTL_S = 10.0  # after an owner's calculation has run long


class SlotKind(Enum):
    """The pool of slots that a calculation belongs to."""

    EXPRESS = "express"
    ORDINARY = "ordinary"
    LONG = "long"
    """Started as express and has run for LONG_S: it has a higher niceness and holds no express slot."""


@dataclass(eq=False, slots=True)
class Slot:
    """A calculation in flight.

    ``reserved``: it holds the slot reserved for an owner without others. ``stopping``: it is being stopped.
    """

    owner: str
    kind: SlotKind
    reserved: bool
    started_at: float
    stopping: bool = False


class Slots:
    """Calculations in flight. All operations are O(slots), a few per CPU, or better."""

    def __init__(self, cpus: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._cpus, self._clock = cpus, clock
        self._taken: dict[SlotKind, dict[Slot, None]] = {kind: {} for kind in SlotKind}  # in the order of their start
        self._last_express_at = float("-inf")  # when an express one was last in flight
        self._mean_seconds = 1.0  # smoothed duration of a calculation
        self._last_long_at: dict[str, float] = {}  # by owner: last start or end of a long run, the latest last

    def __len__(self) -> int:
        return sum(map(len, self._taken.values()))

    def taken(self, kind: SlotKind) -> int:
        """Return the number of calculations of ``kind`` in flight."""
        return len(self._taken[kind])

    def capacity(self) -> int:
        """Return how many express calculations, and how many others, may be in flight.

        Per CPU one that runs and some prefetched, more if they are short, so that the next one starts without delay.
        """
        prefetched = 1 + int(_HANDOVER_S / max(self._mean_seconds, 1e-4))
        return self._cpus() * (1 + min(prefetched, _MAX_PREFETCHED))

    def is_free(self, kind: SlotKind) -> bool:
        """Return whether a calculation of any owner may start in ``kind``."""
        return len(self._taken[kind]) < (self.capacity() if kind is SlotKind.EXPRESS else self._ordinary_capacity())

    def owners_in_flight(self, kind: SlotKind) -> set[str] | None:
        """Return the owners with calculations in flight where ``kind`` is full: any other may use its reserved slot.

        None if that slot is taken already, or an ordinary slot is about to become free.
        """
        slots = self._taken[kind]
        if any(slot.reserved for slot in slots):
            return None
        if kind is SlotKind.ORDINARY and not self._all_are_long():
            return None
        long_slots = self._taken[SlotKind.LONG] if kind is SlotKind.ORDINARY else {}
        return {slot.owner for slot in (*slots, *long_slots)}

    def take(self, owner: str, kind: SlotKind, reserved: bool = False) -> Slot:
        """Take a slot for a new calculation."""
        slot = Slot(owner, kind, reserved, self._clock())
        self._taken[kind][slot] = None
        return slot

    def release(self, slot: Slot, seconds: float | None = None) -> None:
        """Release the slot of a finished calculation; ``seconds``: its duration on the worker if it succeeded."""
        del self._taken[slot.kind][slot]
        if slot.kind is SlotKind.LONG:
            self._record_long(slot.owner)
        if seconds is not None:
            self._mean_seconds += (seconds - self._mean_seconds) / _SMOOTHING

    def mark_long(self, slot: Slot) -> Slot | None:
        """Move a long-running express calculation out of its slot.

        If too many run long, return the one to preempt: the longest-running one of the owner with the most, as it is
        the least likely to finish soon.
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
        """Return whether a calculation of ``owner`` runs long or recently did: the next one probably will."""
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
        """Return how many ordinary calculations may be in flight.

        While express jobs arrive, a CPU stays free for each of them, as a shared core is slower. Long-running
        calculations take ordinary slots. One CPU always continues with ordinary work.
        """
        express, capacity = len(self._taken[SlotKind.EXPRESS]), self.capacity()
        if express:
            self._last_express_at = self._clock()
        if express or self._clock() - self._last_express_at <= _EXPRESS_RESERVE_S:
            capacity = self._cpus() - max(1, express)
        return max(1, capacity - len(self._taken[SlotKind.LONG]))

    def _all_are_long(self) -> bool:
        """Return whether no ordinary slot was taken recently, so that none may become free soon."""
        latest = next(reversed(self._taken[SlotKind.ORDINARY]), None)
        return latest is None or self._clock() - latest.started_at >= LONG_S
