"""How both sides are timed: a fresh process, one untimed call, then the median of a few. Standard library only."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

Prepare = Callable[[str], Callable[[], Any]]
ENOUGH_S = 20.0


def run(items: dict[str, Prepare]) -> None:
    """Command line ``ITEM MODEL REPEATS``: print one JSON line with the median seconds, the value and the peak memory.

    A first call longer than ENOUGH_S is not repeated: its own time is the answer.
    """
    item, model, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    work = items[item](model)
    seconds = []
    value: Any = None
    for turn in range(repeats + 1):
        begin = time.perf_counter()
        value = work()
        seconds.append(time.perf_counter() - begin)
        if turn == 0 and seconds[0] > ENOUGH_S:
            break
    timed = seconds[1:] or seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": statistics.median(timed), "peak_mib": peak, "value": value}, default=float))
