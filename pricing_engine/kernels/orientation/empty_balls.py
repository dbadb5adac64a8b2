"""Empty balls below samples of the surface: a lower bound, along any direction, of the free height below them.

A ball tangent to the surface at a sample, outside, that no facet meets holds a chord of length D n.d along each
direction d, D being its diameter and n the sample's normal. So one search of the tree bounds the support below a
sample from below for all directions ("shrinking ball", Ma, Bae and Choi, "3D medial axis point approximation using
nearest neighbors and the normal field", 2012). Only facets count whose normal makes more than 45 degrees with n: no
other faces up where the sample overhangs. A ball starts a little behind the surface, so that a surface that touches
there leaves it no diameter.

O(log n) a sample on common models; a sample whose search takes more than its budget gets a diameter of 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.orientation.support_samples import max_along
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    fma8,
    least8,
    less8,
    lowest_bit,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import cross, dot8, load3, point, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH, first_child
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS, NORMAL, diameters8, gather_leaf

_STACK = 256
_ASIDE = 0.715  # cosine of the angle between normals from which one never faces up where the other overhangs
_ZERO = np.float32(0)


class BallSearch(NamedTuple):
    """What the balls are searched in, and how.

    ``vertices``, ``facets`` and ``bvh`` of the mesh; ``sides`` (6, n): boxes of the unit normals of every eight leaves;
    ``seeds`` (6, n) float32, points of the surface and their normals, n a multiple of eight: small balls to start with.
    ``behind`` (mm): how far behind the surface the balls start; ``widest`` (mm): the greatest diameter. ``budget``:
    nodes and leaves that a sample may take.
    """

    vertices: Any
    facets: Any
    bvh: Any
    sides: Any
    seeds: Any
    behind: Any
    widest: Any
    budget: Any


@inlined
def _float3(u):
    return np.float32(u[0]), np.float32(u[1]), np.float32(u[2])


@inlined
def _push_nearest_last(near, distance8, group, level, before, level_start, stack, depth, away):
    """Push the boxes in the mask ``near``, the nearest last, except leaf ``before``; returns the new depth.

    The nearest is then taken first, and leaves least of the ball.
    """
    store8(away, 0, distance8)
    while near:
        lane = lowest_bit(near)
        for other in range(lane + 1, WIDTH):
            if near >> other & 1 and away[other] > away[lane]:
                lane = other
        near &= ~(1 << lane)
        child = group + lane
        if level == 0 and child == before:
            continue
        depth = push(stack, depth, child if level == 0 else first_child(level_start, child, level), level - 1)
    return depth


@kernel
def empty_balls(lo, hi, grain, points, normals, search, diameters, work):
    """``diameters`` (S,) mm of the balls at samples ``lo .. hi``, at most the search's ``widest``.

    ``points`` (S, 3) mm relative to the tree's centre and unit ``normals`` (S, 3) float64. ``work`` (chunks, 2): nodes
    visited, and leaves measured.
    """
    vertices, facets, sides, budget = search.vertices, search.facets, search.sides, search.budget
    corners, boxes, level_start = search.bvh.corners, search.bvh.boxes, search.bvh.level_start
    centre, size = search.bvh.centre, search.bvh.diagonal
    seeds, behind, widest = search.seeds, search.behind, search.widest
    stack, leaf64, away = np.empty((_STACK, 2), np.int64), np.empty((LEAF_ROWS, WIDTH)), np.empty(WIDTH, np.float32)
    top, last, nodes, leaves = len(level_start) - 1, np.int64(-1), 0, 0
    pad, blur8 = np.float32(size * 2.0**-20), splat8(np.float32(size * 2.0**-21))
    zero8, none8 = splat8(_ZERO), splat8(np.inf)
    for s in range(lo, hi):
        n = point(normals, s)
        p = points[s, 0] - behind * n[0], points[s, 1] - behind * n[1], points[s, 2] - behind * n[2]
        n8 = splat3(_float3(n))
        best = min(widest, np.float64(_through(p, n8, seeds, size)))
        before_sample, leaf, before = nodes + leaves, last, last
        depth = push(stack, 0, level_start[top], top)
        while True:
            if leaf >= 0:
                leaves += 1
                gather_leaf(leaf, vertices, facets, centre, size, leaf64)
                facing = dot8(load3(leaf64, NORMAL, 0), splat3(n))
                filled = (1 << min(len(facets) - leaf * WIDTH, WIDTH)) - 1
                hits, found = diameters8(leaf64, p, n, less8(facing, splat8(_ASIDE)) & filled, facing, best, size)
                least = least8(select8(hits, found, none8))
                if least < best:
                    best, last = least, leaf
            leaf, radius = np.int64(-1), np.float32(best / 2) + pad
            c8 = splat3(_float3((p[0] + best / 2 * n[0], p[1] + best / 2 * n[1], p[2] + best / 2 * n[2])))
            radius8, square8 = splat8(radius), splat8(radius * radius)
            while depth > 0 and leaf < 0:
                depth, place, level = pop(stack, depth)
                nodes += 1
                if level < 0:
                    if _blockers8(corners, place * WIDTH, n8, c8, radius8, blur8):
                        leaf = place
                    continue
                if level == 0 and -max_along(sides, place // WIDTH, -n[0], -n[1], -n[2]) > _ASIDE:
                    continue
                low, high = sub(load3(boxes, 0, place), c8), sub(c8, load3(boxes, 3, place))
                gap = (
                    max8(max8(low[0], high[0]), zero8),
                    max8(max8(low[1], high[1]), zero8),
                    max8(max8(low[2], high[2]), zero8),
                )
                distance8 = dot8(gap, gap)
                near = less8(distance8, square8)
                depth = _push_nearest_last(near, distance8, place, level, before, level_start, stack, depth, away)
            if leaf < 0:
                break
            if nodes + leaves - before_sample > budget:
                best = 0.0
                break
        diameters[s] = best
    work[lo // grain, NODES], work[lo // grain, PAIRS] = nodes, leaves


@inlined
def _through(p, n8, seeds, size):
    """Diameter of the least ball through a seed that may face up; inf where there is none."""
    p8, least = splat3(_float3(p)), splat8(np.float32(np.inf))
    none8, low8, aside8 = least, splat8(np.float32(size * 1e-5)), splat8(np.float32(_ASIDE))
    for seed in range(0, seeds.shape[1], WIDTH):
        d = sub(load3(seeds, 0, seed), p8)
        height = dot8(d, n8)
        faces = less8(dot8(load3(seeds, 3, seed), n8), aside8)
        value = dot8(d, d) / height
        least = min8(select8(faces & less8(low8, height), value, none8), least)
    return least8(least)


@inlined
def _blockers8(corners, base, n8, c8, radius8, blur8):
    """Mask of a leaf's facets that may face up where a sample of normal n overhangs, and whose planes meet the ball.

    ``blur8``: by how much (mm) the rounding of corners to float32 may turn an edge.
    """
    a = load3(corners, 0, base)
    u, v = sub(load3(corners, 3, base), a), sub(load3(corners, 6, base), a)
    m = cross(u, v)
    area = sqrt8(dot8(m, m))
    blur = blur8 * sqrt8(max8(dot8(u, u), dot8(v, v)))
    mask = at_most8(dot8(m, n8) - blur, splat8(np.float32(_ASIDE)) * area)
    w = sub(c8, a)
    height, blur = dot8(m, w), blur * (radius8 + sqrt8(dot8(w, w)))
    return mask & at_most8(max8(height, splat8(_ZERO) - height), fma8(radius8, area, blur))


@kernel
def ball_volumes(lo, hi, points, normals, areas, diameters, directions, platform, rest, cosine, slack, volumes):
    """Add to ``volumes[d]`` (mm3) a lower bound of the support below the samples, for directions ``lo .. hi``.

    ``points`` and ``normals`` (S, 3), ``areas`` and ``diameters`` (S,), ``directions`` (3, D), ``platform`` and
    ``rest`` (D,) as in :mod:`support_volume`. ``slack`` (mm): what rounding may take off a height.
    """
    total = np.zeros(hi - lo)
    for s in range(len(areas)):
        x, y, z, nx, ny, nz = points[s, 0], points[s, 1], points[s, 2], normals[s, 0], normals[s, 1], normals[s, 2]
        area, diameter = areas[s], diameters[s]
        for d in range(lo, hi):
            along = nx * directions[0, d] + ny * directions[1, d] + nz * directions[2, d]
            height = -(x * directions[0, d] + y * directions[1, d] + z * directions[2, d])
            free = min(diameter * along, height - platform[d]) - slack
            counted = (along > cosine) & (height > rest[d]) & (free > 0)
            total[d - lo] += area * along * free if counted else 0.0
    for d in range(lo, hi):
        volumes[d] += total[d - lo] * (1 - 1e-6)
