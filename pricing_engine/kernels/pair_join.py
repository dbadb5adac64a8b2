"""The join of a tree's leaves with themselves and all later ones: the kernel of :mod:`pair_search`."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.bvh import WIDTH
from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.facet_pairs import may_meet
from pricing_engine.kernels.fans import fans_apart
from pricing_engine.kernels.work import NODES, PAIRS

STACK = 256  # 7 siblings for each level but the last, and more levels than 2**31 facets can have
GRAIN_LEAVES = 256
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
    first_key, room = start[chunk], start[chunk + 1] - start[chunk]
    if room == 0:
        return
    stack = np.empty((STACK, 2), np.int64)
    top_level = len(level_start) - 1
    count = np.int64(0)
    nodes, tests = np.int64(0), np.int64(0)
    for leaf in range(lo, hi):
        if count > MOST_IN_CHUNK or spent(nodes, tests) > limit:
            break
        x0, y0, z0 = boxes[0, leaf] - near, boxes[1, leaf] - near, boxes[2, leaf] - near
        x1, y1, z1 = boxes[3, leaf] + near, boxes[4, leaf] + near, boxes[5, leaf] + near
        stack[0, 0], stack[0, 1] = level_start[top_level], top_level
        depth = 1
        while depth > 0:
            depth -= 1
            nodes += 1
            block, level = stack[depth, 0], stack[depth, 1]
            for box in range(block, block + WIDTH):
                if not (boxes[0, box] <= x1 and boxes[3, box] >= x0 and boxes[1, box] <= y1):
                    continue
                if not (boxes[4, box] >= y0 and boxes[2, box] <= z1 and boxes[5, box] >= z0):
                    continue
                index = box - level_start[level]
                if (index + 1) << (3 * level) <= leaf:
                    continue  # holds earlier leaves only: those pairs were found from there
                if level > 0:
                    stack[depth, 0], stack[depth, 1] = level_start[level - 1] + WIDTH * index, level - 1
                    depth += 1
                    continue
                nodes += 1
                one_fan = hub[leaf] >= 0 and hub[leaf] == hub[box] and leaf != box
                tests += one_fan
                if not (one_fan and fans_apart(leaf, box, hub[leaf], axis, vertices, facets, near)):
                    count, tests = _join_pair(
                        leaf, box, vertices, facets, boxes, facet_boxes, near, first_key, room, keys, count, tests
                    )
    found[chunk] = count
    work[chunk, NODES], work[chunk, PAIRS] = nodes, tests


@kernel
def _join_pair(leaf, other, vertices, facets, boxes, facet_boxes, near, first_key, room, keys, count, tests):
    for i in range(WIDTH):
        x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
        x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
        if not (boxes[0, other] - near <= x1 and boxes[3, other] + near >= x0 and boxes[1, other] - near <= y1):
            continue
        if not (boxes[4, other] + near >= y0 and boxes[2, other] - near <= z1 and boxes[5, other] + near >= z0):
            continue
        hits = 0
        for k in range(WIDTH):
            hit = (facet_boxes[other, 0, k] <= x1) & (facet_boxes[other, 3, k] >= x0)
            hit &= (facet_boxes[other, 1, k] <= y1) & (facet_boxes[other, 4, k] >= y0)
            hit &= (facet_boxes[other, 2, k] <= z1) & (facet_boxes[other, 5, k] >= z0)
            hits |= np.int64(hit) << k
        f = leaf * WIDTH + i
        for k in range(i + 1 if leaf == other else 0, WIDTH):
            if (hits >> k) & 1 == 0:
                continue
            g = other * WIDTH + k
            tests += 1
            if may_meet(vertices, facets, f, g, near):
                if count < room:
                    keys[first_key + count] = (f << 32) | g
                count += 1
    return count, tests
