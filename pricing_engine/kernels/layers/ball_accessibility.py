"""Where a ball-shaped polishing tool can touch the surface from outside.

A ball of radius r touches a sample with outward normal n when the ball centred at p + r n holds no part of the model
(deeper than a small tolerance, the give of the tool's felt) and its centre can travel there from outside. The travel is
a flood fill over a grid of centres; a grid step is blocked when a ball of slightly reduced radius, but never less than
half the spacing, does not fit, so no path leaks through a wall however thin. Both tests are one query on the BVH
(:mod:`clearance`): is there any facet nearer than r to a point? Where boxes overlap all over the model, it visits them
all; the work is bounded.

The grid is stored in blocks of 4 x 4 x 4 points, 64 bits each, and flooded a block at a time by shifts: O(blocks). All
blocks are tested before, on many threads: by one query if nothing is near, else by one for each of the eight octets of
2 x 2 x 2 points. The flood leaves out few, and those inside the model are mostly far from its surface. Point (i, j, k)
of a block is bit 32 i1 + 16 j1 + 8 k1 + 4 i0 + 2 j0 + k0, where i = 2 i1 + i0: each octet is a byte.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import select8, splat8, store8
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.spatial.clearance import STACK, Clearance, free8, is_far

SIDE = 4  # points along a block
# By axis: the bits of points with an even coordinate there, and with a coordinate of 0 or 1.
_EVEN = (0x0F0F0F0F0F0F0F0F, 0x3333333333333333, 0x5555555555555555)
_FIRST = (0x00000000FFFFFFFF, 0x0000FFFF0000FFFF, 0x00FF00FF00FF00FF)


class Grid(NamedTuple):
    """Points ``origin + spacing * (i, j, k)``: ``origin`` (3,) and ``spacing`` in mm, ``shape`` (3,) int64.

    Blocks of 4 x 4 x 4 points lie in row-major order of (i, j, k) // 4, ceil(shape / 4) of them.
    """

    origin: Any
    spacing: Any
    shape: Any


@kernel
def find_touched(lo, hi, grain, points, normals, radius, grid, reached, clearance, touches, work):
    """Set ``touches[i]`` to 1 where a ball of ``radius`` (mm) touches sample i: a range kernel.

    ``points`` (N, 3) mm relative to the BVH's centre, unit ``normals`` (N, 3). The ball touches where a corner of the
    grid's cell around its centre is ``reached`` (see :func:`flood`), which is tested first, and where it fits.
    ``clearance``: its radius less what the tool gives way. ``work`` (chunks, 2): nodes visited and vectors of facets
    tested; with more of both a sample than the clearance's budget it ends, and the samples left are not tested.
    """
    stack, tests, budget = np.empty((STACK, 2), np.int64), np.array([0, 0, -1]), clearance.budget * (hi - lo)
    search = Clearance(clearance.bvh, clearance.radius, clearance.pad, budget)
    centres, single = np.zeros((3, WIDTH)), np.zeros((6, WIDTH), np.float32)
    which, filled = np.zeros(WIDTH, np.int64), 0
    for i in range(lo, hi):
        x = points[i, 0] + radius * normals[i, 0]
        y = points[i, 1] + radius * normals[i, 1]
        z = points[i, 2] + radius * normals[i, 2]
        if _has_arrived(x, y, z, grid, reached):
            for lane in range(filled, WIDTH):  # lanes that are not filled later repeat this one
                centres[0, lane], centres[1, lane], centres[2, lane] = x, y, z
            for axis in range(3):
                single[3 + axis, filled] = np.float32(-normals[i, axis])
            which[filled] = i
            filled += 1
        if filled == WIDTH or (filled > 0 and i == hi - 1):
            free = free8(centres, single, (1 << filled) - 1, True, search, stack, tests)
            if tests[NODES] + tests[PAIRS] > budget:
                break
            for lane in range(filled):
                touches[which[lane]] = free >> lane & 1
            filled = 0
    work[lo // grain, NODES], work[lo // grain, PAIRS] = tests[NODES], tests[PAIRS]


@inlined
def _has_arrived(x, y, z, grid, reached):
    """Whether a corner of the cell around a point was reached."""
    origin, spacing, shape = grid.origin, grid.spacing, grid.shape
    a = int(np.floor((x - origin[0]) / spacing))
    b = int(np.floor((y - origin[1]) / spacing))
    c = int(np.floor((z - origin[2]) / spacing))
    ny, nz = -(-shape[1] // SIDE), -(-shape[2] // SIDE)
    for corner in range(8):
        i = min(max(a + (corner & 1), 0), shape[0] - 1)
        j = min(max(b + (corner >> 1 & 1), 0), shape[1] - 1)
        k = min(max(c + (corner >> 2), 0), shape[2] - 1)
        bit = (i & 2) << 4 | (j & 2) << 3 | (k & 2) << 2 | (i & 1) << 2 | (j & 1) << 1 | (k & 1)
        if reached[(i // SIDE * ny + j // SIDE) * nz + k // SIDE] >> np.uint64(bit) & np.uint64(1):
            return True
    return False


@kernel
def find_free(lo, hi, grain, grid, clearance, free, work):
    """Fill ``free`` (blocks,) uint64, the bits of the grid points whose clearance holds: a range kernel.

    ``work`` (chunks, 2): nodes visited and vectors of facets tested. With more of both a block than the clearance's
    budget it ends, and the blocks left are not tested.
    """
    stack, tests, budget = np.empty((STACK, 2), np.int64), np.array([0, 0, -1]), clearance.budget * (hi - lo)
    search = Clearance(clearance.bvh, clearance.radius, clearance.pad, budget)
    points, single = np.empty((3, WIDTH)), np.empty((6, WIDTH), np.float32)
    ny, nz = -(-grid.shape[1] // SIDE), -(-grid.shape[2] // SIDE)
    for block in range(lo, hi):
        if tests[NODES] + tests[PAIRS] > budget:
            break
        i, j, k = SIDE * (block // (ny * nz)), SIDE * (block // nz % ny), SIDE * (block % nz)
        free[block] = _free64(i, j, k, grid, points, single, search, stack, tests)
    work[lo // grain, NODES], work[lo // grain, PAIRS] = tests[NODES], tests[PAIRS]


@kernel
def flood(shape, free, reached):
    """Set in ``reached`` (blocks,) uint64 the bits of the points that a ball can travel to from the first.

    It moves along the axes through points that are ``free``; the first point counts as free.
    """
    count, sizes = len(reached), (-(-shape[0] // SIDE), -(-shape[1] // SIDE), -(-shape[2] // SIDE))
    strides = (sizes[1] * sizes[2], sizes[2], 1)
    arrived, waits = np.zeros(count, np.uint64), np.zeros(count, np.bool_)
    queue, head, waiting = np.zeros(count, np.int32), 0, 1  # a ring: no block waits twice
    free[0] |= np.uint64(1)
    arrived[0], waits[0] = 1, True
    while waiting > 0:
        block = queue[head]
        head, waiting, waits[block] = (head + 1) % count, waiting - 1, False
        at = (block // strides[0], block // strides[1] % sizes[1], block % sizes[2])
        word = _fill(arrived[block], free[block])
        reached[block] = word
        for side in range(6):
            axis, ahead = side // 2, side % 2 == 0
            across = np.uint64(9 * (4 >> axis))
            even, first = np.uint64(_EVEN[axis]), np.uint64(_FIRST[axis])
            if ahead and at[axis] + 1 < sizes[axis]:
                other, into = block + strides[axis], (word & ~even & ~first) >> across
            elif not ahead and at[axis] > 0:
                other, into = block - strides[axis], (word & even & first) << across
            else:
                continue
            into &= free[other] & ~reached[other]
            if into & ~arrived[other]:
                arrived[other] |= into
                if not waits[other]:
                    queue[(head + waiting) % count] = other
                    waits[other], waiting = True, waiting + 1


@inlined
def _fill(word, free):
    """Spread the bits of ``word`` to neighbours that are ``free`` in the block, until nothing is new."""
    before = np.uint64(0)
    while word != before:
        before = word
        for axis in range(3):
            step, even, first = np.uint64(4 >> axis), np.uint64(_EVEN[axis]), np.uint64(_FIRST[axis])
            far = np.uint64(7) * step  # between coordinates 1 and 2, which lie in two octets
            beside = (word & even) << step | (word & ~even) >> step
            word |= free & (beside | (word & ~even & first) << far | (word & even & ~first) >> far)
    return word


@inlined
def _free64(i, j, k, grid, points, single, clearance, stack, tests):
    """Return the free points of the block that begins at point (i, j, k), without those outside the grid."""
    shape = grid.shape
    _place8(i, j, k, SIDE - 1, grid, points)
    far, free = is_far(points, clearance, stack, tests), np.uint64(0)
    for octet in range(8):
        a, b, c = i + 2 * (octet >> 2), j + 2 * (octet >> 1 & 1), k + 2 * (octet & 1)
        if a >= shape[0] or b >= shape[1] or c >= shape[2]:
            continue
        found = 0xFF if a + 1 < shape[0] else 0x0F
        found &= 0xFF if b + 1 < shape[1] else 0x33
        found &= 0xFF if c + 1 < shape[2] else 0x55
        if not far:
            _place8(a, b, c, 1, grid, points)
            found = free8(points, single, found, False, clearance, stack, tests)
        free |= np.uint64(found) << np.uint64(WIDTH * octet)
    return free


@inlined
def _place8(i, j, k, size, grid, points):
    """Corners of the cube of grid points from (i, j, k) to ``size`` steps on, the last coordinate running fastest."""
    origin, spacing = grid.origin, grid.spacing
    x, y, z = origin[0] + spacing * i, origin[1] + spacing * j, origin[2] + spacing * k
    store8(points, 0, select8(0xF0, splat8(origin[0] + spacing * (i + size)), splat8(x)))
    store8(points, WIDTH, select8(0xCC, splat8(origin[1] + spacing * (j + size)), splat8(y)))
    store8(points, 2 * WIDTH, select8(0xAA, splat8(origin[2] + spacing * (k + size)), splat8(z)))
