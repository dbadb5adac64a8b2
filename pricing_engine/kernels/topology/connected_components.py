"""Label the bodies of a mesh: union-find over the links of :mod:`kernels.topology.edge_matching`.

Facets are united first within blocks, each on a thread, then across them over the few links that leave a block. The
lower root wins and paths are halved, so labels do not depend on threads: bodies are numbered by their first facet.
O(n log n) at worst, O(n) on common models; 28 bytes a facet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.allocation import sparse_empty
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.runtime.union_find import join

_GRAIN = 8192


def label_bodies(links: NDArray[np.int32], threads: int) -> tuple[NDArray[np.int32], int]:
    """Body of each facet (F,), numbered by first facet, and their count. Sets the negative links to -1."""
    facet_count = len(links)
    parent = np.empty(facet_count, np.int32)
    crossing = sparse_empty((3 * facet_count, 2), np.int32)
    crossings = np.zeros(chunk_count(facet_count, _GRAIN), np.int64)
    run_ranges(_unite_within, facet_count, _GRAIN, threads, links, parent, crossing, crossings)
    return parent, int(_unite_across(parent, crossing, crossings))


@inlined
def _grandparent(parent, lo, facet, other):
    """Return the grandparent of an earlier neighbour in the block; of the facet itself for any other link."""
    earlier = np.uint64(other if (other >= lo) & (other < facet) else facet)
    return parent[np.uint64(parent[earlier])]


@kernel
def _unite_within(lo, hi, links, parent, crossing, crossings):
    """Unite each facet of a block with those before it; list the links to other blocks, each from one side.

    Which of three neighbours are earlier is unpredictable, so there is no branch on it: the lowest of a facet's
    earlier neighbours' grandparents becomes its parent, and only where those differ are their roots searched for.
    """
    for facet in range(lo, hi):
        parent[facet] = facet
    count = np.uint64(3 * lo)
    for f in range(np.uint64(lo), np.uint64(hi)):
        facet = np.int32(f)
        i, j, k = links[f, np.uint64(0)], links[f, np.uint64(1)], links[f, np.uint64(2)]
        p, q, r = (
            _grandparent(parent, lo, facet, i),
            _grandparent(parent, lo, facet, j),
            _grandparent(parent, lo, facet, k),
        )
        lowest = min(p, q, r)
        differ = (
            (parent[f] != facet)
            | ((p != lowest) & (p != facet))
            | ((q != lowest) & (q != facet))
            | ((r != lowest) & (r != facet))
        )
        if not differ:
            parent[f] = lowest
            if min(i, j, k) >= lo:
                continue
        for corner in range(np.uint64(3)):
            other = links[f, corner]
            if other > facet:
                continue  # met again from its other side
            if other < 0:
                links[f, corner] = -1
                other = -2 - other
                if other < 0:
                    continue
            if lo <= other < hi:
                join(parent, f, np.uint64(other))
            else:
                crossing[count, 0], crossing[count, 1] = facet, other
                count += np.uint64(1)
    crossings[lo // _GRAIN] = count - np.uint64(3 * lo)


@kernel
def _unite_across(parent, crossing, crossings):
    for block in range(len(crossings)):
        for row in range(3 * _GRAIN * block, 3 * _GRAIN * block + crossings[block]):
            join(parent, np.uint64(crossing[row, 0]), np.uint64(crossing[row, 1]))
    bodies = 0
    for facet in range(len(parent)):  # parents precede, so one sweep turns them into labels
        if parent[facet] == facet:
            parent[facet] = bodies
            bodies += 1
        else:
            parent[facet] = parent[parent[facet]]
    return bodies
