"""Addresses of a cluster and settings of its nodes, without importing Ray."""

from __future__ import annotations

import re

LOCAL = "local"
"""A cluster on this machine that ends with the process that started it."""

DISPATCHER, NAMESPACE = "dispatcher", "facet"
"""Name and namespace of the cluster's dispatcher actor."""

NODE_SETTINGS = {
    # The engine sets its own niceness.
    "RAY_worker_niceness": "0",
    # A worker takes two seconds of CPU to start. By default Ray ends one that idles for a second if there are more
    # workers than CPUs, as there are here: express and ordinary work have separate workers.
    "RAY_idle_worker_killing_time_threshold_ms": "900000",
    # Ray would start workers for a backlog although idle ones exist: seconds of CPU for workers without a task, right
    # after an outage when the CPU is needed most.
    "RAY_enable_worker_prestart": "0",
}
"""Environment of every Ray node that prices."""

_ADDRESS = re.compile(r"local|auto|ray://.+|[^/\s]+:\d+")


def is_address(text: str) -> bool:
    """Return whether ``text`` is an address: local, auto, host:port or ray://host:port."""
    return _ADDRESS.fullmatch(text) is not None
