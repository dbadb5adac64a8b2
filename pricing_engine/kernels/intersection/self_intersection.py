"""Facets that meet others beyond shared vertices and edges.

Two facets intersect when their relative interiors have a point in common: they cross, overlap in one plane, or are the
same facet twice. A vertex or an edge on a face, an edge on an edge and whatever happens on one boundary only is
touching and doesn't count; facets without area have no interior and meet nothing. One definition serves all pairs,
neighbours or not.

Pairs from :mod:`pair_search` are filtered in float64 once more, without a margin (:mod:`separating_plane`), and what
does not decide is decided exactly (:mod:`triangle_overlap`). The result is that of exact arithmetic on the welded
coordinates.

Bounded work: pairs are decided in batches, and a pair whose facets are both marked already is passed over, so a
tangle costs a few exact decisions a facet. Where facets that do not intersect would need too many of them, the result
is None. Batches depend on the input alone. O(pairs) on common models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.equal_facets import first_equals, have_area
from pricing_engine.kernels.intersection.leaf_join import STACK
from pricing_engine.kernels.intersection.pair_search import (
    CHUNK_SHARE,
    MIN_WORK,
    WORK_PER_FACET,
    Pairs,
    boxes_of_facets,
)
from pricing_engine.kernels.intersection.separating_plane import may_meet
from pricing_engine.kernels.intersection.triangle_overlap import interiors_meet
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, record, work_array, work_limit
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh, first_child

MAX_EXACT, MAX_EXACT_PER_FACET = 300_000, 4  # exact decisions, up to 13 us each
EXACT_UNITS = 512  # what one of them weighs against the units of :func:`leaf_join.work_units`
_EXACT = 2  # column of exact decisions, after those of nodes and pairs
_GRAIN_PAIRS = 1024
_FIRST_BATCH, _BATCH_PAIRS = 4 * _GRAIN_PAIRS, 128 * _GRAIN_PAIRS
_GRAIN_LEAVES = 64
_BATCH_LEAVES = 16 * _GRAIN_LEAVES


def self_intersections(mesh: Mesh, bvh: Bvh, pairs: Pairs, threads: int) -> NDArray[np.bool_] | None:
    """Which facets (F,) meet another in a point of both relative interiors: exact, ``pairs`` complete or not.

    ``pairs``: from :func:`find_pairs` of the same mesh. Where it is not complete, each facet is searched for by itself,
    until one is found that it meets: in a tangle that is soon. None where that takes more than bounded work.
    """
    if pairs.complete and pairs.same is None:
        return _flag_pairs(mesh, pairs, threads)
    same = first_equals(mesh.facets) if pairs.same is None else pairs.same
    proper = have_area(mesh, threads)
    repeated = np.bincount(same, minlength=mesh.facet_count)[same] > 1
    if pairs.complete:
        flags = _flag_pairs(mesh, pairs, threads)
    else:
        firsts = np.flatnonzero((same == np.arange(len(same))) & proper)
        if len(firsts) < mesh.facet_count:
            mesh = Mesh(mesh.vertices, mesh.facets[firsts])
            bvh = build_bvh(mesh, threads)
        flags = np.zeros(len(same), np.bool_)
        found = _flag_facets(mesh, bvh, threads) if len(firsts) else flags[:0]
        if found is None:
            return None
        flags[firsts] = found
    if flags is None:
        return None
    either: NDArray[np.bool_] = proper & (repeated | flags[same])
    return either


def meeting(mesh: Mesh, pairs: Pairs, threads: int) -> NDArray[np.bool_]:
    """Which of the pairs (P,) intersect, exactly, each decided."""
    found = np.zeros(len(pairs.first), np.bool_)
    none, work = np.zeros(mesh.facet_count, np.bool_), work_array(len(found), _GRAIN_PAIRS)
    exact = np.zeros(len(work), np.int64)
    arguments = (mesh.vertices, mesh.facets, pairs.first, pairs.second, none, found, work, exact)
    run_ranges(_decide, len(found), _GRAIN_PAIRS, threads, 0, *arguments)
    return found


def _flag_pairs(mesh: Mesh, pairs: Pairs, threads: int) -> NDArray[np.bool_] | None:
    count = len(pairs.first)
    found, flags = np.zeros(count, np.bool_), np.zeros(mesh.facet_count, np.bool_)
    work = work_array(count, _GRAIN_PAIRS)
    exact = np.zeros(len(work), np.int64)
    arguments = (mesh.vertices, mesh.facets, pairs.first, pairs.second, flags, found, work, exact)
    most = MAX_EXACT + MAX_EXACT_PER_FACET * mesh.facet_count
    done, batch = 0, _FIRST_BATCH
    while done < count:
        end = min(count, done + batch)
        run_ranges(_decide, end - done, _GRAIN_PAIRS, threads, done, *arguments)
        hits = done + np.flatnonzero(found[done:end])
        flags[pairs.first[hits]] = flags[pairs.second[hits]] = True
        if exact.sum() > most and end < count:
            record("self_intersection", work)
            return None
        done, batch = end, min(2 * batch, _BATCH_PAIRS)
    record("self_intersection", work)
    return flags


def _flag_facets(mesh: Mesh, bvh: Bvh, threads: int) -> NDArray[np.bool_] | None:
    leaves = bvh.corners.shape[1] // WIDTH
    facet_boxes, _ = boxes_of_facets(bvh, 0.0, threads)
    flags = np.zeros(mesh.facet_count, np.bool_)
    partner = np.full(mesh.facet_count, -1, np.int32)
    work, units = work_array(leaves, _GRAIN_LEAVES), np.zeros(chunk_count(leaves, _GRAIN_LEAVES), np.int64)
    most = work_limit(mesh.facet_count, WORK_PER_FACET, MIN_WORK)
    max_in_chunk = most // CHUNK_SHARE
    for skip in range(0, leaves, _BATCH_LEAVES):
        batch = min(leaves - skip, _BATCH_LEAVES)
        run_ranges(_search_leaves, batch, _GRAIN_LEAVES, threads, skip, mesh.vertices, mesh.facets, bvh,
                   facet_boxes, flags, partner, max_in_chunk, work, units)  # fmt: skip
        if units.max() > max_in_chunk or units.sum() > most:
            record("self_intersection", work)
            return None
        facets = np.arange(WIDTH * skip, min(WIDTH * (skip + batch), mesh.facet_count))
        hits = facets[partner[facets] >= 0]
        flags[hits] = flags[partner[hits]] = True
    record("self_intersection", work)
    return flags


@kernel
def _decide(lo, hi, begin, vertices, facets, first, second, flags, found, work, exact):
    """Only pairs of which not both facets are marked in ``flags``; ``exact`` counts exact decisions."""
    chunk = (begin + lo) // _GRAIN_PAIRS
    tests, decisions = 0, 0
    last = -1  # a facet found to intersect in this chunk: pairs lie sorted by their first facet
    for pair in range(begin + lo, begin + hi):
        f, g = first[pair], second[pair]
        if (flags[f] or f == last) and flags[g]:
            continue
        tests += 1
        if may_meet(vertices, facets, f, g, 0.0):
            decisions += 1
            if interiors_meet(vertices, facets, f, g):
                found[pair] = True
                last = f
    work[chunk, PAIRS], exact[chunk] = tests, decisions


@kernel
def _search_leaves(lo, hi, skip, vertices, facets, bvh, facet_boxes, flags, partner, budget, work, units):
    """``partner`` of each facet of a chunk that is not in ``flags``: one that it meets."""
    lo, hi, boxes, level_start = lo + skip, hi + skip, bvh.boxes, bvh.level_start
    stack = np.empty((STACK, 2), np.int64)
    count = np.zeros(3, np.int64)  # nodes, pairs, exact decisions
    top_level = len(level_start) - 1
    chunk = lo // _GRAIN_LEAVES
    begin, end = lo * WIDTH, min(hi * WIDTH, len(facets))
    for f in range(begin, end):
        units[chunk] = count[NODES] + 4 * count[PAIRS] + EXACT_UNITS * count[_EXACT]
        if units[chunk] > budget:
            break
        if flags[f] or partner[f] >= 0:
            continue
        leaf, i = f // WIDTH, f % WIDTH
        x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
        x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
        depth = push(stack, 0, level_start[top_level], top_level)
        while depth > 0:
            depth, block, level = pop(stack, depth)
            count[NODES] += 1
            for box in range(block, block + WIDTH):
                if not (boxes[0, box] <= x1 and boxes[3, box] >= x0 and boxes[1, box] <= y1):
                    continue
                if not (boxes[4, box] >= y0 and boxes[2, box] <= z1 and boxes[5, box] >= z0):
                    continue
                if level > 0:
                    depth = push(stack, depth, first_child(level_start, box, level), level - 1)
                    continue
                count[NODES] += 1
                g = _meets_leaf(f, box, vertices, facets, facet_boxes, count)
                if g >= 0:
                    partner[f] = g
                    if begin <= g < end:
                        partner[g] = f
                    depth = 0
                    break
    units[chunk] = count[NODES] + 4 * count[PAIRS] + EXACT_UNITS * count[_EXACT]
    work[chunk, NODES], work[chunk, PAIRS] = count[NODES], count[PAIRS]


@kernel
def _meets_leaf(f, other, vertices, facets, facet_boxes, count):
    """Return a facet of the leaf that ``f`` meets, or -1."""
    leaf, i = f // WIDTH, f % WIDTH
    x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
    x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
    for k in range(min(WIDTH, len(facets) - other * WIDTH)):
        g = other * WIDTH + k
        hit = (facet_boxes[other, 0, k] <= x1) & (facet_boxes[other, 3, k] >= x0)
        hit &= (facet_boxes[other, 1, k] <= y1) & (facet_boxes[other, 4, k] >= y0)
        hit &= (facet_boxes[other, 2, k] <= z1) & (facet_boxes[other, 5, k] >= z0)
        if hit and g != f:
            count[PAIRS] += 1
            if may_meet(vertices, facets, f, g, 0.0):
                count[_EXACT] += 1
                if interiors_meet(vertices, facets, f, g):
                    return g
    return -1
