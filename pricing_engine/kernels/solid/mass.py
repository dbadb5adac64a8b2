"""Volume, area, centre of mass and inertia by the divergence theorem, summed about the centre of the model's box.

Each facet spans a tetrahedron with the centre; its integrals of 1, x and x x are polynomials in the corners (Mirtich
1996; Eberly, "Polyhedral mass properties"). Summing about the centre keeps the terms of the size of the model, wherever
it lies, and makes the volume of an open mesh well defined. One pass, O(n); partial sums of fixed chunks are added in
order, so the result does not depend on the threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge, point, sub

_GRAIN, _BOX_GRAIN, _LANES = 16384, 65536, 32
_SUMS = 11  # volume, area, first moments (3), second moments xx yy zz xy yz zx


@dataclass(frozen=True, slots=True)
class MassProperties:
    """Volume, area, first and second moments, and bounding box.

    ``volume`` mm3 (signed), ``area`` mm2, ``center_of_mass`` (3,) mm (the box's centre if the volume is zero),
    ``inertia`` (3, 3) mm5 about the centre of mass at density 1, ``bbox_min`` and ``bbox_max`` (3,) mm.
    """

    volume: float
    area: float
    center_of_mass: NDArray[np.float64]
    inertia: NDArray[np.float64]
    bbox_min: NDArray[np.float64]
    bbox_max: NDArray[np.float64]


def mass_properties(mesh: Mesh, threads: int) -> MassProperties:
    """Measure the mesh as it is, closed or not, overlaps counted as often as they overlap."""
    boxes = np.empty((chunk_count(len(mesh.vertices), _BOX_GRAIN), 6))
    run_ranges(_vertex_box, len(mesh.vertices), _BOX_GRAIN, threads, mesh.vertices, boxes)
    lo, hi = boxes[:, :3].min(axis=0), boxes[:, 3:].max(axis=0)
    centre = (lo + hi) / 2
    partial = np.empty((chunk_count(mesh.facet_count, _GRAIN), _SUMS))
    run_ranges(_moments, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, centre, partial)
    sums = partial.sum(axis=0)
    volume = float(sums[0]) / 6
    # a volume that rounding alone could cause does not determine a centre of mass
    solid = abs(volume) > 1e-14 * float(np.prod(np.maximum(hi - lo, 0)))
    offset = sums[2:5] / 24 / volume if solid else np.zeros(3)
    xx, yy, zz, xy, yz, zx = sums[5:] / 120
    second = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]) - volume * np.outer(offset, offset)
    inertia = np.eye(3) * np.trace(second) - second
    return MassProperties(volume, float(sums[1]) / 2, centre + offset, inertia, lo, hi)


def body_volumes(mesh: Mesh, facet_body: NDArray[np.int32], bodies: int, threads: int) -> NDArray[np.float64]:
    """Signed volume (bodies,) mm3 of each body about its area centroid; see :func:`body_measures`."""
    return body_measures(mesh, facet_body, bodies, threads)[0]


def body_measures(
    mesh: Mesh, facet_body: NDArray[np.int32], bodies: int, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signed volume and area (bodies,) of each body, about the body's own area centroid, so that flat sheets have none.

    For closed bodies the centre makes no difference beyond rounding. Two passes on one thread, whatever ``threads``:
    bodies do not keep to chunks.
    """
    area = np.zeros((bodies, 4))
    _area_centroids(mesh.vertices, mesh.facets, facet_body, area)
    volumes = np.zeros(bodies)
    _add_volumes(mesh.vertices, mesh.facets, facet_body, area, volumes)
    return volumes, area[:, 3].copy()


@kernel
def _vertex_box(lo, hi, vertices, boxes):
    x0 = y0 = z0 = np.inf
    x1 = y1 = z1 = -np.inf
    for v in range(lo, hi):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        x0, x1 = min(x0, x), max(x1, x)
        y0, y1 = min(y0, y), max(y1, y)
        z0, z1 = min(z0, z), max(z1, z)
    chunk = lo // _BOX_GRAIN
    boxes[chunk, 0], boxes[chunk, 1], boxes[chunk, 2] = x0, y0, z0
    boxes[chunk, 3], boxes[chunk, 4], boxes[chunk, 5] = x1, y1, z1


@kernel
def _moments(lo, hi, vertices, facets, centre, partial):
    """Eleven sums over facets ``lo .. hi``: gather LANES facets, then arithmetic that LLVM vectorises.

    Everything lies in one array at constant offsets, rows of LANES: nine of corners, then the sums, a lane each. So
    the compiler can prove that no two rows overlap, and need not reorder additions.
    """
    ox, oy, oz = centre[0], centre[1], centre[2]
    rows = np.zeros((9 + _SUMS) * _LANES)
    for start in range(lo, hi, _LANES):
        size = min(_LANES, hi - start)
        for lane in range(size):
            facet, at = np.uint64(start + lane), np.uint64(lane)  # unsigned: no check for negative indices
            for corner in range(3):
                vertex, row = np.uint64(facets[facet, corner]), np.uint64(3 * corner * _LANES)
                rows[row + at] = vertices[vertex, 0] - ox
                rows[row + np.uint64(_LANES) + at] = vertices[vertex, 1] - oy
                rows[row + np.uint64(2 * _LANES) + at] = vertices[vertex, 2] - oz
        for row in range(9):
            for lane in range(size, _LANES):
                rows[row * _LANES + lane] = 0.0  # a facet that adds nothing
        for i in range(_LANES):
            ax, ay, az = rows[i], rows[_LANES + i], rows[2 * _LANES + i]
            bx, by, bz = rows[3 * _LANES + i], rows[4 * _LANES + i], rows[5 * _LANES + i]
            cx, cy, cz = rows[6 * _LANES + i], rows[7 * _LANES + i], rows[8 * _LANES + i]
            a = ax, ay, az
            nx, ny, nz = cross(sub((bx, by, bz), a), sub((cx, cy, cz), a))
            det = ax * nx + ay * ny + az * nz  # six times the tetrahedron's volume
            sx, sy, sz = ax + bx + cx, ay + by + cy, az + bz + cz
            dx, dy, dz = det * sx, det * sy, det * sz
            rows[9 * _LANES + i] += det
            rows[10 * _LANES + i] += np.sqrt(nx * nx + ny * ny + nz * nz)
            rows[11 * _LANES + i] += dx
            rows[12 * _LANES + i] += dy
            rows[13 * _LANES + i] += dz
            rows[14 * _LANES + i] += det * (ax * ax + bx * bx + cx * cx) + dx * sx
            rows[15 * _LANES + i] += det * (ay * ay + by * by + cy * cy) + dy * sy
            rows[16 * _LANES + i] += det * (az * az + bz * bz + cz * cz) + dz * sz
            rows[17 * _LANES + i] += det * (ax * ay + bx * by + cx * cy) + dx * sy
            rows[18 * _LANES + i] += det * (ay * az + by * bz + cy * cz) + dy * sz
            rows[19 * _LANES + i] += det * (az * ax + bz * bx + cz * cx) + dz * sx
    for k in range(_SUMS):
        total = 0.0
        for lane in range(_LANES):
            total += rows[(9 + k) * _LANES + lane]
        partial[lo // _GRAIN, k] = total


@kernel
def _area_centroids(vertices, facets, facet_body, area):
    """Area-weighted centroid of each body in ``area[:, :3]``; relative to its first corner while summed."""
    origin = np.full(len(area), -1, np.int32)
    for facet in range(len(facets)):
        body = facet_body[facet]
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        if origin[body] < 0:
            origin[body] = a
        o = origin[body]
        normal = cross(edge(vertices, a, b), edge(vertices, a, c))
        twice = np.sqrt(dot(normal, normal))
        area[body, 3] += twice
        for axis in range(3):
            spread = (vertices[a, axis] - vertices[o, axis]) + (vertices[b, axis] - vertices[o, axis])
            area[body, axis] += twice * (spread + (vertices[c, axis] - vertices[o, axis]))
    for body in range(len(area)):
        for axis in range(3):
            middle = area[body, axis] / (3 * area[body, 3]) if area[body, 3] > 0 else 0.0
            area[body, axis] = vertices[origin[body], axis] + middle
        area[body, 3] /= 2


@kernel
def _add_volumes(vertices, facets, facet_body, area, volumes):
    for facet in range(len(facets)):
        body = facet_body[facet]
        origin = point(area, body)
        a, b = sub(point(vertices, facets[facet, 0]), origin), sub(point(vertices, facets[facet, 1]), origin)
        volumes[body] += dot(a, cross(b, sub(point(vertices, facets[facet, 2]), origin))) / 6
