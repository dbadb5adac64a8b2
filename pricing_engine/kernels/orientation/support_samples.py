"""The samples that need support, for one direction: projected eight at once, blocks of 64 culled by their boxes.

O(samples) a direction, a sixty-fourth of it where whole blocks neither overhang nor lie in the band. All in float32
about the model's centre.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import at_most8, fma8, less8, load8, lowest_bit, max8, splat8, store8
from pricing_engine.kernels.runtime.vec3 import splat3
from pricing_engine.kernels.spatial.bvh import WIDTH

BLOCK = 64
U, V, DOWN = 0, 3, 6
"""First entries of a frame's (9,) axes, three each: two across the direction, and the direction down."""

AREA_VECTOR, AREA = 3, 6
"""Rows of samples (7, S), after the point."""

SAMPLE_U, SAMPLE_V, SAMPLE_HEIGHT, SAMPLE_WEIGHT = 0, 1, 2, 3
"""Rows of what :func:`overhanging` finds: place across the direction, height, projected area."""

_ROUNDING = np.float32(1e-5)  # of the cosine of a normal


class SupportSurface(NamedTuple):
    """The boundary as triangles and as samples.

    ``corners`` (9, N) float32 of the triangles, and ``samples`` (7, S) float32: point, area vector, area; their columns
    a multiple of eight, padded by NaN and by zeros.

    ``owner`` (S,) int32: the triangle of each sample. ``blocks`` and ``sample_blocks`` (6, n): boxes of every 64
    (:func:`block_boxes`), ``normals`` and ``sample_normals`` (6, n): of their unit normals
    (:func:`fill_normal_boxes`); ``sample_groups``: boxes of every 64 ``sample_blocks``.
    """

    corners: Any
    blocks: Any
    normals: Any
    samples: Any
    owner: Any
    sample_blocks: Any
    sample_normals: Any
    sample_groups: Any


@inlined
def axis_of(frame, first):
    """Return the axis of a frame (9,) that starts at entry ``first``."""
    return frame[first], frame[first + 1], frame[first + 2]


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
def max_along(boxes, block, x, y, z):
    """Return the greatest component along (x, y, z) of a point of the box."""
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
def project8(points, row, at, axis8):
    """Dot products of eight columns' rows ``row .. row + 2`` with an axis (x, y, z), eight lanes each."""
    x, y, z = axis8
    return fma8(load8(points, row, at), x, fma8(load8(points, row + 1, at), y, load8(points, row + 2, at) * z))


@inlined
def _find_blocks(surface, down, v, near, far, cosine, blocks):
    """Fill ``blocks`` with those that may hold samples that overhang in the band; returns how many."""
    boxes, groups, count = surface.sample_blocks, surface.sample_groups, 0
    for group in range(groups.shape[1]):
        if meets(groups, group, v[0], v[1], v[2], near, far):
            for block in range(group * BLOCK, min(group * BLOCK + BLOCK, boxes.shape[1])):
                overhangs = max_along(surface.sample_normals, block, down[0], down[1], down[2]) > cosine - _ROUNDING
                if overhangs and meets(boxes, block, v[0], v[1], v[2], near, far):
                    blocks[count] = block
                    count += 1
    return count


@kernel
def overhanging(frame, rest, near, far, surface, cosine, touch, lanes):
    """u, v, height and projected area (4, K) of the samples that need support, if there is something below them.

    ``frame`` (9,) float32; ``rest`` (mm): height up to which facets rest on the platform; ``near``, ``far`` (mm): the
    band of v; ``touch`` (mm): distance at which surfaces touch. ``lanes``: (32,) float32 or more, scratch.
    """
    samples, owner, boxes = surface.samples, surface.owner, surface.sample_blocks
    down, v_axis = axis_of(frame, DOWN), axis_of(frame, V)
    u8, v8, down8 = splat3(axis_of(frame, U)), splat3(v_axis), splat3(down)
    cosine8, zero8, near8, far8 = splat8(cosine), splat8(np.float32(0)), splat8(near), splat8(far)
    slack = np.float32(4) * touch
    met = np.empty(boxes.shape[1], np.int32)
    count = _find_blocks(surface, down, v_axis, near - slack, far + slack, cosine, met)
    chosen, found = np.empty((4, count * BLOCK), np.float32), 0  # memory that is not written to is not taken
    for place in range(count):
        block = met[place]
        for at in range(block * BLOCK, min(block * BLOCK + BLOCK, samples.shape[1]), WIDTH):
            area = project8(samples, AREA_VECTOR, at, down8)
            mask = less8(cosine8 * load8(samples, AREA, at), area)
            if mask == 0:
                continue
            v = project8(samples, 0, at, v8)
            distance = max8(v, zero8 - v)
            mask &= at_most8(near8, distance) & less8(distance, far8)
            if mask == 0:
                continue
            store8(lanes, SAMPLE_U * WIDTH, project8(samples, 0, at, u8))
            store8(lanes, SAMPLE_V * WIDTH, v)
            store8(lanes, SAMPLE_HEIGHT * WIDTH, zero8 - project8(samples, 0, at, down8))
            store8(lanes, SAMPLE_WEIGHT * WIDTH, area)
            while mask != 0:
                k = lowest_bit(mask)
                mask &= mask - 1
                low = lanes[SAMPLE_HEIGHT * WIDTH + k] <= rest
                if low and rests(surface.corners, owner[at + k], down[0], down[1], down[2], rest):
                    continue
                for row in range(4):
                    chosen[row, found] = lanes[row * WIDTH + k]
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
