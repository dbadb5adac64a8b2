"""Disjoint sets as a forest in an array of parents (union-find)."""

from __future__ import annotations

from pricing_engine.kernels.runtime.compile import inlined


@inlined
def find(parent, node):
    """Root of ``node``, halving the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@inlined
def join(parent, a, b):
    """Unite two classes; the smaller number stays root."""
    a, b = find(parent, a), find(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b
