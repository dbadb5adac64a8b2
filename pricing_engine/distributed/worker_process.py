"""Set up a worker process: its priority on the machine, and modules and kernels loaded before the first model.

Imports nothing heavy at the top: loading happens in a thread of higher niceness.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from pricing_engine.distributed.niceness import LONG_NICENESS, raise_niceness, start_session

NICE = "FACET_NICE"
"""Environment variable of a worker: the niceness of its process (see ``nice``)."""

COLD = "FACET_COLD"
"""Environment variable of a worker: set if it will analyse no model, so that no kernel need be loaded."""


def set_up() -> None:
    """Set the niceness of this process, import the engine and load every kernel.

    Ray has no priorities; the operating system has. Ordinary work runs in processes with a higher niceness than express
    work, so an express job gets its core at once and bulk work uses the remaining time. Modules and kernels are loaded
    in a thread of their own, whose niceness can't be lowered again: no express job waits for these seconds of CPU.
    """
    accept_cancellation()
    niceness = int(os.environ.get(NICE, "0"))
    os.nice(niceness)
    if not os.environ.get(COLD):
        start_session(niceness)
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(_load).result()


def accept_cancellation() -> None:
    """Let an interrupt raise KeyboardInterrupt in the main thread: Ray cancels a task by one.

    A shell without job control starts ``facet up &`` with SIGINT ignored, and all its processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _load() -> None:
    raise_niceness(threading.get_native_id(), LONG_NICENESS)  # not that of the session: the first jobs wait for this
    from pricing_engine.analysis.warmup import warm
    from pricing_engine.distributed import worker  # noqa: F401  # imported by the first task otherwise

    warm()
