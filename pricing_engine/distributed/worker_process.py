"""Set up a worker process: its priority on the machine, and all that a model needs loaded before the first one comes.

Imports nothing heavy by itself: what it loads, it loads in a thread that gives way.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from pricing_engine.distributed.niceness import LONG_NICENESS, raise_niceness, start_session

NICE = "FACET_NICE"
"""Environment variable of a worker: how far it steps back for others on its machine (see ``nice``)."""

COLD = "FACET_COLD"
"""Environment variable of a worker: set where no model will be analysed, so that no kernel need be loaded."""


def set_up() -> None:
    """Set the niceness of this process, import the engine and load every kernel.

    Ray has no priorities; the operating system has. Ordinary work runs in processes that are nicer than those of
    express work, so an express job has its core at once and bulk work goes on with what is left. Modules and kernels
    are loaded in a thread of their own, for a thread's niceness can't be lowered again: no express job waits for these
    seconds of CPU.
    """
    niceness = int(os.environ.get(NICE, "0"))
    os.nice(niceness)
    if not os.environ.get(COLD):
        start_session(niceness)
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(_load).result()


def _load() -> None:
    raise_niceness(threading.get_native_id(), LONG_NICENESS)  # the session does not: the first jobs wait for this
    from pricing_engine.analysis.warmup import warm
    from pricing_engine.distributed import worker  # noqa: F401  # what the first task would import

    warm()
