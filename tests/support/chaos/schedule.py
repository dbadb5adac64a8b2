"""The long faults of a chaos run, their order and lengths: a pure function of its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

SERVERS = ("postgresql", "kafka", "redis")
HANGING = ("replica", "worker", "dispatcher", "controller", *SERVERS)
DISKS = ("kafka", "models")
OUTAGE, HANG, FULL_DISK = "outage", "hang", "full disk"

MAX_OUTAGE_S, MIN_OUTAGE_S = 180.0, 5.0
MAX_HANG_S, MIN_HANG_S = 40.0, 2.0
MAX_FULL_S, MIN_FULL_S = 40.0, 10.0
OUTAGE_SHARE, HANG_SHARE = 1 / 3, 1 / 4
"""Bounds of the summed length of all outages, and of all required hangs, as shares of the run."""
_HARMFUL = ("postgresql", "kafka")
_PAIRS = tuple(combinations(SERVERS, 2))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that lasts ``seconds`` and ends by itself. ``parts``: servers, a kind of process, or a disk."""

    kind: str
    parts: tuple[str, ...]
    seconds: float

    @property
    def name(self) -> str:
        """Return the name in reports: "outage of one part", "hang of redis", "full disk of kafka"."""
        if self.kind == OUTAGE:
            return f"{OUTAGE} of {'one part' if len(self.parts) == 1 else 'two parts'}"
        return f"{self.kind} of {self.parts[0]}"


def kinds(disks: Sequence[str]) -> list[str]:
    """Return the names of the long faults that a long run must have hit, given the disks that can be filled."""
    hangs = [Fault(HANG, (part,), 0).name for part in HANGING]
    full = [Fault(FULL_DISK, (disk,), 0).name for disk in disks]
    return [f"{OUTAGE} of one part", f"{OUTAGE} of two parts", *hangs, *full]


def long_schedule(chance: random.Random, seconds: float, disks: Sequence[str]) -> list[Fault]:
    """Return the faults of a long run of ``seconds``: each of :func:`kinds` at least once, in random order.

    One outage of two parts lasts a tenth to three tenths of the run (60 to 180 s of ten minutes), and PostgreSQL and
    Kafka are unavailable at the same time at least once. The outages take at most a third of the run; a shorter run has
    shorter faults, down to the minimum of each kind.
    """
    budget = OUTAGE_SHARE * seconds
    long_s = min(chance.uniform(0.1, 0.3) * seconds, MAX_OUTAGE_S)
    pair = _HARMFUL if chance.random() < 2 / 3 else chance.choice(_PAIRS)
    others = [(chance.choice(SERVERS),), chance.choice(_PAIRS) if pair == _HARMFUL else _HARMFUL]
    max_s = min((budget - long_s) / len(others), MAX_OUTAGE_S)
    faults = [Fault(OUTAGE, pair, max(long_s, MIN_OUTAGE_S))]
    faults += [Fault(OUTAGE, parts, _between(chance, MIN_OUTAGE_S, max_s)) for parts in others]
    max_s = min(seconds / 15, MAX_HANG_S)
    lengths = [_between(chance, MIN_HANG_S, max_s) for _ in HANGING]
    shrink = min(1.0, HANG_SHARE * seconds / sum(lengths))
    faults += [
        Fault(HANG, (part,), max(length * shrink, MIN_HANG_S)) for part, length in zip(HANGING, lengths, strict=True)
    ]
    max_s = min(seconds / 15, MAX_FULL_S)
    faults += [Fault(FULL_DISK, (disk,), _between(chance, MIN_FULL_S, max_s)) for disk in disks]
    chance.shuffle(faults)
    return faults


def more_hangs(chance: random.Random) -> Iterator[Fault]:
    """Yield hangs without end, for the remaining time after the schedule."""
    while True:
        yield Fault(HANG, (chance.choice(HANGING),), chance.uniform(MIN_HANG_S, MAX_HANG_S / 2))


def short_schedule(chance: random.Random) -> list[Fault]:
    """Return the faults of the short run: one outage of two parts and one hang, in either order."""
    faults = [
        Fault(OUTAGE, chance.choice(_PAIRS), chance.uniform(5, 9)),
        Fault(HANG, (chance.choice(HANGING),), chance.uniform(2, 6)),
    ]
    chance.shuffle(faults)
    return faults


def _between(chance: random.Random, min_s: float, max_s: float) -> float:
    return chance.uniform(min_s, max(min_s, max_s))
