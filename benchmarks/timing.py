"""Timing of both sides: a new process, one warm-up call, then the median of several. Standard library only."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Prepare = Callable[[str], Callable[[], Any]]
MAX_TOTAL_S, MIN_TOTAL_S, MAX_REPEATS = 30.0, 1.0, 50


def run(items: Mapping[str, Prepare]) -> None:
    """Command line ``ITEM MODEL REPEATS``: print one JSON line with the median seconds, the value and the peak memory.

    Stop after MAX_TOTAL_S (a first call that long is the result); repeat short calls until they sum to MIN_TOTAL_S or
    number MAX_REPEATS, since a median of three calls of milliseconds is noisy.
    """
    item, model, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    operation = items[item](model)
    seconds: list[float] = []
    value: Any = None
    while len(seconds) <= repeats or (sum(seconds) < MIN_TOTAL_S and len(seconds) <= MAX_REPEATS):
        start = time.perf_counter()
        value = operation()
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > MAX_TOTAL_S:
            break
    timed = seconds[1:] or seconds
    print(json.dumps({"seconds": statistics.median(timed), "peak_mib": peak_mib(), "value": value}, default=float))


def peak_mib() -> float:
    """Return this program's peak memory in MiB; ``ru_maxrss`` would include its parent's at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
