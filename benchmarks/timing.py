"""How both sides are timed: a fresh process, one untimed call, then the median of a few. Standard library only."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Prepare = Callable[[str], Callable[[], Any]]
MAX_TOTAL_S, MIN_TOTAL_S, MAX_REPEATS = 30.0, 1.0, 50


def run(items: dict[str, Prepare]) -> None:
    """Command line ``ITEM MODEL REPEATS``: print one JSON line with the median seconds, the value and the peak memory.

    Calls end when ENOUGH_S are spent (a first call that long is the answer itself); short ones are repeated until they
    fill LEAST_S or number MOST_REPEATS, for a median of three calls of milliseconds says little.
    """
    item, model, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    work = items[item](model)
    seconds: list[float] = []
    value: Any = None
    while len(seconds) <= repeats or (sum(seconds) < MIN_TOTAL_S and len(seconds) <= MAX_REPEATS):
        begin = time.perf_counter()
        value = work()
        seconds.append(time.perf_counter() - begin)
        if sum(seconds) > MAX_TOTAL_S:
            break
    timed = seconds[1:] or seconds
    print(json.dumps({"seconds": statistics.median(timed), "peak_mib": peak_mib(), "value": value}, default=float))


def peak_mib() -> float:
    """The most memory this program has had, MiB; ``ru_maxrss`` would count what its parent had when it began."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
