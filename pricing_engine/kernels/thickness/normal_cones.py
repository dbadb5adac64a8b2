"""Cones of the normals of the facets under each box of the tree, and the slabs that hold these facets.

For each box: an axis, the mean of the facets' normals; the cone about it that holds them (Shirman and Abi-Ezzi, "The
cone of normals technique for fast processing of curved patches", 1993); and the least offset of the facets along it. A
search for facets that face a direction, or that lie near a sphere, skips boxes by them: on a smooth wall the
slab is far thinner than the box. All that a search needs of eight siblings lies together with their boxes in six cache
lines. Cones and slabs are widened by more than float32 rounds. O(n log n) for n facets, 44 bytes a box (6.3 a facet).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import at_most8, fma8, less8, load8, max8, min8, splat8, store8
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.runtime.vec3 import dot, dot8, load3, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh
from pricing_engine.kernels.thickness.ray_thickness import frame

FACING = float(np.cos(np.radians(65)))  # a wall's outward normal makes less than 65 degrees with p's inward one
_ANGLE = float(np.radians(65)) + 1e-5  # and a little more for float32
_GRAIN_LEAVES = 4096
_NEVER, _ALWAYS = np.float32(4), np.float32(-4)  # keys that no axis . m exceeds, less than 2 subtracted or not
KEY, OFFSET, LOW, HIGH, ROWS = 3, 4, 5, 8, 11
"""Rows of eight of a group, after the axis: see :func:`build_normal_cones`."""

LANE_DIRECTION, LANE_MIDDLE, LANE_RADIUS, LANE_SQUARE = 0, 3, 6, 7
"""Rows of the lanes of :func:`lanes16`: m and the sphere's middle (three each), its radius and the square of that."""


def build_normal_cones(mesh: Mesh, bvh: Bvh, threads: int) -> NDArray[np.float32]:
    """(boxes / 8, 11 * 8) float32: for each eight siblings the rows axis x y z, key, offset, lo x y z, hi x y z.

    Some facet under a box may face the unit direction m only if axis . m > key; all its points q, relative to the
    tree's centre, have axis . q >= offset. Facets without area face nothing.
    """
    boxes, starts, size = bvh.boxes.shape[1], bvh.level_start, bvh.diagonal
    walls, angle = np.zeros((boxes // WIDTH, ROWS * WIDTH), np.float32), np.full(boxes, -1, np.float32)
    walls[:, KEY * WIDTH : OFFSET * WIDTH] = _NEVER
    leaves = -(-mesh.facet_count // WIDTH)
    arguments = (mesh.vertices, mesh.facets, bvh.corners, bvh.boxes, bvh.centre, size, walls, angle)
    run_ranges(_fill_leaves, leaves, _GRAIN_LEAVES, threads, *arguments)
    ends = [*starts[1:].tolist(), boxes]
    span = WIDTH
    for below, start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), ends[1:], strict=True):
        count, span = min((start - below) // WIDTH, end - start), span * WIDTH
        grain = max(_GRAIN_LEAVES * WIDTH // span, 1)
        run_ranges(_fill_level, count, grain, threads, start, below, span, bvh.corners, bvh.boxes, size, walls, angle)
    return walls


@kernel
def _fill_leaves(lo, hi, vertices, facets, corners, boxes, centre, size, walls, angle):
    normals = np.empty((WIDTH, 3))
    for leaf in range(lo, hi):
        first, last = leaf * WIDTH, min(leaf * WIDTH + WIDTH, len(facets))
        x, y, z, count = 0.0, 0.0, 0.0, 0
        for facet in range(first, last):
            _, (nx, ny, nz) = frame(vertices, facets, facet, centre, size)
            if nx != 0.0 or ny != 0.0 or nz != 0.0:
                normals[count, 0], normals[count, 1], normals[count, 2] = -nx, -ny, -nz
                x, y, z, count = x - nx, y - ny, z - nz, count + 1
        if count == 0:
            continue
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-3:
            x, y, z = x / length, y / length, z / length
        else:
            x, y, z = normals[0, 0], normals[0, 1], normals[0, 2]
        widest = 0.0  # squared chord: one arc for the widest
        for i in range(count):
            u, v, w = x - normals[i, 0], y - normals[i, 1], z - normals[i, 2]
            widest = max(widest, u * u + v * v + w * w)
        widest = _arc(widest)
        offset = np.inf
        for facet in range(first, last):
            for row in range(0, 9, 3):
                q = x * corners[row, facet] + y * corners[row + 1, facet] + z * corners[row + 2, facet]
                offset = min(offset, q)
        _store(leaf, (x, y, z), widest, offset - size * 2.0**-21, boxes, walls, angle)


@kernel
def _fill_level(lo, hi, start, below, span, corners, boxes, size, walls, angle):
    offsets = np.empty(WIDTH, np.float32)
    for box in range(lo, hi):
        first, last = below + box * WIDTH, below + box * WIDTH + WIDTH
        x, y, z = 0.0, 0.0, 0.0
        for child in range(first, last):
            if angle[child] >= 0:
                group, lane = child // WIDTH, child % WIDTH
                x, y, z = x + walls[group, lane], y + walls[group, lane + WIDTH], z + walls[group, lane + 2 * WIDTH]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-3:
            x, y, z = x / length, y / length, z / length
        else:
            x, y, z = 0.0, 0.0, 1.0
        widest = -1.0
        for child in range(first, last):
            if angle[child] >= 0:
                group, lane = child // WIDTH, child % WIDTH
                child_axis = walls[group, lane], walls[group, lane + WIDTH], walls[group, lane + 2 * WIDTH]
                turn = _angle((x, y, z), child_axis)
                widest = max(widest, turn + angle[child])
        if widest >= 0.0:
            # From the corners themselves: their boxes would start the slab far too early.
            least = splat8(np.float32(np.inf))
            axis8 = splat3((np.float32(x), np.float32(y), np.float32(z)))
            for base in range(box * span, min(box * span + span, corners.shape[1]), WIDTH):
                for row in range(0, 9, 3):
                    least = min8(dot8(axis8, load3(corners, row, base)), least)  # NaN, the padding, is passed over
            store8(offsets, 0, least)
            offset = np.inf
            for lane in range(WIDTH):
                offset = min(offset, offsets[lane])
            _store(start + box, (x, y, z), widest, offset - size * 2.0**-21, boxes, walls, angle)


@inlined
def _arc(square):
    # From the squared chord: the arc cosine would lose half the digits of small angles.
    return 2.0 * np.arcsin(min(np.sqrt(square) / 2.0, 1.0))


@inlined
def _angle(u, v):
    d = sub(u, v)
    return _arc(dot(d, d))


@inlined
def _store(box, axis, spread, offset, boxes, walls, angle):
    group, lane = box // WIDTH, box % WIDTH
    key = np.cos(spread + _ANGLE) - 1e-5 if spread + _ANGLE < np.pi else _ALWAYS
    walls[group, lane], walls[group, WIDTH + lane], walls[group, 2 * WIDTH + lane] = axis
    walls[group, KEY * WIDTH + lane], walls[group, OFFSET * WIDTH + lane] = key, offset
    for row in range(6):
        walls[group, (LOW + row) * WIDTH + lane] = boxes[row, box]
    angle[box] = np.float32(spread + 1e-6)


@inlined
def _reach8(axis, offset, low, high, c):
    """Squared radii at which spheres about c reach boxes beyond their slab's start.

    Where the slab starts ``depth`` from c, the cap beyond lies within the sphere about c + depth axis of radius
    sqrt(r^2 - depth^2), which is far smaller than the sphere where that just touches a wall.
    """
    zero = splat8(np.float32(0))
    depth = max8(offset - dot8(axis, c), zero)
    cx, cy, cz = fma8(depth, axis[0], c[0]), fma8(depth, axis[1], c[1]), fma8(depth, axis[2], c[2])
    x, y, z = max8(low[0] - cx, cx - high[0]), max8(low[1] - cy, cy - high[1]), max8(low[2] - cz, cz - high[2])
    x, y, z = max8(x, zero), max8(y, zero), max8(z, zero)
    return fma8(depth, depth, fma8(x, x, fma8(y, y, z * z)))


@inlined
def _row8(walls, group, row):
    return load8(walls, group, row * WIDTH)


@inlined
def _rows8(walls, group, row):
    return _row8(walls, group, row), _row8(walls, group, row + 1), _row8(walls, group, row + 2)


@inlined
def siblings8(walls, group, m, spread, c, square):
    """Mask of the boxes of a group that may hold facets that face a direction within ``spread`` of m and meet a sphere.

    Also the squared radii at which spheres about its middle c reach them.
    """
    axis = _rows8(walls, group, 0)
    near = _reach8(axis, _row8(walls, group, OFFSET), _rows8(walls, group, LOW), _rows8(walls, group, HIGH), c)
    faces = less8(_row8(walls, group, KEY) - spread, dot8(axis, m))
    return faces & at_most8(near, square), near


@inlined
def _same8(walls, group, row, side):
    return splat8(walls[group, row * WIDTH + side])


@inlined
def _same3(walls, group, row, side):
    return _same8(walls, group, row, side), _same8(walls, group, row + 1, side), _same8(walls, group, row + 2, side)


@inlined
def _half8(walls, group, side, lanes, first):
    """:func:`lanes16` for the eight lanes from ``first`` on."""
    axis = _same3(walls, group, 0, side)
    offset, low, high = (
        _same8(walls, group, OFFSET, side),
        _same3(walls, group, LOW, side),
        _same3(walls, group, HIGH, side),
    )
    near = _reach8(axis, offset, low, high, load3(lanes, LANE_MIDDLE, first))
    height = dot8(axis, load3(lanes, LANE_DIRECTION, first))
    return less8(_same8(walls, group, KEY, side), height) & at_most8(near, load8(lanes, LANE_SQUARE, first))


@inlined
def lanes16(walls, group, side, lanes):
    """Mask of the ``lanes`` (8, 16) float32 whose sphere may meet a facet under a box that faces their direction."""
    return _half8(walls, group, side, lanes, 0) | _half8(walls, group, side, lanes, WIDTH) << WIDTH
