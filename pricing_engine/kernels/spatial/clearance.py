"""Which of eight points have no facet nearer than a radius: one descent of the BVH for all of them.

Boxes of the tree are compared with the box of the eight points, leaves with each point, and facets with a point by
float32 bounds. What is left is measured in float64, eight pairs at a time, so a point's answer is exact and depends
neither on the other points nor on the order. Points found blocked leave the search.

Where a ball touches the surface, nothing excludes the facets around the place it touches but that they lie beyond its
tangent plane there. Such a search is ``directed``: each point has a unit vector m, towards the place.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import (
    count_bits,
    fma8,
    less8,
    load8,
    lowest8,
    lowest_bit,
    max8,
    min8,
    single8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.spatial.facet_distance import near8, not_beyond8, to_facets8, to_points8
from pricing_engine.kernels.thickness.tangent_sphere import dot8

STACK = 256
LAST = 2  # in ``tests``, after the counts of nodes and pairs: the facet found last, or -1


@inlined
def _extent8(x):
    zero = splat8(np.float32(0))
    return splat8(lowest8(x)), zero - splat8(lowest8(zero - x))


@inlined
def _square8(ax, ay, az, bx, by, bz, cx, cy, cz, dx, dy, dz):
    """Squared distances between the boxes a to b and c to d."""
    zero = splat8(np.float32(0))
    x, y, z = max8(max8(ax - dx, cx - bx), zero), max8(max8(ay - dy, cy - by), zero), max8(max8(az - dz, cz - bz), zero)
    return fma8(x, x, fma8(y, y, z * z))


@inlined
def _siblings8(boxes, group, lx, ly, lz, hx, hy, hz):
    """Squared distances from the box l to h to eight boxes of the tree."""
    return _square8(
        load8(boxes, 0, group), load8(boxes, 1, group), load8(boxes, 2, group),
        load8(boxes, 3, group), load8(boxes, 4, group), load8(boxes, 5, group), lx, ly, lz, hx, hy, hz,
    )  # fmt: skip


@inlined
def _box8(boxes, box, x, y, z, single, directed, wide, beyond):
    """Mask of the points near a box of the tree and, if ``directed``, not wholly behind it."""
    ax, ay, az = splat8(boxes[0, box]), splat8(boxes[1, box]), splat8(boxes[2, box])
    bx, by, bz = splat8(boxes[3, box]), splat8(boxes[4, box]), splat8(boxes[5, box])
    here = less8(_square8(ax, ay, az, bx, by, bz, x, y, z, x, y, z), wide)
    if directed:
        mx, my, mz = load8(single, 3, 0), load8(single, 4, 0), load8(single, 5, 0)
        ahead = min8(mx * (ax - x), mx * (bx - x)) + min8(my * (ay - y), my * (by - y))
        here &= less8(ahead + min8(mz * (az - z), mz * (bz - z)), beyond)
    return here


@inlined
def free8(points, single, active, directed, radius, pad, corners, boxes, level_start, stack, most, tests):
    """Mask of the ``active`` of ``points`` (3, 8) that have no facet nearer than ``radius``.

    They are relative to the BVH's centre. ``single`` (6, 8) float32: room for them, then m of each if ``directed``. The
    facet found last is tried first: neighbours are blocked by the same. With more than ``most`` ``tests`` the search
    ends early, and the mask means nothing.
    """
    limit = radius * radius
    if tests[LAST] >= 0:
        tests[PAIRS] += 1
        active &= ~less8(to_points8(points, corners, tests[LAST]), splat8(limit))
        if active == 0:
            return active
    x, y, z = single8(load8(points, 0, 0)), single8(load8(points, 1, 0)), single8(load8(points, 2, 0))
    store8(single, 0, x)
    store8(single, WIDTH, y)
    store8(single, 2 * WIDTH, z)
    (lx, hx), (ly, hy), (lz, hz) = _extent8(x), _extent8(y), _extent8(z)
    # The distances to boxes and planes are float32: none that matters may be missed.
    slack = splat8(np.float32(1.00001))
    wide, pad8, radius8 = splat8(np.float32(limit)) * slack, splat8(pad), splat8(np.float32(radius) + pad)
    beyond = splat8(np.float32(radius + 4 * pad)) * slack
    half, zero = splat8(np.float32(0.5)), splat8(np.float32(0))
    mx, my, mz = half * (lx + hx), half * (ly + hy), half * (lz + hz)
    away = zero - dot8(x - mx, y - my, z - mz, x - mx, y - my, z - mz)
    around = radius8 + sqrt8(zero - splat8(lowest8(away)))  # a ball around all of theirs
    top = len(level_start) - 1
    stack[0, 0], stack[0, 1] = top, level_start[top]
    depth = 1
    while depth > 0 and tests[NODES] + tests[PAIRS] <= most:
        depth -= 1
        level, group = stack[depth, 0], stack[depth, 1]
        tests[NODES] += 1
        near = less8(_siblings8(boxes, group, lx, ly, lz, hx, hy, hz), wide)
        while near:
            box = group + lowest_bit(near)
            near &= near - 1
            here = active
            if directed or level == 0:  # points that lie apart share few of the inner boxes
                tests[NODES] += 1
                here &= _box8(boxes, box, x, y, z, single, directed, wide, beyond)
                if here == 0:
                    continue
            if level > 0:
                stack[depth, 0] = level - 1
                stack[depth, 1] = level_start[level - 1] + WIDTH * (box - level_start[level])
                depth += 1
                continue
            if not directed and here & (here - 1):  # for several points: one facet after another, if they are fewer
                tests[NODES] += 1
                facets = near8(mx, my, mz, pad8, corners, WIDTH * box, around * around * slack, around)
                if count_bits(facets) <= count_bits(here):
                    while facets:
                        facet = WIDTH * box + lowest_bit(facets)
                        facets &= facets - 1
                        tests[PAIRS] += 1
                        blocked = here & less8(to_points8(points, corners, facet), splat8(limit))
                        if blocked:
                            tests[LAST] = facet
                            active &= ~blocked
                    here = 0
            while here:
                lane = lowest_bit(here)
                here &= here - 1
                px, py, pz = splat8(single[0, lane]), splat8(single[1, lane]), splat8(single[2, lane])
                facets = (1 << WIDTH) - 1
                if directed:
                    tests[NODES] += 1
                    nx, ny, nz = splat8(single[3, lane]), splat8(single[4, lane]), splat8(single[5, lane])
                    facets = not_beyond8(px, py, pz, nx, ny, nz, corners, WIDTH * box, beyond)
                    if facets == 0:
                        continue
                tests[NODES] += 1
                facets &= near8(px, py, pz, pad8, corners, WIDTH * box, wide, radius8)
                if facets:
                    tests[PAIRS] += 1
                    distances = to_facets8(points[0, lane], points[1, lane], points[2, lane], corners, WIDTH * box)
                    facets &= less8(distances, splat8(limit))
                    if facets:
                        tests[LAST] = WIDTH * box + lowest_bit(facets)
                        active &= ~(1 << lane)
            if active == 0:
                return active
    return active


@inlined
def is_far(points, radius, boxes, level_start, stack, tests):
    """Whether no leaf's box is nearer than ``radius`` to the box of ``points`` (3, 8)."""
    lx, hx = _extent8(single8(load8(points, 0, 0)))
    ly, hy = _extent8(single8(load8(points, 1, 0)))
    lz, hz = _extent8(single8(load8(points, 2, 0)))
    wide = splat8(np.float32(radius * radius * 1.00001))
    top = len(level_start) - 1
    stack[0, 0], stack[0, 1] = top, level_start[top]
    depth = 1
    while depth > 0:
        depth -= 1
        level, group = stack[depth, 0], stack[depth, 1]
        tests[NODES] += 1
        near = less8(_siblings8(boxes, group, lx, ly, lz, hx, hy, hz), wide)
        if near and level == 0:
            return False
        while near:
            box = group + lowest_bit(near)
            near &= near - 1
            stack[depth, 0] = level - 1
            stack[depth, 1] = level_start[level - 1] + WIDTH * (box - level_start[level])
            depth += 1
    return True
