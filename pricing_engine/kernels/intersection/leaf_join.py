"""The join of a tree's leaves with themselves and all later ones: the kernel of :mod:`pair_search`.

Expected O(log n + pairs) a leaf; chunks of leaves stop at a limit of work.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.intersection.facet_planes import LEAF_ROWS, gather8, separated8
from pricing_engine.kernels.intersection.fan_separation import fans_separated
from pricing_engine.kernels.intersection.separating_plane_simd import COUNT, KINDS, PAIR_ROWS, may_meet8
from pricing_engine.kernels.runtime.compile import inlined, kernel, uncounted
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import at_most8, count_bits, lowest_bit, splat8
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import load3, splat3
from pricing_engine.kernels.spatial.bvh import WIDTH, first_child

STACK = 256  # 7 siblings for each level but the last, and more levels than 2**31 facets can have
GRAIN_LEAVES = 256
FOUND = 2  # after the counts of nodes and pairs
MAX_IN_CHUNK = 1 << 20  # pairs after which a chunk stops


@kernel
def work_units(nodes, tests):
    """Units of work, some 10 ns each: blocks of eight boxes and joined leaves; tested pairs of facets or of fans."""
    return nodes + 4 * tests


class Joinable(NamedTuple):
    """What every leaf is compared by.

    ``boxes`` (6 * leaves, 8) float32 of its facets, widened by ``near`` mm; its fan's ``hub`` (leaves,) int32, -1 where
    it is no fan, and ``axis`` (leaves, 3).
    """

    boxes: Any
    near: Any
    hub: Any
    axis: Any


class Found(NamedTuple):
    """Output of chunks.

    ``keys`` ``first << 32 | second``, those of chunk i from ``start[i]`` to ``start[i + 1]``, and how many it ``found``
    (chunks,), which may be more; ``work`` (chunks, 2): nodes visited, pairs tested.
    """

    start: Any
    keys: Any
    found: Any
    work: Any


class _Buffers(NamedTuple):
    """Working memory of a leaf's join.

    ``own`` (LEAF_ROWS, 8), its facets; ``waiting`` (KINDS, 9), pairs to test; ``corners`` (PAIR_ROWS, 8), scratch;
    ``keys``; ``sums`` (3,): nodes, pairs, found.
    """

    own: Any
    waiting: Any
    corners: Any
    keys: Any
    sums: Any


@kernel
def join_chunk(lo, hi, skip, begin, vertices, facets, bvh, joinable, limit, output):
    """Join leaves ``lo .. hi`` (one chunk), counted from ``begin + skip``, with themselves and all later ones.

    Stops past ``limit`` units of work or :data:`MAX_IN_CHUNK` pairs.
    """
    lo, hi = lo + skip + begin, hi + skip + begin
    chunk = (lo - begin) // GRAIN_LEAVES
    keys = output.keys[output.start[chunk] : output.start[chunk + 1]]
    if len(keys) == 0:
        return
    boxes, level_start, reach = bvh.boxes, bvh.level_start, bvh.diagonal
    facet_boxes, near, hub, axis = joinable.boxes, joinable.near, joinable.hub, joinable.axis
    stack, own = np.empty((STACK, 2), np.int64), np.zeros((LEAF_ROWS, WIDTH))
    waiting, corners = np.empty((KINDS, WIDTH + 1), np.int64), np.zeros((PAIR_ROWS, WIDTH))
    waiting[:, COUNT] = 0
    sums = np.zeros(3, np.int64)
    buffers = _Buffers(own, waiting, corners, keys, sums)
    top_level = len(level_start) - 1
    for leaf in range(lo, hi):
        if sums[FOUND] > MAX_IN_CHUNK or work_units(sums[NODES], sums[PAIRS]) > limit:
            break
        gather8(leaf, vertices, facets, near, reach, own)
        low = (
            splat8(np.float32(boxes[0, leaf] - near)),
            splat8(np.float32(boxes[1, leaf] - near)),
            splat8(np.float32(boxes[2, leaf] - near)),
        )
        high = (
            splat8(np.float32(boxes[3, leaf] + near)),
            splat8(np.float32(boxes[4, leaf] + near)),
            splat8(np.float32(boxes[5, leaf] + near)),
        )
        depth = push(stack, 0, level_start[top_level], top_level)
        while depth > 0:
            depth, block, level = pop(stack, depth)
            sums[NODES] += 1
            hits = _overlapping(boxes, 0, block, low, high)
            first = (leaf >> (3 * level)) - (block - level_start[level])
            hits &= -1 << max(first, 0)  # boxes before it hold earlier leaves only: those pairs were found from there
            while hits:
                box = block + lowest_bit(hits)
                hits &= hits - 1
                if level > 0:
                    depth = push(stack, depth, first_child(level_start, box, level), level - 1)
                    continue
                sums[NODES] += 1
                one_fan = hub[leaf] >= 0 and hub[leaf] == hub[box] and leaf != box
                sums[PAIRS] += one_fan
                if one_fan and fans_separated(leaf, box, hub[leaf], axis, vertices, facets, near):
                    continue
                rows = _overlapping(facet_boxes, 6 * box, 0, low, high)
                _join_rows(leaf, box, rows, vertices, facets, facet_boxes, near, reach, buffers)
    for kind in range(KINDS):
        _settle(kind, vertices, facets, near, reach, buffers)
    output.found[chunk] = sums[FOUND]
    output.work[chunk, NODES], output.work[chunk, PAIRS] = sums[NODES], sums[PAIRS]


@inlined
def _join_rows(leaf, other, rows, vertices, facets, facet_boxes, near, reach, buffers):
    """Compare the facets of ``other`` in the mask ``rows`` with those of ``leaf``, gathered in the buffers."""
    own, waiting, sums = buffers.own, buffers.waiting, buffers.sums
    while rows:
        k = lowest_bit(rows)
        rows &= rows - 1
        at = 6 * other
        low = splat3((facet_boxes[at, k], facet_boxes[at + 1, k], facet_boxes[at + 2, k]))
        high = splat3((facet_boxes[at + 3, k], facet_boxes[at + 4, k], facet_boxes[at + 5, k]))
        lanes = _overlapping(facet_boxes, 6 * leaf, 0, low, high)
        if leaf == other:
            lanes &= (1 << k) - 1
        if lanes == 0:
            continue
        sums[PAIRS] += count_bits(lanes)
        g = other * WIDTH + k
        separated, touching, shares_edge = separated8(own, vertices, facets, g, near, reach)
        lanes &= ~separated
        while lanes:
            i = lowest_bit(lanes)
            lanes &= lanes - 1
            kind = (touching >> i & 1) + (shares_edge >> i & 1)
            waiting[kind, waiting[kind, COUNT]] = ((leaf * WIDTH + i) << 32) | g
            waiting[kind, COUNT] += 1
            if waiting[kind, COUNT] == WIDTH:
                _settle(kind, vertices, facets, near, reach, buffers)


@uncounted
def _settle(kind, vertices, facets, near, reach, buffers):
    """Test the waiting pairs of a kind and add those that may meet to the keys, as far as these have room."""
    keys, sums, pairs = buffers.keys, buffers.sums, buffers.waiting[kind]
    meet = may_meet8(kind, vertices, facets, pairs, near, reach, buffers.corners)
    while meet:
        i = lowest_bit(meet)
        meet &= meet - 1
        if sums[FOUND] < len(keys):
            keys[sums[FOUND]] = pairs[i]
        sums[FOUND] += 1
    pairs[COUNT] = 0


@inlined
def _overlapping(boxes, row, index, low, high):
    """Mask of eight boxes of an array, from ``[row, index]`` on, that overlap the box ``low`` to ``high``."""
    other_low, other_high = load3(boxes, row, index), load3(boxes, row + 3, index)
    hits = at_most8(other_low[0], high[0]) & at_most8(low[0], other_high[0])
    hits &= at_most8(other_low[1], high[1]) & at_most8(low[1], other_high[1])
    return hits & at_most8(other_low[2], high[2]) & at_most8(low[2], other_high[2])
