"""How much work a search may do before its result counts as not measured.

A budget is a number of node visits and tests, fixed by the input alone: a chunk of the input has its own, so a result
is the same on any number of threads and tasks. Common models need a small part of it. A kernel that runs out writes
:data:`UNMEASURED`, and the stage reports that it could not measure.
"""

from __future__ import annotations

UNMEASURED = -1.0
"""In place of a length, volume or share, none of which is negative: the budget ended first."""


def log2_of(count: int) -> int:
    """ceil(log2 count), at least 1: the factor by which a budget for ``count`` items exceeds a linear one."""
    return max(1, (max(count, 1) - 1).bit_length())
