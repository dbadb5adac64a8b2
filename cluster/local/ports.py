"""Free ports for private servers."""

from __future__ import annotations

import random
import socket

# Below the range that kernels hand to outgoing connections (from 32768), and above the one that Ray's workers take
# (10002 to 19999), so that a server ended and started anew finds its port still free.
FIRST, LAST = 20000, 32000


def free_ports(count: int) -> list[int]:
    """``count`` different ports that nothing listens on, on any address of this machine, a moment ago."""
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
