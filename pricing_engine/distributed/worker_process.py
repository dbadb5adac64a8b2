"""Set up a worker process: its priority on the machine, and all that a model needs loaded before the first one comes.

Imports nothing heavy by itself: what it loads, it loads in a thread that gives way.
"""

from __future__ import annotations

import os

from pricing_engine.distributed.limits import run_limited
from pricing_engine.distributed.niceness import LONG_NICENESS, lead_session

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
        lead_session(niceness)
        run_limited(_load, None, niceness=LONG_NICENESS)


def _load() -> None:
    from pricing_engine.analysis.warm import warm
    from pricing_engine.distributed import worker  # noqa: F401  # what the first task would import

    warm()
