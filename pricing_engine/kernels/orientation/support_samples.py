"""The samples that need support, for one direction: projected eight at once, blocks of 64 culled by their boxes."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import at_most8, fma8, less8, load8, lowest_bit, max8, splat8, store8

BLOCK = 64
_ROUNDING = np.float32(1e-5)  # of the cosine of a normal


@kernel
def block_boxes(lo, hi, points, rows, boxes):
    """``boxes`` (6, blocks) float32 of the blocks ``lo .. hi`` of 64 columns of ``points``, NaN apart.

    Its first ``rows`` rows are x, y, z of one point or three.
    """
    for block in range(lo, hi):
        for axis in range(3):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for row in range(axis, rows, 3):
                for at in range(block * BLOCK, min(block * BLOCK + BLOCK, points.shape[1])):
                    x = points[row, at]
                    low, high = x if x < low else low, x if x > high else high  # never NaN
            boxes[axis, block], boxes[3 + axis, block] = low, high


@kernel
def fill_normal_boxes(lo, hi, areas, boxes):
    """``boxes`` (6, blocks) float32 of the unit normals of the blocks ``lo .. hi`` of 64 columns of ``areas``.

    ``areas`` (4, N) float32: area vectors, and areas; what has no area has no normal. A block of none has zeros.
    """
    for block in range(lo, hi):
        found = False
        for axis in range(6):
            boxes[axis, block] = 0
        for at in range(block * BLOCK, min(block * BLOCK + BLOCK, areas.shape[1])):
            if areas[3, at] > 0:
                for axis in range(3):
                    x = areas[axis, at] / areas[3, at]
                    boxes[axis, block] = min(boxes[axis, block], x) if found else x
                    boxes[3 + axis, block] = max(boxes[3 + axis, block], x) if found else x
                found = True


@inlined
def most_along(boxes, block, x, y, z):
    """The most that a point of the box has along (x, y, z)."""
    return (
        max(boxes[0, block] * x, boxes[3, block] * x)
        + max(boxes[1, block] * y, boxes[4, block] * y)
        + max(boxes[2, block] * z, boxes[5, block] * z)
    )


@inlined
def rests(corners, triangle, x, y, z, limit):
    """Whether all corners of the triangle are at most ``limit`` high, down being (x, y, z)."""
    low = True
    for k in range(3):
        height = -(corners[3 * k, triangle] * x + corners[3 * k + 1, triangle] * y + corners[3 * k + 2, triangle] * z)
        low = low and height <= limit
    return low


@inlined
def extent(boxes, block, x, y, z):
    """Middle of the box along (x, y, z), and how far it reaches from there."""
    half = np.float32(0.5)
    middle = (
        (boxes[0, block] + boxes[3, block]) * half * x
        + (boxes[1, block] + boxes[4, block]) * half * y
        + (boxes[2, block] + boxes[5, block]) * half * z
    )
    radius = (
        (boxes[3, block] - boxes[0, block]) * half * abs(x)
        + (boxes[4, block] - boxes[1, block]) * half * abs(y)
        + (boxes[5, block] - boxes[2, block]) * half * abs(z)
    )
    return middle, radius


@inlined
def meets(boxes, block, x, y, z, near, far):
    """Whether the box's distance from the middle along (x, y, z) may be in [near, far]."""
    middle, radius = extent(boxes, block, x, y, z)
    return abs(middle) + radius >= near and abs(middle) - radius <= far


@inlined
def dot8(points, row, at, x, y, z):
    """Dot products of eight columns' rows ``row .. row + 2`` with (x, y, z), eight lanes each."""
    return fma8(load8(points, row, at), x, fma8(load8(points, row + 1, at), y, load8(points, row + 2, at) * z))


@kernel
def overhanging(frame, rest, near, far, corners, samples, owner, boxes, normals, groups, cosine, touch, lanes):
    """u, v, height and projected area (4, K) of the samples that need support, if there is something below them."""
    dx, dy, dz, vx, vy, vz = frame[6], frame[7], frame[8], frame[3], frame[4], frame[5]
    ux8, uy8, uz8 = splat8(frame[0]), splat8(frame[1]), splat8(frame[2])
    vx8, vy8, vz8 = splat8(vx), splat8(vy), splat8(vz)
    dx8, dy8, dz8 = splat8(dx), splat8(dy), splat8(dz)
    cosine8, zero8, near8, far8 = splat8(cosine), splat8(np.float32(0)), splat8(near), splat8(far)
    slack = np.float32(4) * touch
    met, count = np.empty(boxes.shape[1], np.int32), 0
    for group in range(groups.shape[1]):
        if meets(groups, group, vx, vy, vz, near - slack, far + slack):
            for block in range(group * BLOCK, min(group * BLOCK + BLOCK, boxes.shape[1])):
                overhangs = most_along(normals, block, dx, dy, dz) > cosine - _ROUNDING
                if overhangs and meets(boxes, block, vx, vy, vz, near - slack, far + slack):
                    met[count] = block
                    count += 1
    chosen, found = np.empty((4, count * BLOCK), np.float32), 0  # memory that is not written to is not taken
    for place in range(count):
        block = met[place]
        for at in range(block * BLOCK, min(block * BLOCK + BLOCK, samples.shape[1]), 8):
            area = dot8(samples, 3, at, dx8, dy8, dz8)
            mask = less8(cosine8 * load8(samples, 6, at), area)
            if mask == 0:
                continue
            v = dot8(samples, 0, at, vx8, vy8, vz8)
            distance = max8(v, zero8 - v)
            mask &= at_most8(near8, distance) & less8(distance, far8)
            if mask == 0:
                continue
            store8(lanes, 0, dot8(samples, 0, at, ux8, uy8, uz8))
            store8(lanes, 8, v)
            store8(lanes, 16, zero8 - dot8(samples, 0, at, dx8, dy8, dz8))
            store8(lanes, 24, area)
            while mask != 0:
                k = lowest_bit(mask)
                mask &= mask - 1
                if lanes[16 + k] <= rest and rests(corners, owner[at + k], dx, dy, dz, rest):
                    continue
                chosen[0, found], chosen[1, found] = lanes[k], lanes[8 + k]
                chosen[2, found], chosen[3, found] = lanes[16 + k], lanes[24 + k]
                found += 1
    return chosen[:, :found]


@inlined
def strip(pu, pv, qu, qv, below, above, near, far):
    """Widen [near, far] by the u of segment pq where its v is within [below, above]."""
    if pv > qv:
        pu, pv, qu, qv = qu, qv, pu, pv
    if qv < below or pv > above:
        return near, far
    slope = (qu - pu) / (qv - pv) if qv > pv else np.float32(0)
    from_u = pu + (below - pv) * slope if pv < below else pu
    to_u = qu + (above - qv) * slope if qv > above else qu
    return min(near, from_u, to_u), max(far, from_u, to_u)
