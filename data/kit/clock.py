"""The one clock: aware UTC; and elapsed time that neither a clock step nor a suspended machine makes too short."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

# Unlike the plain monotonic clock this one goes on while the machine sleeps (Linux).
_MONOTONIC_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time on two clocks, in seconds: the wall clock, which may step, and a monotonic one that may pause."""

    wall_s: float
    monotonic_s: float


def instant() -> Instant:
    """Return the current time on both clocks."""
    return Instant(time.time(), time.clock_gettime(_MONOTONIC_CLOCK))


def elapsed_since(start: Instant) -> float:
    """Return the seconds since ``start`` by the clock that shows more, for caches that must not outlive their limit.

    A paused virtual machine shows in the wall clock alone, a wall clock that was set back in the monotonic one. A step
    of the wall clock, either way, counts as elapsed time: the cache reloads, which is always correct.
    """
    at = instant()
    return max(at.monotonic_s - start.monotonic_s, abs(at.wall_s - start.wall_s))
