"""Which way the facets under each box of the tree look, and where the slab that holds them begins.

For each box: an axis, the mean of the facets' normals; the cone about it that holds them; and the least offset of the
facets along it. A search for facets that face a direction, or that come near a sphere, skips whole boxes by them: on a
smooth wall the slab is far thinner than the box. All that a search needs of eight siblings lies together with their
boxes in six cache lines. O(n log n) for n facets, 44 bytes a box (6.3 a facet).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import at_most8, fma8, less8, load8, max8, min8, splat8, store8
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh
from pricing_engine.kernels.thickness.ray_thickness import frame

FACING = float(np.cos(np.radians(65)))  # a wall's outward normal makes less than 65 degrees with p's inward one
_ANGLE = float(np.radians(65)) + 1e-5  # and a little more for float32
_GRAIN_LEAVES = 4096
_NEVER, _ALWAYS = np.float32(4), np.float32(-4)  # keys that no axis . m exceeds, less than 2 subtracted or not
KEY, OFFSET, BOX, ROWS = 3, 4, 5, 11


def build_walls(mesh: Mesh, bvh: Bvh, threads: int) -> NDArray[np.float32]:
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
            _, _, _, nx, ny, nz = frame(vertices, facets, facet, centre, size)
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
        _store(leaf, x, y, z, widest, offset - size * 2.0**-21, boxes, walls, angle)


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
                turn = _angle(x, y, z, walls[group, lane], walls[group, lane + WIDTH], walls[group, lane + 2 * WIDTH])
                widest = max(widest, turn + angle[child])
        if widest >= 0.0:
            # From the corners themselves: their boxes would start the slab far too early.
            least = splat8(np.float32(np.inf))
            ax, ay, az = splat8(np.float32(x)), splat8(np.float32(y)), splat8(np.float32(z))
            for base in range(box * span, min(box * span + span, corners.shape[1]), WIDTH):
                for row in range(0, 9, 3):
                    qx, qy, qz = load8(corners, row, base), load8(corners, row + 1, base), load8(corners, row + 2, base)
                    least = min8(fma8(ax, qx, fma8(ay, qy, az * qz)), least)  # NaN, the padding, is passed over
            store8(offsets, 0, least)
            offset = np.inf
            for lane in range(WIDTH):
                offset = min(offset, offsets[lane])
            _store(start + box, x, y, z, widest, offset - size * 2.0**-21, boxes, walls, angle)


@inlined
def _arc(square):
    # From the squared chord: the arc cosine would lose half the digits of small angles.
    return 2.0 * np.arcsin(min(np.sqrt(square) / 2.0, 1.0))


@inlined
def _angle(ax, ay, az, bx, by, bz):
    x, y, z = ax - bx, ay - by, az - bz
    return _arc(x * x + y * y + z * z)


@inlined
def _store(box, x, y, z, spread, offset, boxes, walls, angle):
    group, lane = box // WIDTH, box % WIDTH
    key = np.cos(spread + _ANGLE) - 1e-5 if spread + _ANGLE < np.pi else _ALWAYS
    walls[group, lane], walls[group, WIDTH + lane], walls[group, 2 * WIDTH + lane] = x, y, z
    walls[group, KEY * WIDTH + lane], walls[group, OFFSET * WIDTH + lane] = key, offset
    for row in range(6):
        walls[group, (BOX + row) * WIDTH + lane] = boxes[row, box]
    angle[box] = np.float32(spread + 1e-6)


@inlined
def _reach8(ax, ay, az, offset, lo_x, lo_y, lo_z, hi_x, hi_y, hi_z, cx, cy, cz):
    """Squared radii at which spheres about c reach boxes beyond their slab's start.

    Where the slab starts ``depth`` from c, the cap beyond lies within the sphere about c + depth axis of radius
    sqrt(r^2 - depth^2), which is far smaller than the sphere where that just touches a wall.
    """
    zero = splat8(np.float32(0))
    depth = max8(offset - fma8(ax, cx, fma8(ay, cy, az * cz)), zero)
    cx, cy, cz = fma8(depth, ax, cx), fma8(depth, ay, cy), fma8(depth, az, cz)
    x, y, z = max8(lo_x - cx, cx - hi_x), max8(lo_y - cy, cy - hi_y), max8(lo_z - cz, cz - hi_z)
    x, y, z = max8(x, zero), max8(y, zero), max8(z, zero)
    return fma8(depth, depth, fma8(x, x, fma8(y, y, z * z)))


@inlined
def siblings8(walls, group, mx, my, mz, spread, cx, cy, cz, square):
    """Mask of the boxes of a group that may hold facets that face a direction within ``spread`` of m and meet a sphere.

    Also the squared radii at which spheres about its middle c reach them.
    """
    ax, ay, az = load8(walls, group, 0), load8(walls, group, 8), load8(walls, group, 16)
    near = _reach8(
        ax, ay, az, load8(walls, group, 32), load8(walls, group, 40), load8(walls, group, 48), load8(walls, group, 56),
        load8(walls, group, 64), load8(walls, group, 72), load8(walls, group, 80), cx, cy, cz,
    )  # fmt: skip
    faces = less8(load8(walls, group, 24) - spread, fma8(ax, mx, fma8(ay, my, az * mz)))
    return faces & at_most8(near, square), near


@inlined
def _same8(walls, group, row, side):
    return splat8(walls[group, row * WIDTH + side])


@inlined
def _half8(walls, group, side, lanes, first):
    """:func:`lanes16` for the eight lanes from ``first`` on."""
    ax, ay, az = _same8(walls, group, 0, side), _same8(walls, group, 1, side), _same8(walls, group, 2, side)
    near = _reach8(
        ax, ay, az, _same8(walls, group, 4, side), _same8(walls, group, 5, side), _same8(walls, group, 6, side),
        _same8(walls, group, 7, side), _same8(walls, group, 8, side), _same8(walls, group, 9, side),
        _same8(walls, group, 10, side), load8(lanes, 3, first), load8(lanes, 4, first), load8(lanes, 5, first),
    )  # fmt: skip
    height = fma8(ax, load8(lanes, 0, first), fma8(ay, load8(lanes, 1, first), az * load8(lanes, 2, first)))
    return less8(_same8(walls, group, 3, side), height) & at_most8(near, load8(lanes, 7, first))


@inlined
def lanes16(walls, group, side, lanes):
    """Mask of the ``lanes`` (m, middle, radius, its square) whose sphere may meet a facet under a box that faces m."""
    return _half8(walls, group, side, lanes, 0) | _half8(walls, group, side, lanes, WIDTH) << WIDTH
