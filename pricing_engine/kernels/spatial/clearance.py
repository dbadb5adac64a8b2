"""Which of eight points have no facet nearer than a radius: one descent of the BVH for all of them.

Boxes of the tree are compared with the box of the eight points, leaves with each point, and facets with a point by
float32 bounds. What is left is measured in float64, eight pairs at a time, so a point's result is exact and depends
neither on the other points nor on the order. Blocked points leave the search.

Where a ball touches the surface, nothing excludes the facets around the place it touches but that they lie beyond its
tangent plane there. Such a search is ``directed``: each point has a unit vector m, towards the place.

O(log n) on common models, every node where all boxes overlap: the caller bounds the tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import (
    count_bits,
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
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import dot8, load3, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH, first_child
from pricing_engine.kernels.spatial.facet_distance import near8, not_beyond8, to_facets8, to_points8

STACK = 256
LAST = 2  # in ``tests``, after the counts of nodes and pairs: the facet found last, or -1
_DIRECTION = 3  # first row of m in ``single``


class Clearance(NamedTuple):
    """What a search compares with.

    The ``bvh``; ``radius`` (mm); ``pad`` (mm), more than the corners' rounding to float32; ``budget``, the tests after
    which it ends.
    """

    bvh: Any
    radius: Any
    pad: Any
    budget: Any


class _Ball(NamedTuple):
    """In all lanes: the radius, its square and the distance ahead from which nothing counts, with slack; the pad."""

    radius: Any
    square: Any
    beyond: Any
    pad: Any


@inlined
def _extent8(x):
    zero = splat8(np.float32(0))
    return splat8(lowest8(x)), zero - splat8(lowest8(zero - x))


@inlined
def _gap8(a, b, c, d):
    """Squared distances between the boxes a to b and c to d."""
    zero = splat8(np.float32(0))
    gap = (
        max8(max8(a[0] - d[0], c[0] - b[0]), zero),
        max8(max8(a[1] - d[1], c[1] - b[1]), zero),
        max8(max8(a[2] - d[2], c[2] - b[2]), zero),
    )
    return dot8(gap, gap)


@inlined
def _siblings8(boxes, group, low, high):
    """Squared distances from the box ``low`` to ``high`` to eight boxes of the tree."""
    return _gap8(load3(boxes, 0, group), load3(boxes, 3, group), low, high)


@inlined
def _box8(boxes, box, p, single, directed, ball):
    """Mask of the points p near a box of the tree and, if ``directed``, not completely behind it."""
    a = splat3((boxes[0, box], boxes[1, box], boxes[2, box]))
    b = splat3((boxes[3, box], boxes[4, box], boxes[5, box]))
    near = less8(_gap8(a, b, p, p), ball.square)
    if directed:
        m, low, high = load3(single, _DIRECTION, 0), sub(a, p), sub(b, p)
        ahead = min8(m[0] * low[0], m[0] * high[0]) + min8(m[1] * low[1], m[1] * high[1])
        near &= less8(ahead + min8(m[2] * low[2], m[2] * high[2]), ball.beyond)
    return near


@inlined
def _test_facets(facets, box, points, corners, limit, near, active, tests):
    """Return the ``active`` points without those of ``near`` that one of a leaf's ``facets`` blocks."""
    while facets:
        facet = WIDTH * box + lowest_bit(facets)
        facets &= facets - 1
        tests[PAIRS] += 1
        blocked = near & less8(to_points8(points, corners, facet), splat8(limit))
        if blocked:
            tests[LAST] = facet
            active &= ~blocked
    return active


@inlined
def _test_points(near, box, points, single, corners, limit, directed, ball, active, tests):
    """Return the ``active`` points without those of ``near`` that a facet of a leaf blocks; one point after another."""
    while near:
        lane = lowest_bit(near)
        near &= near - 1
        p = splat3((single[0, lane], single[1, lane], single[2, lane]))
        facets = (1 << WIDTH) - 1
        if directed:
            tests[NODES] += 1
            m = splat3((single[_DIRECTION, lane], single[_DIRECTION + 1, lane], single[_DIRECTION + 2, lane]))
            facets = not_beyond8(p, m, corners, WIDTH * box, ball.beyond)
            if facets == 0:
                continue
        tests[NODES] += 1
        facets &= near8(p, ball.pad, corners, WIDTH * box, ball.square, ball.radius)
        if facets:
            tests[PAIRS] += 1
            exact = to_facets8((points[0, lane], points[1, lane], points[2, lane]), corners, WIDTH * box)
            facets &= less8(exact, splat8(limit))
            if facets:
                tests[LAST] = WIDTH * box + lowest_bit(facets)
                active &= ~(1 << lane)
    return active


@inlined
def free8(points, single, active, directed, clearance, stack, tests):
    """Mask of the ``active`` of ``points`` (3, 8) float64 that have no facet nearer than the radius.

    They are relative to the BVH's centre. ``single`` (6, 8) float32: scratch, then m of each if ``directed``. The facet
    found last is tried first: neighbours are blocked by the same. ``stack`` (STACK, 2) and ``tests`` (3,) int64. Past
    the budget the search ends early, and the mask is undefined.
    """
    corners, boxes, level_start = clearance.bvh.corners, clearance.bvh.boxes, clearance.bvh.level_start
    radius, pad, budget = clearance.radius, clearance.pad, clearance.budget
    limit = radius * radius
    if tests[LAST] >= 0:
        tests[PAIRS] += 1
        active &= ~less8(to_points8(points, corners, tests[LAST]), splat8(limit))
        if active == 0:
            return active
    x, y, z = single8(load8(points, 0, 0)), single8(load8(points, 1, 0)), single8(load8(points, 2, 0))
    p = x, y, z
    store8(single, 0, x)
    store8(single, WIDTH, y)
    store8(single, 2 * WIDTH, z)
    (lx, hx), (ly, hy), (lz, hz) = _extent8(x), _extent8(y), _extent8(z)
    low, high = (lx, ly, lz), (hx, hy, hz)
    # The distances to boxes and planes are float32: none that matters may be missed.
    slack = splat8(np.float32(1.00001))
    wide, pad8, radius8 = splat8(np.float32(limit)) * slack, splat8(pad), splat8(np.float32(radius) + pad)
    ball = _Ball(radius8, wide, splat8(np.float32(radius + 4 * pad)) * slack, pad8)
    half, zero = splat8(np.float32(0.5)), splat8(np.float32(0))
    middle = half * (lx + hx), half * (ly + hy), half * (lz + hz)
    offset = sub(p, middle)
    around = radius8 + sqrt8(zero - splat8(lowest8(zero - dot8(offset, offset))))  # a ball around all of theirs
    top = len(level_start) - 1
    depth = push(stack, 0, level_start[top], top)
    while depth > 0 and tests[NODES] + tests[PAIRS] <= budget:
        depth, group, level = pop(stack, depth)
        tests[NODES] += 1
        hits = less8(_siblings8(boxes, group, low, high), wide)
        while hits:
            box = group + lowest_bit(hits)
            hits &= hits - 1
            near = active
            if directed or level == 0:  # distant points share few of the inner boxes
                tests[NODES] += 1
                near &= _box8(boxes, box, p, single, directed, ball)
                if near == 0:
                    continue
            if level > 0:
                depth = push(stack, depth, first_child(level_start, box, level), level - 1)
                continue
            if not directed and near & (near - 1):  # for several points: one facet after another, if they are fewer
                tests[NODES] += 1
                facets = near8(middle, pad8, corners, WIDTH * box, around * around * slack, around)
                if count_bits(facets) <= count_bits(near):
                    active = _test_facets(facets, box, points, corners, limit, near, active, tests)
                    near = 0
            active = _test_points(near, box, points, single, corners, limit, directed, ball, active, tests)
            if active == 0:
                return active
    return active


@inlined
def is_far(points, clearance, stack, tests):
    """Whether no leaf's box is nearer than the radius to the box of ``points`` (3, 8)."""
    boxes, level_start, radius = clearance.bvh.boxes, clearance.bvh.level_start, clearance.radius
    lx, hx = _extent8(single8(load8(points, 0, 0)))
    ly, hy = _extent8(single8(load8(points, 1, 0)))
    lz, hz = _extent8(single8(load8(points, 2, 0)))
    wide = splat8(np.float32(radius * radius * 1.00001))
    top = len(level_start) - 1
    depth = push(stack, 0, level_start[top], top)
    while depth > 0:
        depth, group, level = pop(stack, depth)
        tests[NODES] += 1
        near = less8(_siblings8(boxes, group, (lx, ly, lz), (hx, hy, hz)), wide)
        if near and level == 0:
            return False
        while near:
            box = group + lowest_bit(near)
            near &= near - 1
            depth = push(stack, depth, first_child(level_start, box, level), level - 1)
    return True
