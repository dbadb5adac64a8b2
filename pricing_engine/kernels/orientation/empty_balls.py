"""Empty balls below samples of the surface: how far at least, along any direction, to what may hold a support.

A ball tangent to the surface at a sample, outside, that no facet meets holds a chord of length D n.d along each
direction d, D being its diameter and n the sample's normal. So one search of the tree bounds the support below a
sample from below for all directions ("shrinking ball", Ma, Bae and Choi, "3D medial axis point approximation using
nearest neighbors and the normal field", 2012). Only facets count whose normal makes more than 45 degrees with n: no
other faces up where the sample overhangs. A ball begins a little behind the surface, so that what touches the surface
there leaves it no room.

O(log n) a sample on common models; a sample whose search takes more than its budget gets a ball without room.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.orientation.support_samples import most_along
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    fma8,
    least8,
    less8,
    load8,
    lowest_bit,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS, diameters8, dot8, gather_leaf

_STACK = 256
_ASIDE = 0.715  # cosine of the angle between normals from which one never faces up where the other overhangs
_ZERO = np.float32(0)


@kernel
def empty_balls(lo, hi, grain, points, normals, seeds, behind, widest, vertices, facets, corners, sides, boxes,
                level_start, centre, size, most, diameters, work):  # fmt: skip
    """``diameters`` (S,) mm of the balls at samples ``lo .. hi``, at most ``widest``.

    ``points`` (S, 3) relative to ``centre`` and unit ``normals`` (S, 3) float64; ``seeds`` (6, n) float32, points of
    the surface and their normals, n a multiple of eight: to begin with small balls. ``behind`` (mm): how far behind the
    surface the balls begin. ``sides`` (6, n): boxes of the unit normals of every eight leaves.

    ``work`` (chunks, 2): nodes visited, and leaves measured; a sample takes at most ``most`` of both.
    """
    stack, leaf64, away = np.empty((_STACK, 2), np.int64), np.empty((LEAF_ROWS, WIDTH)), np.empty(WIDTH, np.float32)
    top, last, nodes, leaves = len(level_start) - 1, np.int64(-1), 0, 0
    pad, blur8 = np.float32(size * 2.0**-20), splat8(np.float32(size * 2.0**-21))
    zero8, none8 = splat8(_ZERO), splat8(np.inf)
    for s in range(lo, hi):
        nx, ny, nz = normals[s, 0], normals[s, 1], normals[s, 2]
        px, py, pz = points[s, 0] - behind * nx, points[s, 1] - behind * ny, points[s, 2] - behind * nz
        nx8, ny8, nz8 = splat8(np.float32(nx)), splat8(np.float32(ny)), splat8(np.float32(nz))
        best = min(widest, np.float64(_through(px, py, pz, nx8, ny8, nz8, seeds, size)))
        begun, leaf, before = nodes + leaves, last, last
        stack[0, 0], stack[0, 1], depth = top, level_start[top], 1
        while True:
            if leaf >= 0:
                leaves += 1
                gather_leaf(leaf, vertices, facets, centre, size, leaf64)
                facing = dot8(load8(leaf64, 9, 0), load8(leaf64, 10, 0), load8(leaf64, 11, 0),
                              splat8(nx), splat8(ny), splat8(nz))  # fmt: skip
                held = (1 << min(len(facets) - leaf * WIDTH, WIDTH)) - 1
                hits, found = diameters8(
                    leaf64, px, py, pz, nx, ny, nz, less8(facing, splat8(_ASIDE)) & held, facing, best, size
                )
                least = least8(select8(hits, found, none8))
                if least < best:
                    best, last = least, leaf
            leaf, radius = np.int64(-1), np.float32(best / 2) + pad
            x8, y8, z8 = (
                splat8(np.float32(px + best / 2 * nx)),
                splat8(np.float32(py + best / 2 * ny)),
                splat8(np.float32(pz + best / 2 * nz)),
            )
            radius8, square8 = splat8(radius), splat8(radius * radius)
            while depth > 0 and leaf < 0:
                depth -= 1
                level, place = stack[depth, 0], stack[depth, 1]
                nodes += 1
                if level < 0:
                    if _blockers8(corners, place * WIDTH, nx8, ny8, nz8, x8, y8, z8, radius8, blur8):
                        leaf = place
                    continue
                if level == 0 and -most_along(sides, place // WIDTH, -nx, -ny, -nz) > _ASIDE:
                    continue
                dx = max8(max8(load8(boxes, 0, place) - x8, x8 - load8(boxes, 3, place)), zero8)
                dy = max8(max8(load8(boxes, 1, place) - y8, y8 - load8(boxes, 4, place)), zero8)
                dz = max8(max8(load8(boxes, 2, place) - z8, z8 - load8(boxes, 5, place)), zero8)
                distance8 = fma8(dx, dx, fma8(dy, dy, dz * dz))
                near = less8(distance8, square8)
                store8(away, 0, distance8)
                while near:  # the farthest first: the nearest is taken first, and leaves least of the ball
                    lane = lowest_bit(near)
                    for other in range(lane + 1, WIDTH):
                        if near >> other & 1 and away[other] > away[lane]:
                            lane = other
                    near &= ~(1 << lane)
                    child = place + lane
                    if level == 0 and child == before:
                        continue
                    stack[depth, 0] = level - 1
                    stack[depth, 1] = (
                        child if level == 0 else level_start[level - 1] + WIDTH * (child - level_start[level])
                    )
                    depth += 1
            if leaf < 0:
                break
            if nodes + leaves - begun > most:
                best = 0.0
                break
        diameters[s] = best
    work[lo // grain, NODES], work[lo // grain, PAIRS] = nodes, leaves


@inlined
def _through(px, py, pz, nx8, ny8, nz8, seeds, size):
    """Diameter of the least ball through a seed that may face up; inf where there is none."""
    x8, y8, z8, least = (
        splat8(np.float32(px)),
        splat8(np.float32(py)),
        splat8(np.float32(pz)),
        splat8(np.float32(np.inf)),
    )
    none8, low8, aside8 = least, splat8(np.float32(size * 1e-5)), splat8(np.float32(_ASIDE))
    for seed in range(0, seeds.shape[1], WIDTH):
        dx, dy, dz = load8(seeds, 0, seed) - x8, load8(seeds, 1, seed) - y8, load8(seeds, 2, seed) - z8
        height = dot8(dx, dy, dz, nx8, ny8, nz8)
        faces = less8(dot8(load8(seeds, 3, seed), load8(seeds, 4, seed), load8(seeds, 5, seed), nx8, ny8, nz8), aside8)
        value = dot8(dx, dy, dz, dx, dy, dz) / height
        least = min8(select8(faces & less8(low8, height), value, none8), least)
    return least8(least)


@inlined
def _blockers8(corners, base, nx8, ny8, nz8, x8, y8, z8, radius8, blur8):
    """Mask of a leaf's facets that may face up where a sample of normal n overhangs, and whose planes meet the ball.

    ``blur8``: by how much (mm) the rounding of corners to float32 may turn an edge.
    """
    ax, ay, az = load8(corners, 0, base), load8(corners, 1, base), load8(corners, 2, base)
    ux, uy, uz = load8(corners, 3, base) - ax, load8(corners, 4, base) - ay, load8(corners, 5, base) - az
    vx, vy, vz = load8(corners, 6, base) - ax, load8(corners, 7, base) - ay, load8(corners, 8, base) - az
    mx, my, mz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    area = sqrt8(dot8(mx, my, mz, mx, my, mz))
    blur = blur8 * sqrt8(max8(dot8(ux, uy, uz, ux, uy, uz), dot8(vx, vy, vz, vx, vy, vz)))
    mask = at_most8(dot8(mx, my, mz, nx8, ny8, nz8) - blur, splat8(np.float32(_ASIDE)) * area)
    wx, wy, wz = x8 - ax, y8 - ay, z8 - az
    height, blur = dot8(mx, my, mz, wx, wy, wz), blur * (radius8 + sqrt8(dot8(wx, wy, wz, wx, wy, wz)))
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
