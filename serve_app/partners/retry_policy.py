"""The delays between attempts of a delivery that fails."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays that double from ``first_s`` to ``max_s``, each up to ``jitter`` shorter or longer at random.

    19 attempts with the defaults take 71 hours, give or take the jitter: then the delivery is given up. The jitter
    spreads deliveries that failed at the same time. ``factor``: how much faster than that, for tests.
    """

    first_s: float = 5.0
    max_s: float = 12 * 3600.0
    max_attempts: int = 19
    jitter: float = 0.1
    factor: float = 1.0

    def delay_after(self, attempts: int) -> timedelta | None:
        """Return the delay after so many failed attempts; None when no more is made."""
        if attempts >= self.max_attempts:
            return None
        delay_s = min(self.max_s, self.first_s * 2.0 ** (attempts - 1))
        return timedelta(seconds=delay_s / self.factor * _random.uniform(1 - self.jitter, 1 + self.jitter))
