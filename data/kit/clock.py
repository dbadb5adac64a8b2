"""The one clock: UTC, aware; and elapsed time that neither a clock step nor a suspended machine makes too short."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

# Unlike the plain monotonic clock this one goes on while the machine sleeps (Linux).
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment on two clocks, in seconds: the wall clock, which may step, and a steady one, which may stand still."""

    wall_s: float
    steady_s: float


def instant() -> Instant:
    """This moment on both clocks."""
    return Instant(time.time(), time.clock_gettime(_STEADY))


def longest_since(then: Instant) -> float:
    """Seconds since ``then`` by the clock that shows more, for caches that must not keep anything for longer.

    A paused virtual machine shows in the wall clock alone, a wall clock that was set back in the steady one. A step of
    the wall clock, either way, counts as time passed: then something is looked up again, which is always right.
    """
    at = instant()
    return max(at.steady_s - then.steady_s, abs(at.wall_s - then.wall_s))
