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

_HAND_OVER_S = 0.01  # from the end of a calculation to the beginning of one that waits in the dispatcher
_MOST_AT_HAND = 15  # a CPU
_KEPT_FREE_S = 1.0  # a CPU after an express job, for the next
_SMOOTHING = 8  # calculations
_REMEMBERED_S = 10.0  # after an owner's calculation has run long


class Lane(Enum):
    """What a calculation counts as."""

    EXPRESS = "express"
    ORDINARY = "ordinary"
    LONG = "long"
    """Began as express and has run for LONG_S: it has ordinary niceness and holds no express slot."""


@dataclass(eq=False, slots=True)
class Slot:
    """A calculation in flight.

    ``guest``: it has the place that is kept for an owner who has none. ``ending``: it is being stopped.
    """

    owner: str
    lane: Lane
    guest: bool
    began: float
    ending: bool = False


class Slots:
    """Calculations in flight. All operations are O(slots), a few for each CPU, or better."""

    def __init__(self, cpus: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._cpus, self._clock = cpus, clock
        self._taken: dict[Lane, dict[Slot, None]] = {lane: {} for lane in Lane}  # in the order they began
        self._express_at = float("-inf")  # when one was last in flight
        self._seconds = 1.0  # that a calculation takes, smoothed
        self._long_at: dict[str, float] = {}  # by owner: when one last began or ended to run long, the latest last

    def __len__(self) -> int:
        return sum(map(len, self._taken.values()))

    def taken(self, lane: Lane) -> int:
        """How many calculations of ``lane`` are in flight."""
        return len(self._taken[lane])

    def most(self) -> int:
        """How many express ones, and how many others, may be in flight: for each CPU one that runs and so many at hand
        that the next is there when it ends, more where they are short.
        """
        at_hand = 1 + int(_HAND_OVER_S / max(self._seconds, 1e-4))
        return self._cpus() * (1 + min(at_hand, _MOST_AT_HAND))

    def is_free(self, lane: Lane) -> bool:
        """Whether anybody's calculation may start in ``lane``."""
        return len(self._taken[lane]) < (self.most() if lane is Lane.EXPRESS else self._most_ordinary())

    def owners_without_guest_place(self, lane: Lane) -> set[str] | None:
        """Where ``lane`` is full: the owners who have something in flight, any other may start one calculation more.

        None where nobody may: somebody has that place already, or an ordinary slot is about to be free.
        """
        slots = self._taken[lane]
        if any(slot.guest for slot in slots):
            return None
        if lane is Lane.ORDINARY and not self._all_run_long():
            return None
        besides = self._taken[Lane.LONG] if lane is Lane.ORDINARY else {}
        return {slot.owner for slot in (*slots, *besides)}

    def take(self, owner: str, lane: Lane, guest: bool = False) -> Slot:
        """A slot for a calculation that begins."""
        slot = Slot(owner, lane, guest, self._clock())
        self._taken[lane][slot] = None
        return slot

    def release(self, slot: Slot, seconds: float | None = None) -> None:
        """The calculation has ended, after ``seconds`` on its worker if it went well."""
        del self._taken[slot.lane][slot]
        if slot.lane is Lane.LONG:
            self._remember_long(slot.owner)
        if seconds is not None:
            self._seconds += (seconds - self._seconds) / _SMOOTHING

    def ran_long(self, slot: Slot) -> Slot | None:
        """An express calculation runs long: it leaves its slot to the next.

        Where too many do, gives the one that has to end: of the owners who have most of them, the one that has run
        longest, for that is the least likely to end soon.
        """
        if slot.lane is not Lane.EXPRESS:
            return None
        del self._taken[Lane.EXPRESS][slot]
        slot.lane, slot.guest = Lane.LONG, False
        self._taken[Lane.LONG][slot] = None
        self._remember_long(slot.owner)
        going_on = [each for each in self._taken[Lane.LONG] if not each.ending]
        if len(going_on) <= LONG_PER_CPU * self._cpus():
            return None
        counts = Counter(each.owner for each in going_on)
        most = max(counts.values())
        victim = next(each for each in going_on if counts[each.owner] == most)
        victim.ending = True
        return victim

    def runs_long(self, owner: str) -> bool:
        """Whether a calculation of ``owner`` runs long or did a moment ago: the next one probably will."""
        if any(slot.owner == owner for slot in self._taken[Lane.LONG]):
            return True
        return self._clock() - self._long_at.get(owner, float("-inf")) <= _REMEMBERED_S

    def _remember_long(self, owner: str) -> None:
        now = self._clock()
        self._long_at.pop(owner, None)
        self._long_at[owner] = now
        while now - next(iter(self._long_at.values())) > _REMEMBERED_S:
            del self._long_at[next(iter(self._long_at))]

    def _most_ordinary(self) -> int:
        """How many ordinary ones may be in flight: while express jobs come, a CPU for each of those stays free, for a
        core that calculates beside another, or in turn with it, is slower. What runs long takes ordinary slots. One CPU
        always goes on with ordinary work.
        """
        express, most = len(self._taken[Lane.EXPRESS]), self.most()
        if express:
            self._express_at = self._clock()
        if express or self._clock() - self._express_at <= _KEPT_FREE_S:
            most = self._cpus() - max(1, express)
        return max(1, most - len(self._taken[Lane.LONG]))

    def _all_run_long(self) -> bool:
        """Whether no ordinary slot was taken lately, so that none may be free soon."""
        youngest = next(reversed(self._taken[Lane.ORDINARY]), None)
        return youngest is None or self._clock() - youngest.began >= LONG_S
