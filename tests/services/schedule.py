"""Which long faults a chaos run has, in which order and how long each lasts: a pure function of its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

SERVERS = ("postgresql", "kafka", "redis")
HANGING = ("replica", "worker", "dispatcher", "controller", *SERVERS)
DISKS = ("kafka", "models")
OUTAGE, HANG, FULL_DISK = "outage", "hang", "full disk"

LONGEST_OUTAGE_S, SHORTEST_OUTAGE_S = 180.0, 5.0
LONGEST_HANG_S, SHORTEST_HANG_S = 40.0, 2.0
LONGEST_FULL_S, SHORTEST_FULL_S = 40.0, 10.0
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
        """What reports call it: "outage of one part", "outage of two parts", "hang of redis", "full disk of kafka"."""
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
    Kafka are away together at least once. All outages together take a third of the run at most; a shorter run has
    shorter faults, down to the shortest that are worth having.
    """
    budget = OUTAGE_SHARE * seconds
    long_s = min(chance.uniform(0.1, 0.3) * seconds, LONGEST_OUTAGE_S)
    pair = _HARMFUL if chance.random() < 2 / 3 else chance.choice(_PAIRS)
    others = [(chance.choice(SERVERS),), chance.choice(_PAIRS) if pair == _HARMFUL else _HARMFUL]
    longest = min((budget - long_s) / len(others), LONGEST_OUTAGE_S)
    faults = [Fault(OUTAGE, pair, max(long_s, SHORTEST_OUTAGE_S))]
    faults += [Fault(OUTAGE, parts, _between(chance, SHORTEST_OUTAGE_S, longest)) for parts in others]
    longest = min(seconds / 15, LONGEST_HANG_S)
    lengths = [_between(chance, SHORTEST_HANG_S, longest) for _ in HANGING]
    shrink = min(1.0, HANG_SHARE * seconds / sum(lengths))
    faults += [
        Fault(HANG, (part,), max(length * shrink, SHORTEST_HANG_S))
        for part, length in zip(HANGING, lengths, strict=True)
    ]
    longest = min(seconds / 15, LONGEST_FULL_S)
    faults += [Fault(FULL_DISK, (disk,), _between(chance, SHORTEST_FULL_S, longest)) for disk in disks]
    chance.shuffle(faults)
    return faults


def more_hangs(chance: random.Random) -> Iterator[Fault]:
    """Yield hangs without end, for the time that is left once the schedule is through."""
    while True:
        yield Fault(HANG, (chance.choice(HANGING),), chance.uniform(SHORTEST_HANG_S, LONGEST_HANG_S / 2))


def short_schedule(chance: random.Random) -> list[Fault]:
    """Return the faults of the short run: one outage of two parts and one hang, in either order."""
    faults = [
        Fault(OUTAGE, chance.choice(_PAIRS), chance.uniform(5, 9)),
        Fault(HANG, (chance.choice(HANGING),), chance.uniform(2, 6)),
    ]
    chance.shuffle(faults)
    return faults


def _between(chance: random.Random, shortest: float, longest: float) -> float:
    return chance.uniform(shortest, max(shortest, longest))
