"""When a delivery that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that double from ``first_s`` to ``longest_s``, each made up to ``jitter`` shorter or longer by chance.

    19 tries with these numbers take 71 hours, a little less or more by the jitter: then the delivery is given up. The
    jitter keeps apart those that failed together. ``factor``: how much faster than that, for trials.
    """

    first_s: float = 5.0
    longest_s: float = 12 * 3600.0
    tries: int = 19
    jitter: float = 0.1
    factor: float = 1.0

    def after(self, tries: int) -> timedelta | None:
        """How long to wait when ``tries`` have failed; None when that is enough."""
        if tries >= self.tries:
            return None
        wait_s = min(self.longest_s, self.first_s * 2.0 ** (tries - 1))
        return timedelta(seconds=wait_s / self.factor * _random.uniform(1 - self.jitter, 1 + self.jitter))
