"""Which way the facets under each box of the tree look, and where the slab that holds them begins.

For each box: an axis, the mean of the facets' normals; the cone about it that holds them; and the least offset of the
facets along it. A search for facets that face a direction, or that come near a sphere, skips whole boxes by them: on a
smooth wall the slab is far thinner than the box. O(n log n) for n facets, 20 bytes a box (2.9 a facet).
"""

# mypy: disable-error-code="no-untyped-call, assignment, call-arg, var-annotated"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.ray_thickness import frame
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.mesh.model import Mesh

FACING = float(np.cos(np.radians(65)))  # a wall's outward normal makes less than 65 degrees with p's inward one
_ANGLE = float(np.radians(65)) + 1e-5  # and a little more for float32
_GRAIN_LEAVES = 4096
_NEVER, _ALWAYS = np.float32(2), np.float32(-2)


def build_walls(mesh: Mesh, bvh: Bvh, threads: int) -> NDArray[np.float32]:
    """(5, boxes) float32: axis x y z, key, offset, in the tree's own numbering of boxes.

    Some facet under a box may face the unit direction m only if axis . m > key; all its points q, relative to the
    tree's centre, have axis . q >= offset. Facets without area face nothing.
    """
    boxes, starts = bvh.boxes.shape[1], bvh.level_start
    size = float(np.linalg.norm(mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)))
    walls, angle = np.zeros((5, boxes), np.float32), np.full(boxes, -1, np.float32)
    walls[3] = _NEVER
    leaves = -(-mesh.facet_count // WIDTH)
    arguments = (mesh.vertices, mesh.facets, bvh.corners, bvh.centre, size, walls, angle)
    run_ranges(_fill_leaves, leaves, _GRAIN_LEAVES, threads, *arguments)
    ends = [*starts[1:].tolist(), boxes]
    for below, start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), ends[1:], strict=True):
        count = min((start - below) // WIDTH, end - start)
        run_ranges(_fill_level, count, _GRAIN_LEAVES, threads, start, below, bvh.boxes, size, walls, angle)
    return walls


@kernel
def _fill_leaves(lo, hi, vertices, facets, corners, centre, size, walls, angle):  # type: ignore[no-untyped-def]
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
        widest = 0.0
        for i in range(count):
            widest = max(widest, _angle(x, y, z, normals[i, 0], normals[i, 1], normals[i, 2]))
        _store(leaf, x, y, z, widest, walls, angle)
        offset = np.inf
        for facet in range(first, last):
            for row in range(0, 9, 3):
                q = x * corners[row, facet] + y * corners[row + 1, facet] + z * corners[row + 2, facet]
                offset = min(offset, q)
        walls[4, leaf] = np.float32(offset - size * 2.0**-21)


@kernel
def _fill_level(lo, hi, start, below, boxes, size, walls, angle):  # type: ignore[no-untyped-def]
    for box in range(lo, hi):
        first, last = below + box * WIDTH, below + box * WIDTH + WIDTH
        x, y, z = 0.0, 0.0, 0.0
        for child in range(first, last):
            if angle[child] >= 0:
                x, y, z = x + walls[0, child], y + walls[1, child], z + walls[2, child]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-3:
            x, y, z = x / length, y / length, z / length
        else:
            x, y, z = 0.0, 0.0, 1.0
        widest = -1.0
        offset = np.inf
        for child in range(first, last):
            if angle[child] >= 0:
                turn = _angle(x, y, z, walls[0, child], walls[1, child], walls[2, child])
                widest = max(widest, turn + angle[child])
                nearest = x * (boxes[0, child] if x > 0.0 else boxes[3, child])
                nearest += y * (boxes[1, child] if y > 0.0 else boxes[4, child])
                nearest += z * (boxes[2, child] if z > 0.0 else boxes[5, child])
                offset = min(offset, nearest)
        if widest >= 0.0:
            _store(start + box, x, y, z, widest, walls, angle)
            walls[4, start + box] = np.float32(offset - size * 2.0**-21)


@inlined
def _angle(ax, ay, az, bx, by, bz):  # type: ignore[no-untyped-def]
    # From the chord: the arc cosine would lose half the digits of small angles.
    x, y, z = ax - bx, ay - by, az - bz
    return 2.0 * np.arcsin(min(np.sqrt(x * x + y * y + z * z) / 2.0, 1.0))


@inlined
def _store(box, x, y, z, spread, walls, angle):  # type: ignore[no-untyped-def]
    walls[0, box], walls[1, box], walls[2, box] = np.float32(x), np.float32(y), np.float32(z)
    walls[3, box] = np.float32(np.cos(spread + _ANGLE) - 1e-5) if spread + _ANGLE < np.pi else _ALWAYS
    angle[box] = np.float32(spread + 1e-6)
