"""Half-edges in short rows, two for each vertex of a block, and their pairing: see ``topology.edge_matching``.

An edge belongs to its lower vertex; of the two half-edges of a pair, one leaves that vertex and the other arrives. Rows
are entered and read in the order of vertices, so they are in the cache, and few branches are mispredicted.
O(1) a half-edge.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import equal16, first_bit
from pricing_engine.kernels.topology.half_edge_runs import GRAIN

ROW = 16  # edges from a vertex to higher ones: half a dozen at most in a usual mesh


@inlined
def fill_rows(block, v0, v1, facets, incoming, incoming_start, highs, names, filled):
    """Enter each half-edge into a row of its lower vertex ``v``: ``2 * (v - v0)`` down to it, one more up from it.

    Returns whether none overflowed. The name of a half-edge is ``facet << 2 | corner``.
    """
    lo = GRAIN * block
    own = min(lo + GRAIN, len(facets)) - lo
    other = incoming_start[block] - own
    filled[: 2 * (v1 - v0)] = 0
    for i in range(own + incoming_start[block + 1] - incoming_start[block]):
        f = np.uint64(lo + i if i < own else incoming[other + i])
        for corner in range(3):
            a, b = facets[f, np.uint64(corner)], facets[f, np.uint64(corner + 1 if corner < 2 else 0)]
            low = min(a, b)
            if low < v0 or low >= v1:
                continue
            row = np.uint64(low - v0) << np.uint64(1) | np.uint64(a < b)
            place = np.uint64(filled[row])
            if place == np.uint64(ROW):
                return False
            slot = row * np.uint64(ROW) + place
            highs[slot], names[slot] = max(a, b), np.uint32(f) << np.uint32(2) | np.uint32(corner)
            filled[row] = place + np.uint64(1)
    return True


@inlined
def pair_rows(v, facets, highs, names, filled, links):
    """Link the half-edges at a vertex if each has one partner that runs the other way, of a facet on other vertices."""
    one, two = np.uint64(1), np.uint64(2)
    down, up = v << one, v << one | one
    count, rest = np.uint64(filled[up]), (one << np.uint64(filled[down])) - one
    down, up = down * np.uint64(ROW), up * np.uint64(ROW)
    if (one << count) - one != rest:
        return False
    partners = rest
    for lane in range(count):
        match = equal16(highs, down, highs[up + lane]) & partners
        if match == np.uint64(0) or match & (match - one) != np.uint64(0):
            return False
        rest ^= match
        name, other = np.uint64(names[up + lane]), np.uint64(names[down + first_bit(match)])
        f, g, corner, its = name >> two, other >> two, name & np.uint64(3), other & np.uint64(3)
        third = facets[f, corner - one if corner > np.uint64(0) else two]
        if third == facets[g, its - one if its > np.uint64(0) else two]:
            return False
        links[f, corner], links[g, its] = np.int32(g), np.int32(f)
    return rest == np.uint64(0)


@kernel
def list_rows(v, facets, highs, names, filled, keys, members):
    """List the half-edges at a vertex for ``read_runs``; return their number."""
    end = 0
    for row in range(2 * v, 2 * v + 2):
        for slot in range(ROW * row, ROW * row + np.int64(filled[row])):
            facet, corner = np.int64(names[slot] >> 2), np.int64(names[slot] & 3)
            keys[end] = np.int64(highs[slot]) << 32 | np.int64(facets[facet, (corner + 2) % 3])
            members[end] = 3 * facet + corner
            end += 1
    return end
