"""Where a ball-shaped polishing tool can touch the surface from outside.

A ball of radius r touches a sample with outward normal n when the ball centred at p + r n holds no part of the model
(deeper than a small tolerance, which is what the tool's felt gives way) and its centre can travel there from outside.
The travel is a flood fill over a grid of centres; a grid step is blocked when a ball of slightly reduced radius, but
never less than half the spacing, does not fit, so no path leaks through a wall however thin. Both questions are one
query on the BVH: is there any facet nearer than r to a point? Where boxes overlap all over the model, it visits
them all; the work is bounded.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.simd import at_most8, fma8, less8, load8, lowest_bit, max8, min8, splat8, sqrt8
from pricing_engine.kernels.tangent import dot8
from pricing_engine.kernels.work import NODES, PAIRS

_STACK = 256
_LAST = 2  # after the counts of nodes and pairs


@inlined
def _distance2(px, py, pz, corners, facet):
    """Squared distance from a point to a facet (Ericson, Real-Time Collision Detection, 5.1.5)."""
    ax, ay, az = np.float64(corners[0, facet]), np.float64(corners[1, facet]), np.float64(corners[2, facet])
    ux, uy, uz = corners[3, facet] - ax, corners[4, facet] - ay, corners[5, facet] - az
    vx, vy, vz = corners[6, facet] - ax, corners[7, facet] - ay, corners[8, facet] - az
    wx, wy, wz = px - ax, py - ay, pz - az
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    wu, wv = wx * ux + wy * uy + wz * uz, wx * vx + wy * vy + wz * vz
    s, t = 0.0, 0.0
    d3, d4 = wu - uu, wv - uv
    d5, d6 = wu - uv, wv - vv
    vc, vb, va = wu * d4 - d3 * wv, d5 * wv - wu * d6, d3 * d6 - d5 * d4
    if wu <= 0.0 and wv <= 0.0:
        pass
    elif d3 >= 0.0 and d4 <= d3:
        s = 1.0
    elif vc <= 0.0 and wu >= 0.0 and d3 <= 0.0:
        s = wu / (wu - d3) if wu > d3 else 0.0
    elif d6 >= 0.0 and d5 <= d6:
        t = 1.0
    elif vb <= 0.0 and wv >= 0.0 and d6 <= 0.0:
        t = wv / (wv - d6) if wv > d6 else 0.0
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        span = (d4 - d3) + (d5 - d6)
        t = (d4 - d3) / span if span > 0.0 else 0.0
        s = 1.0 - t
    else:
        total = va + vb + vc
        s, t = vb / total, vc / total
    dx, dy, dz = wx - s * ux - t * vx, wy - s * uy - t * vy, wz - s * uz - t * vz
    return dx * dx + dy * dy + dz * dz


@inlined
def _near8(x, y, z, pad, corners, base, wide, radius):
    """Mask of a leaf's facets that may be within ``radius`` of the point, whose square is ``wide``.

    Facets are excluded by their bounding boxes, widened by ``pad``, and by the distance to their planes. The rounding
    error of that distance in float32 is bounded by 16 * 2**-24 * |edge| * |edge| * |point - corner|.
    """
    zero, rounding = splat8(np.float32(0)), splat8(np.float32(16 * 2.0**-24))
    ax, ay, az = load8(corners, 0, base), load8(corners, 1, base), load8(corners, 2, base)
    bx, by, bz = load8(corners, 3, base), load8(corners, 4, base), load8(corners, 5, base)
    cx, cy, cz = load8(corners, 6, base), load8(corners, 7, base), load8(corners, 8, base)
    dx = max8(max8(min8(ax, min8(bx, cx)) - x, x - max8(ax, max8(bx, cx))) - pad, zero)
    dy = max8(max8(min8(ay, min8(by, cy)) - y, y - max8(ay, max8(by, cy))) - pad, zero)
    dz = max8(max8(min8(az, min8(bz, cz)) - z, z - max8(az, max8(bz, cz))) - pad, zero)
    mask = less8(fma8(dx, dx, fma8(dy, dy, dz * dz)), wide)
    if mask == 0:
        return mask
    ex, ey, ez, fx, fy, fz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    wx, wy, wz = x - ax, y - ay, z - az
    nx, ny, nz = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
    height = dot8(nx, ny, nz, wx, wy, wz)
    lengths = dot8(ex, ey, ez, ex, ey, ez) * dot8(fx, fy, fz, fx, fy, fz) * dot8(wx, wy, wz, wx, wy, wz)
    reach = radius * sqrt8(dot8(nx, ny, nz, nx, ny, nz)) + rounding * sqrt8(lengths)
    return mask & at_most8(max8(height, zero - height), reach)


@inlined
def _is_free(px, py, pz, radius, pad, corners, boxes, level_start, stack, tests):
    """Whether no facet is nearer than ``radius`` to the point (relative to the BVH's centre).

    The facet that was found last, ``tests[_LAST]``, is tried first: neighbours are blocked by the same.
    """
    limit = radius * radius
    if tests[_LAST] >= 0:
        tests[PAIRS] += 1
        if _distance2(px, py, pz, corners, tests[_LAST]) < limit:
            return False
    x, y, z, zero = splat8(np.float32(px)), splat8(np.float32(py)), splat8(np.float32(pz)), splat8(np.float32(0))
    wide = splat8(np.float32(limit * 1.00001))  # the boxes' distances are float32: none that matters may be missed
    pad8, radius8 = splat8(pad), splat8(np.float32(radius) + pad)
    top = len(level_start) - 1
    stack[0, 0], stack[0, 1] = top, level_start[top]
    depth = 1
    while depth > 0:
        depth -= 1
        level, group = stack[depth, 0], stack[depth, 1]
        tests[NODES] += 1
        dx = max8(max8(load8(boxes, 0, group) - x, x - load8(boxes, 3, group)), zero)
        dy = max8(max8(load8(boxes, 1, group) - y, y - load8(boxes, 4, group)), zero)
        dz = max8(max8(load8(boxes, 2, group) - z, z - load8(boxes, 5, group)), zero)
        near = less8(fma8(dx, dx, fma8(dy, dy, dz * dz)), wide)
        while near:
            box = group + lowest_bit(near)
            near &= near - 1
            if level > 0:
                stack[depth, 0] = level - 1
                stack[depth, 1] = level_start[level - 1] + 8 * (box - level_start[level])
                depth += 1
                continue
            tests[NODES] += 1
            facets = _near8(x, y, z, pad8, corners, 8 * box, wide, radius8)
            while facets:
                facet = 8 * box + lowest_bit(facets)
                facets &= facets - 1
                tests[PAIRS] += 1
                if _distance2(px, py, pz, corners, facet) < limit:
                    tests[_LAST] = facet
                    return False
    return True


@kernel
def touchable(lo, hi, grain, points, normals, radius, tolerance, pad, corners, boxes, level_start, most, out, work):
    """Range kernel: ``out[i]`` 1 where the ball fits at sample i; points (N, 3) relative to the BVH's centre.

    ``work`` (chunks, 2): nodes visited and facets tested. With more than ``most`` of both a sample it ends, and the
    samples left are not tested.
    """
    stack, tests = np.empty((_STACK, 2), np.int64), np.array([0, 0, -1])
    for i in range(lo, hi):
        if tests[NODES] + tests[PAIRS] > most * (hi - lo):
            break
        x = points[i, 0] + radius * normals[i, 0]
        y = points[i, 1] + radius * normals[i, 1]
        z = points[i, 2] + radius * normals[i, 2]
        out[i] = 1 if _is_free(x, y, z, radius - tolerance, pad, corners, boxes, level_start, stack, tests) else 0
    work[lo // grain, NODES], work[lo // grain, PAIRS] = tests[NODES], tests[PAIRS]


@kernel
def flood(origin, spacing, shape, radius, pad, corners, boxes, level_start, most, reached, work):
    """Mark in ``reached`` (cells,) uint8 with 1 the grid points that a ball can travel to from cell 0, which is free.

    Cell (i, j, k) lies at ``origin + spacing * (i, j, k)`` and has index ``(i * shape[1] + j) * shape[2] + k``; 2 marks
    points found blocked. Each point is tested once, and only when the flood arrives. ``work`` (1, 2): nodes visited and
    facets tested; with more than ``most`` of both it ends before it is through.
    """
    stack, tests = np.empty((_STACK, 2), np.int64), np.array([0, 0, -1])
    queue = np.empty(len(reached), np.int32)
    queue[0], reached[0] = 0, 1
    head, tail = 0, 1
    while head < tail and tests[NODES] + tests[PAIRS] <= most:
        cell = queue[head]
        head += 1
        i, j, k = cell // (shape[1] * shape[2]), cell // shape[2] % shape[1], cell % shape[2]
        for side in range(6):
            step = 1 if side % 2 == 0 else -1
            a = i + step if side // 2 == 0 else i
            b = j + step if side // 2 == 1 else j
            c = k + step if side // 2 == 2 else k
            if a < 0 or b < 0 or c < 0 or a >= shape[0] or b >= shape[1] or c >= shape[2]:
                continue
            other = (a * shape[1] + b) * shape[2] + c
            if reached[other] == 0:
                x, y, z = origin[0] + spacing * a, origin[1] + spacing * b, origin[2] + spacing * c
                if _is_free(x, y, z, radius, pad, corners, boxes, level_start, stack, tests):
                    reached[other] = 1
                    queue[tail] = other
                    tail += 1
                else:
                    reached[other] = 2
    work[0, NODES], work[0, PAIRS] = tests[NODES], tests[PAIRS]


@kernel
def touched(points, normals, radius, origin, spacing, shape, reached, fits):
    """How many samples a ball touches: it fits there, and a corner of the centre's cell was reached."""
    count = 0
    for i in range(len(points)):
        if fits[i] != 1:
            continue
        a = int(np.floor((points[i, 0] + radius * normals[i, 0] - origin[0]) / spacing))
        b = int(np.floor((points[i, 1] + radius * normals[i, 1] - origin[1]) / spacing))
        c = int(np.floor((points[i, 2] + radius * normals[i, 2] - origin[2]) / spacing))
        arrived = False
        for corner in range(8):
            x = min(max(a + (corner & 1), 0), shape[0] - 1)
            y = min(max(b + (corner >> 1 & 1), 0), shape[1] - 1)
            z = min(max(c + (corner >> 2), 0), shape[2] - 1)
            arrived = arrived or reached[(x * shape[1] + y) * shape[2] + z] == 1
        if arrived:
            count += 1
    return count
