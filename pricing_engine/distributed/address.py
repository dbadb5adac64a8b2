"""How a cluster is addressed; told without importing Ray."""

from __future__ import annotations

import re

LOCAL = "local"
"""A cluster of this machine alone, which ends with who began it."""

DISPATCHER, NAMESPACE = "dispatcher", "facet"
"""Name and namespace of the cluster's dispatcher actor."""

_ADDRESS = re.compile(r"local|auto|ray://.+|[^/\s]+:\d+")


def is_address(text: str) -> bool:
    """Whether ``text`` has the form of an address: local, auto, host:port or ray://host:port."""
    return _ADDRESS.fullmatch(text) is not None
