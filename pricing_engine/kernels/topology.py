"""Match the edges of a welded mesh, on any number of threads.

In canonical order a vertex is used by facets near the one where it first appears, so facets and vertices fall into the
same *blocks*: ``GRAIN`` facets and the vertices that appear first among them. An edge belongs to the block of its
lower vertex. Each block pairs its half-edges (its own, and the few *foreign* ones of other blocks' facets) in a hash
table that fits the cache; a block with an edge that is more than a pair is done again by sorting (``edge_runs``).
O(n) expected where edges are pairs, O(n log d) for d facets at a vertex; right, if slower, for any numbering.

Half-edge ``3 * facet + corner`` runs from that corner to the facet's next one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.edge_runs import BOUNDARY, DEGENERATE, EDGES, GRAIN, UNBALANCED, sort_and_match
from pricing_engine.kernels.sparse import sparse_empty
from pricing_engine.kernels.threads import chunk_count, run_ranges

_HASH_LOW, _HASH_HIGH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


def match_edges(
    vertices: NDArray[np.float64], facets: NDArray[np.int32], threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Tallies (6,) named in ``edge_runs``, and ``links`` (F, 3): the facet across each edge, or -1.

    Where three or more half-edges share an edge, ``links`` names the next of them in a cycle as ``-2 - facet``.
    """
    facet_count = len(facets)
    blocks = chunk_count(facet_count, GRAIN)
    block_vertices = np.zeros(blocks, np.int32)
    run_ranges(_highest_vertex, facet_count, GRAIN, threads, facets, block_vertices)
    vertex_start = np.concatenate((np.zeros(1, np.int32), np.maximum.accumulate(block_vertices)))
    foreign = sparse_empty(3 * facet_count, np.int32)
    foreign_count = np.zeros(blocks, np.int64)
    tallies = np.zeros((blocks, 6), np.int64)
    run_ranges(_scan, facet_count, GRAIN, threads, vertices, facets, vertex_start, foreign, foreign_count, tallies)
    halves = np.empty(int(foreign_count.sum()), np.int32)
    half_start = np.zeros(blocks + 1, np.int64)
    _sort_foreign(facets, vertex_start, foreign, foreign_count, halves, half_start)
    del foreign
    links = np.empty((facet_count, 3), np.int32)
    run_ranges(_match, blocks, 1, threads, facets, vertex_start, halves, half_start, links.reshape(-1), tallies)
    return tallies.sum(axis=0), links


@kernel
def _highest_vertex(lo, hi, facets, block_vertices):
    highest = np.int32(0)
    for facet in range(lo, hi):
        highest = max(highest, facets[facet, 0], facets[facet, 1], facets[facet, 2])
    block_vertices[lo // GRAIN] = highest + 1


@inlined
def _is_degenerate(vertices, a, b, c):
    """Repeated vertex, or no area beyond what rounding the coordinates to float64 can feign."""
    if a == b or b == c or c == a:  # noqa: PLR1714
        return True
    ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    longest = max(abs(ux), abs(uy), abs(uz), abs(vx), abs(vy), abs(vz))
    farthest = max(abs(vertices[a, 0]), abs(vertices[a, 1]), abs(vertices[a, 2])) + longest
    return max(abs(nx), abs(ny), abs(nz)) <= 1e-15 * longest * farthest


@kernel
def _scan(lo, hi, vertices, facets, vertex_start, foreign, foreign_count, tallies):
    """Count degenerate facets; list the half-edges whose edge belongs to another block."""
    block, count = lo // GRAIN, 3 * lo
    v0, v1 = vertex_start[block], vertex_start[block + 1]
    for facet in range(lo, hi):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        tallies[block, DEGENERATE] += _is_degenerate(vertices, a, b, c)
        for corner in range(3):
            low = min(facets[facet, corner], facets[facet, (corner + 1) % 3])
            if low < v0 or low >= v1:
                foreign[count] = 3 * facet + corner
                count += 1
    foreign_count[block] = count - 3 * lo


@kernel
def _sort_foreign(facets, vertex_start, foreign, foreign_count, halves, half_start):
    """Counting sort of the foreign half-edges by block."""
    blocks = len(foreign_count)
    owner = np.empty(len(halves), np.int32)
    i = 0
    for block in range(blocks):
        for row in range(3 * GRAIN * block, 3 * GRAIN * block + foreign_count[block]):
            half = np.int64(foreign[row])
            facet, corner = half // 3, half % 3
            low = min(facets[facet, corner], facets[facet, (corner + 1) % 3])
            owner[i] = np.searchsorted(vertex_start, low, side="right") - 1
            half_start[owner[i] + 1] += 1
            i += 1
    for block in range(blocks):
        half_start[block + 1] += half_start[block]
    cursor = half_start.copy()
    i = 0
    for block in range(blocks):
        for row in range(3 * GRAIN * block, 3 * GRAIN * block + foreign_count[block]):
            halves[cursor[owner[i]]] = foreign[row]
            cursor[owner[i]] += 1
            i += 1


@kernel
def _match(first, last, facets, vertex_start, halves, half_start, links, tallies):
    slots = 0
    for block in range(first, last):
        slots = max(slots, half_start[block + 1] - half_start[block])
    size = 16
    while 4 * size < 5 * (slots + 3 * GRAIN):
        size *= 2
    table, holders = np.empty(size, np.uint64), np.empty(size, np.uint32)
    for block in range(first, last):
        if not _pair(block, facets, vertex_start, halves, half_start, table, holders, links, tallies):
            sort_and_match(block, facets, vertex_start, halves, half_start, links, tallies)


@kernel
def _pair(block, facets, vertex_start, halves, half_start, table, holders, links, tallies):
    """Pair the half-edges of a block in a hash table of their edges; False, and no tallies, for what it can't judge.

    That is an edge used three times, twice by one facet, by two facets on the same vertices, or with both ends at one
    vertex. Slot ``i`` holds the edge ``low << 32 | high``, and in ``holders`` the half-edge that waits for its partner.
    """
    v0, v1 = vertex_start[block], vertex_start[block + 1]
    lo = GRAIN * block
    own = 3 * (min(lo + GRAIN, len(facets)) - lo)
    total = own + half_start[block + 1] - half_start[block]
    table[:] = np.uint64(0)  # no edge: its higher vertex is above 0
    mask, taken = np.uint64(len(table) - 1), np.uint32(0xFFFFFFFF)
    matched, edges, alike, beyond = 0, 0, 0, False
    for i in range(total):
        half = np.uint32(3 * lo + i if i < own else halves[half_start[block] + i - own])
        facet = half // np.uint32(3)
        corner = half - np.uint32(3) * facet
        f = np.uint64(facet)
        a = facets[f, np.uint64(corner)]
        b = facets[f, np.uint64(corner + np.uint32(1) if corner < np.uint32(2) else np.uint32(0))]
        low, high = min(a, b), max(a, b)
        if low < v0 or low >= v1:
            continue
        edge = np.uint64(low) << np.uint64(32) | np.uint64(high)
        slot = (edge * _HASH_LOW ^ np.uint64(high) * _HASH_HIGH) >> np.uint64(40) & mask
        while table[slot] != edge and table[slot] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        # whether an edge is met first or again is a coin toss to the processor, so there is no branch on it
        new, holder = table[slot] == np.uint64(0), holders[slot]
        alone = new | (holder == taken)
        partner = half if alone else holder
        table[slot], holders[slot] = edge, half if new else taken
        p = np.uint64(partner)
        other = np.uint64(partner // np.uint32(3))
        third = facets[f, np.uint64(0)] ^ facets[f, np.uint64(1)] ^ facets[f, np.uint64(2)]
        its_third = facets[other, np.uint64(0)] ^ facets[other, np.uint64(1)] ^ facets[other, np.uint64(2)]
        beyond |= (low == high) | ((third == its_third) & (not new))
        alike += (facets[other, p - np.uint64(3) * other] == a) & (not new)
        links[p] = np.int32(facet)
        links[np.uint64(half)] = np.int32(-1) if alone else np.int32(other)
        edges += new
        matched += 1
    if beyond:
        return False
    tallies[block, EDGES] += edges
    tallies[block, BOUNDARY] += 2 * edges - matched
    tallies[block, UNBALANCED] += alike
    return True
