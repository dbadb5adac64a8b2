"""Free ports for private servers."""

from __future__ import annotations

import random
import socket

# Below the ephemeral range of kernels (from 32768) and above that of Ray's workers (10002 to 19999), so that a
# restarted server finds its port still free.
FIRST, LAST = 20000, 32000


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports on which nothing listens now, at any address of this machine."""
    found: list[int] = []
    for port in random.sample(range(FIRST, LAST), LAST - FIRST):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
    raise OSError(f"fewer than {count} free ports from {FIRST} to {LAST}")
