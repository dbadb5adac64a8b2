"""Disjoint sets as a forest in an array of parents (union-find, Galler and Fischer 1964), with path halving.

Unite by the lower number: the root of a set is its least member whatever the order, at O(log n) a step on average.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined


@inlined
def _root(parent, node):
    """Unsigned numbers index without a check for negative ones."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = np.uint64(parent[node])
    return node


@inlined
def find(parent, node):
    """Root of ``node`` in ``parent`` (n,) int32 or int64, halving the path on the way."""
    return np.int64(_root(parent, np.uint64(node)))


@inlined
def join(parent, a, b):
    """Unite two sets; the smaller number stays root."""
    a, b = _root(parent, np.uint64(a)), _root(parent, np.uint64(b))
    if a < b:
        parent[b] = a
    else:
        parent[a] = b
