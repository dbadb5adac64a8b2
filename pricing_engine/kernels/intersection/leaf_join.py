"""The join of a tree's leaves with themselves and all later ones: the kernel of :mod:`pair_search`."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.intersection.facet_planes import LEAF_ROWS, apart8, gather8
from pricing_engine.kernels.intersection.fan_separation import fans_apart
from pricing_engine.kernels.intersection.separating_plane_simd import COUNT, KINDS, PAIR_ROWS, may_meet8
from pricing_engine.kernels.runtime.compile import inlined, kernel, uncounted
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import at_most8, count_bits, load8, lowest_bit, splat8
from pricing_engine.kernels.spatial.bvh import WIDTH

STACK = 256  # 7 siblings for each level but the last, and more levels than 2**31 facets can have
GRAIN_LEAVES = 256
FOUND = 2  # after the counts of nodes and pairs
MOST_IN_CHUNK = 1 << 20  # pairs after which a chunk stops


@kernel
def spent(nodes, tests):
    """Units of work, some 10 ns each: blocks of eight boxes and joined leaves; tested pairs of facets or of fans."""
    return nodes + 4 * tests


@kernel
def join_chunk(
    lo,
    hi,
    skip,
    begin,
    vertices,
    facets,
    boxes,
    level_start,
    facet_boxes,
    hub,
    axis,
    near,
    reach,
    limit,
    start,
    keys,
    found,
    work,
):
    """Join leaves ``lo .. hi`` (one chunk) with themselves and all later ones.

    Stops past ``limit`` units of work or :data:`MOST_IN_CHUNK` pairs.
    """
    lo, hi = lo + skip + begin, hi + skip + begin
    chunk = (lo - begin) // GRAIN_LEAVES
    keys = keys[start[chunk] : start[chunk + 1]]
    if len(keys) == 0:
        return
    stack, own = np.empty((STACK, 2), np.int64), np.zeros((LEAF_ROWS, WIDTH))  # the leaf's facets
    waiting, corners = np.empty((KINDS, WIDTH + 1), np.int64), np.zeros((PAIR_ROWS, WIDTH))
    waiting[:, COUNT] = 0
    sums = np.zeros(3, np.int64)
    top_level = len(level_start) - 1
    for leaf in range(lo, hi):
        if sums[FOUND] > MOST_IN_CHUNK or spent(sums[NODES], sums[PAIRS]) > limit:
            break
        gather8(leaf, vertices, facets, near, reach, own)
        x0, x1 = splat8(np.float32(boxes[0, leaf] - near)), splat8(np.float32(boxes[3, leaf] + near))
        y0, y1 = splat8(np.float32(boxes[1, leaf] - near)), splat8(np.float32(boxes[4, leaf] + near))
        z0, z1 = splat8(np.float32(boxes[2, leaf] - near)), splat8(np.float32(boxes[5, leaf] + near))
        stack[0, 0], stack[0, 1] = level_start[top_level], top_level
        depth = 1
        while depth > 0:
            depth -= 1
            sums[NODES] += 1
            block, level = stack[depth, 0], stack[depth, 1]
            hits = _overlapping(boxes, 0, block, x0, y0, z0, x1, y1, z1)
            first = (leaf >> (3 * level)) - (block - level_start[level])
            hits &= -1 << max(first, 0)  # boxes before it hold earlier leaves only: those pairs were found from there
            while hits:
                box = block + lowest_bit(hits)
                hits &= hits - 1
                if level > 0:
                    stack[depth, 0] = level_start[level - 1] + WIDTH * (box - level_start[level])
                    stack[depth, 1] = level - 1
                    depth += 1
                    continue
                sums[NODES] += 1
                one_fan = hub[leaf] >= 0 and hub[leaf] == hub[box] and leaf != box
                sums[PAIRS] += one_fan
                if one_fan and fans_apart(leaf, box, hub[leaf], axis, vertices, facets, near):
                    continue
                rows = _overlapping(facet_boxes, 6 * box, 0, x0, y0, z0, x1, y1, z1)
                _join_rows(leaf, box, rows, vertices, facets, facet_boxes, near, reach, own, waiting, corners, keys,
                           sums)  # fmt: skip
    for kind in range(KINDS):
        _settle(kind, vertices, facets, near, reach, waiting, corners, keys, sums)
    found[chunk] = sums[FOUND]
    work[chunk, NODES], work[chunk, PAIRS] = sums[NODES], sums[PAIRS]


@inlined
def _join_rows(leaf, other, rows, vertices, facets, facet_boxes, near, reach, own, waiting, corners, keys, sums):
    """Compare the facets of ``other`` in the mask ``rows`` with those of ``leaf``, gathered in ``own``."""
    while rows:
        k = lowest_bit(rows)
        rows &= rows - 1
        at = 6 * other
        x0, y0, z0 = splat8(facet_boxes[at, k]), splat8(facet_boxes[at + 1, k]), splat8(facet_boxes[at + 2, k])
        x1, y1, z1 = splat8(facet_boxes[at + 3, k]), splat8(facet_boxes[at + 4, k]), splat8(facet_boxes[at + 5, k])
        lanes = _overlapping(facet_boxes, 6 * leaf, 0, x0, y0, z0, x1, y1, z1)
        if leaf == other:
            lanes &= (1 << k) - 1
        if lanes == 0:
            continue
        sums[PAIRS] += count_bits(lanes)
        g = other * WIDTH + k
        apart, touching, edge = apart8(own, vertices, facets, g, near, reach)
        lanes &= ~apart
        while lanes:
            i = lowest_bit(lanes)
            lanes &= lanes - 1
            kind = (touching >> i & 1) + (edge >> i & 1)
            waiting[kind, waiting[kind, COUNT]] = ((leaf * WIDTH + i) << 32) | g
            waiting[kind, COUNT] += 1
            if waiting[kind, COUNT] == WIDTH:
                _settle(kind, vertices, facets, near, reach, waiting, corners, keys, sums)


@uncounted
def _settle(kind, vertices, facets, near, reach, waiting, corners, keys, sums):
    """Test the waiting pairs of a kind and add those that may meet to ``keys``, as far as these have room."""
    pairs = waiting[kind]
    meet = may_meet8(kind, vertices, facets, pairs, near, reach, corners)
    while meet:
        i = lowest_bit(meet)
        meet &= meet - 1
        if sums[FOUND] < len(keys):
            keys[sums[FOUND]] = pairs[i]
        sums[FOUND] += 1
    pairs[COUNT] = 0


@inlined
def _overlapping(boxes, row, index, x0, y0, z0, x1, y1, z1):
    """Mask of eight boxes of an array, from ``[row, index]`` on, that overlap the given one."""
    hits = at_most8(load8(boxes, row, index), x1) & at_most8(x0, load8(boxes, row + 3, index))
    hits &= at_most8(load8(boxes, row + 1, index), y1) & at_most8(y0, load8(boxes, row + 4, index))
    return hits & at_most8(load8(boxes, row + 2, index), z1) & at_most8(z0, load8(boxes, row + 5, index))
