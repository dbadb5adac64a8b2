"""How a cluster is addressed; told without importing Ray; and what its nodes are set to."""

from __future__ import annotations

import re

LOCAL = "local"
"""A cluster of this machine alone, which ends with who began it."""

DISPATCHER, NAMESPACE = "dispatcher", "facet"
"""Name and namespace of the cluster's dispatcher actor."""

NODE_SETTINGS = {
    # The engine sets its own niceness.
    "RAY_worker_niceness": "0",
    # A worker is ready after two seconds of its CPU. Ray ends one that idles for a second where there are more workers
    # than CPUs, and here express and ordinary work have workers of their own.
    "RAY_idle_worker_killing_time_threshold_ms": "900000",
    # Ray starts workers for a backlog although idle ones are there: seconds of CPU for some that got no task, in the
    # moment after an outage in which everything is wanted at once.
    "RAY_enable_worker_prestart": "0",
}
"""Environment of every Ray node that prices."""

_ADDRESS = re.compile(r"local|auto|ray://.+|[^/\s]+:\d+")


def is_address(text: str) -> bool:
    """Whether ``text`` has the form of an address: local, auto, host:port or ray://host:port."""
    return _ADDRESS.fullmatch(text) is not None
