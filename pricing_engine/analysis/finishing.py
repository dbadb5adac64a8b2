"""How much of the surface a polishing tool can reach."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.boundary import Boundary
from pricing_engine.kernels.budget import log2_of
from pricing_engine.kernels.bvh import Bvh
from pricing_engine.kernels.reach import flood, touchable, touched
from pricing_engine.kernels.surface_samples import place_samples
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.volume import boundary_areas
from pricing_engine.kernels.work import record, work_array
from pricing_engine.mesh.model import Floats, Mesh

SAMPLES = 1 << 15
_GRAIN = 1024
_GRID = 64
_GIVE = 0.002  # of the radius: what a felt or brush gives way
_MOST_TESTS = 256, 16  # a sample; a grid point: times log2 of the number of facets


def sample_surface(mesh: Mesh, boundary: Boundary, centre: Floats, threads: int) -> tuple[Floats, Floats]:
    """Points (N, 3) relative to ``centre`` and unit outward normals, at :data:`SAMPLES` equal steps of boundary area.

    The steps go along the canonical order, so the standard error of a share of them is well below half a percent
    whatever the size of the facets. O(facets + samples).
    """
    total = np.cumsum(boundary_areas(mesh, boundary, threads))
    if not len(total) or not total[-1] > 0:
        return np.empty((0, 3)), np.empty((0, 3))
    points, normals = np.empty((SAMPLES, 3)), np.empty((SAMPLES, 3))
    kept = place_samples(mesh.vertices, mesh.facets, boundary.pieces, total, centre, points, normals)
    return points[:kept], normals[:kept]


def reached_shares(
    lo: int, hi: int, threads: int, samples: tuple[Floats, Floats], bvh: Bvh, radii: tuple[float, ...]
) -> list[float | None]:
    """Share of ``samples``, and so of area, that a ball of each of ``radii[lo:hi]`` (mm) can touch from outside.

    None where that takes more work than its budget.
    """
    return [_reached_share(*samples, bvh, radius, threads) for radius in radii[lo:hi]]


def _reached_share(points: Floats, normals: Floats, bvh: Bvh, radius: float, threads: int) -> float | None:
    if not len(points):
        return 0.0
    fits, work = np.zeros(len(points), np.uint8), work_array(len(points), _GRAIN)
    pad, most = np.float32(bvh.diagonal * 2.0**-22), _MOST_TESTS[0] * log2_of(bvh.corners.shape[1])
    arrays = pad, bvh.corners, bvh.boxes, bvh.level_start
    run_ranges(
        touchable,
        len(points),
        _GRAIN,
        threads,
        _GRAIN,
        points,
        normals,
        radius,
        _GIVE * radius,
        *arrays,
        most,
        fits,
        work,
    )
    record("touchable", work)
    if (work.sum(axis=1) > most * np.minimum(_GRAIN, len(points) - _GRAIN * np.arange(len(work)))).any():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max()) + 2 * radius
    spacing = max(radius / 3, extent / _GRID)
    origin = low - (radius + 2 * spacing)
    shape = np.ceil((high - low + 2 * (radius + 2 * spacing)) / spacing).astype(np.int64) + 1
    reached = np.zeros(int(shape.prod()), np.uint8)
    work, most = work_array(1, 1), _MOST_TESTS[1] * log2_of(bvh.corners.shape[1]) * len(reached)
    flood(origin, spacing, shape, max(radius - 0.87 * spacing, 0.501 * spacing), *arrays, most, reached, work)
    record("flood", work)
    if work.sum() > most:
        return None
    touching: int = touched(points, normals, radius, origin, spacing, shape, reached, fits)
    return touching / len(points)
