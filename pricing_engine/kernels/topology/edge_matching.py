"""Match the edges of a welded mesh, on any number of threads.

In canonical order a vertex is used by facets near the one where it first appears, so facets and vertices fall into the
same *blocks*: ``GRAIN`` facets and about the vertices that appear first among them. An edge belongs to the block of its
lower vertex. Each block enters the half-edges of its own facets, and of the few *foreign* ones that reach into it, in
two short rows of a table for each of its vertices: those that leave it and those that arrive. Where each of the one has
its partner among the other, a comparison of vectors finds it; other vertices, with a border or an edge that is more
than a pair, have their rows sorted, and a block with a vertex whose edges overflow a row is sorted completely
(``half_edge_runs``). O(n) where edges are pairs, O(n log d) for d facets at a vertex; the result is the same for any
numbering of the vertices.

Half-edge ``3 * facet + corner`` runs from that corner to the facet's next one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.allocation import sparse_empty
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.runtime.vec3 import cross, edge
from pricing_engine.kernels.topology.half_edge_rows import ROW, fill_rows, list_rows, pair_rows
from pricing_engine.kernels.topology.half_edge_runs import (
    DEGENERATE,
    EDGES,
    GRAIN,
    read_runs,
    sort_and_match,
    sort_list,
)

_SAMPLE = 64  # facets by which the number of vertices that have appeared is estimated
_MAX_VERTICES = 2 * GRAIN  # of a block with a table: far more than a canonical mesh has


def match_edges(
    vertices: NDArray[np.float64], facets: NDArray[np.int32], threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Tallies (6,) int64 named in ``half_edge_runs``, and ``links`` (F, 3): the facet across each edge, or -1.

    Where three or more half-edges share an edge, ``links`` names the next of them in a cycle as ``-2 - facet``.
    """
    facet_count = len(facets)
    blocks = chunk_count(facet_count, GRAIN)
    vertex_start = np.empty(blocks + 1, np.int32)
    _vertex_starts(len(vertices), facets, vertex_start)
    foreign = sparse_empty(2 * facet_count, np.int64)
    foreign_count = np.zeros(blocks, np.int64)
    tallies = np.zeros((blocks, 6), np.int64)
    run_ranges(_scan, facet_count, GRAIN, threads, vertices, facets, vertex_start, foreign, foreign_count, tallies)
    incoming = np.empty(int(foreign_count.sum()), np.int32)
    incoming_start = np.zeros(blocks + 1, np.int64)
    _sort_foreign(foreign, foreign_count, incoming, incoming_start)
    del foreign
    links = np.empty((facet_count, 3), np.int32)
    run_ranges(_match, blocks, 1, threads, facets, vertex_start, incoming, incoming_start, links, tallies)
    return tallies.sum(axis=0), links


@kernel
def _vertex_starts(vertex_count, facets, vertex_start):
    """Blocks' first vertices. Any ascending numbers are right; good ones divide vertices as facets are divided."""
    blocks, highest = len(vertex_start) - 1, np.int32(0)
    for block in range(blocks):
        vertex_start[block] = highest
        end = min(GRAIN * (block + 1), len(facets))
        for facet in range(max(end - _SAMPLE, 0), end):
            highest = max(highest, facets[facet, 0] + 1, facets[facet, 1] + 1, facets[facet, 2] + 1)
    vertex_start[blocks] = vertex_count


@inlined
def _is_degenerate(vertices, a, b, c):
    """Repeated vertex, or no area beyond what rounding the coordinates to float64 can cause."""
    if a == b or b == c or c == a:  # noqa: PLR1714
        return True
    u, v = edge(vertices, a, b), edge(vertices, a, c)
    nx, ny, nz = cross(u, v)
    longest = max(abs(u[0]), abs(u[1]), abs(u[2]), abs(v[0]), abs(v[1]), abs(v[2]))
    farthest = max(abs(vertices[a, 0]), abs(vertices[a, 1]), abs(vertices[a, 2])) + longest
    return max(abs(nx), abs(ny), abs(nz)) <= 1e-15 * longest * farthest


@kernel
def degenerate_facets(vertices, facets, found):
    """Fill ``found`` (n,) int64 with the first degenerate facets; returns how many there are, at most n."""
    count = 0
    for f in range(len(facets)):
        if count == len(found):
            break
        if _is_degenerate(vertices, facets[f, 0], facets[f, 1], facets[f, 2]):
            found[count] = f
            count += 1
    return count


@inlined
def _middle(a, b, c):
    """Return the lower vertex of the edge that is not at the lowest one."""
    return max(min(a, b), min(max(a, b), c))


@kernel
def _scan(lo, hi, vertices, facets, vertex_start, foreign, foreign_count, tallies):
    """Count degenerate facets; list facets with an edge of another block, as ``block << 32 | facet``."""
    block, count, degenerate = lo // GRAIN, 2 * lo, 0
    v0, v1 = vertex_start[block], vertex_start[block + 1]
    for facet in range(np.uint64(lo), np.uint64(hi)):
        a, b, c = facets[facet, np.uint64(0)], facets[facet, np.uint64(1)], facets[facet, np.uint64(2)]
        degenerate += _is_degenerate(vertices, np.uint64(a), np.uint64(b), np.uint64(c))
        lowest, middle = min(a, b, c), _middle(a, b, c)
        if lowest >= v0 and middle < v1:
            continue
        last = block
        for low in (lowest, middle):
            if low < v0 or low >= v1:
                owner = np.searchsorted(vertex_start, low, side="right") - 1
                if owner != last:
                    foreign[count] = owner << 32 | np.int64(facet)
                    count, last = count + 1, owner
    foreign_count[block] = count - 2 * lo
    tallies[block, DEGENERATE] = degenerate


@kernel
def _sort_foreign(foreign, foreign_count, incoming, incoming_start):
    """Sort the foreign facets by block, by counting."""
    blocks = len(foreign_count)
    for block in range(blocks):
        for row in range(2 * GRAIN * block, 2 * GRAIN * block + foreign_count[block]):
            incoming_start[(foreign[row] >> 32) + 1] += 1
    for block in range(blocks):
        incoming_start[block + 1] += incoming_start[block]
    cursor = incoming_start.copy()
    for block in range(blocks):
        for row in range(2 * GRAIN * block, 2 * GRAIN * block + foreign_count[block]):
            owner = foreign[row] >> 32
            incoming[cursor[owner]] = foreign[row] & 0xFFFFFFFF
            cursor[owner] += 1


@kernel
def _match(first, last, facets, vertex_start, incoming, incoming_start, links, tallies):
    rows = 0
    for block in range(first, last):
        rows = max(rows, np.int64(vertex_start[block + 1] - vertex_start[block]))
    rows = 2 * min(rows, _MAX_VERTICES)
    highs, names, filled = np.empty(ROW * rows, np.int32), np.empty(ROW * rows, np.uint32), np.empty(rows, np.uint8)
    keys, members = np.empty(2 * ROW, np.int64), np.empty(2 * ROW, np.int32)
    for block in range(first, last):
        v0, v1 = vertex_start[block], vertex_start[block + 1]
        if v1 - v0 <= _MAX_VERTICES and fill_rows(
            block, v0, v1, facets, incoming, incoming_start, highs, names, filled
        ):
            edges = 0
            for v in range(v0, v1):
                if pair_rows(np.uint64(v - v0), facets, highs, names, filled, links):
                    edges += filled[2 * (v - v0)]
                else:
                    end = list_rows(v - v0, facets, highs, names, filled, keys, members)
                    sort_list(0, end, keys, members)
                    read_runs(0, end, v, block, keys, members, facets, links, tallies)
            tallies[block, EDGES] += edges
        else:
            sort_and_match(block, facets, vertex_start, incoming, incoming_start, links, tallies)
