"""Patches: facets connected across edges that are in exactly two of them, with opposite directions.

Half edges are sorted by their two vertices, so that the facets at an edge lie side by side; union-find with path
halving, always towards the smaller root, makes the least facet a patch's name whatever the order. O(n log n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.union_find import find, join
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge

Longs = NDArray[np.int64]


def edge_order(facets: Ints, vertex_count: int) -> tuple[Longs, Longs]:
    """Half edges (3 F,) sorted by edge, and their keys ``least vertex * vertex_count + greatest``."""
    keys = np.empty(3 * len(facets), np.int64)
    _edge_keys(facets, vertex_count, keys)
    order = np.argsort(keys)
    return order, keys[order]


@kernel
def _edge_keys(facets, vertex_count, keys):
    for f in range(len(facets)):
        for e in range(3):
            i, j = np.int64(facets[f, e]), np.int64(facets[f, (e + 1) % 3])
            keys[3 * f + e] = min(i, j) * vertex_count + max(i, j)


@kernel
def join_patches(facets, order, keys, separate, parent):
    """``parent`` (F,) int32 becomes each facet's patch; facets marked in ``separate`` (F,) bool stay alone."""
    for f in range(len(facets)):
        parent[f] = f
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and keys[last] == keys[first]:
            last += 1
        if last - first == 2:
            f, g = order[first] // 3, order[first + 1] // 3
            opposite = facets[f, order[first] % 3] == facets[g, (order[first + 1] % 3 + 1) % 3]
            if opposite and f != g and not separate[f] and not separate[g]:
                join(parent, f, g)
        first = last
    for f in range(len(facets)):
        parent[f] = find(parent, f)


@kernel
def largest_members(facets, vertices, patch, best, largest):
    """Find the facet of greatest area of each patch, the first of equals; -1 where ``patch`` names none."""
    best[:] = -1
    for f in range(len(facets)):
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        normal = cross(edge(vertices, a, b), edge(vertices, a, c))
        area = dot(normal, normal)
        p = patch[f]
        if best[p] < 0 or area > largest[p]:
            best[p], largest[p] = f, area


@kernel
def open_edges(facets, order, keys, edges):
    """Write the net directed edges that a closed surface lacks, (n, 2) int64, to ``edges`` (3 F, 2); return n."""
    count = 0
    first = 0
    while first < len(order):
        last, net = first, 0
        i = j = 0
        while last < len(order) and keys[last] == keys[first]:
            f, e = order[last] // 3, order[last] % 3
            i, j = facets[f, e], facets[f, (e + 1) % 3]
            net += 1 if i < j else -1
            last += 1
        low, high = min(i, j), max(i, j)
        for _ in range(abs(net) if low != high else 0):
            edges[count, 0], edges[count, 1] = (high, low) if net > 0 else (low, high)
            count += 1
        first = last
    return count


@kernel
def join_vertices(edges, parent):
    """``parent`` (V,) int64 becomes the least vertex connected to each by ``edges``."""
    for v in range(len(parent)):
        parent[v] = v
    for k in range(len(edges)):
        join(parent, edges[k, 0], edges[k, 1])
    for v in range(len(parent)):
        parent[v] = find(parent, v)
