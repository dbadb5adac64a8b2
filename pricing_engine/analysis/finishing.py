"""How much of the surface a polishing tool can reach."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.boundary import Boundary
from pricing_engine.kernels.budget import log2_of
from pricing_engine.kernels.bvh import Bvh
from pricing_engine.kernels.reach import flood, touchable
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
    whatever the size of the facets.
    """
    pieces, count = boundary.pieces, mesh.facet_count
    total = np.cumsum(boundary_areas(mesh, boundary, threads))
    if not len(total) or not total[-1] > 0:
        return np.empty((0, 3)), np.empty((0, 3))
    step = total[-1] / SAMPLES
    chosen = np.minimum(np.searchsorted(total, (np.arange(SAMPLES) + 0.5) * step, side="right"), len(total) - 1)
    # The golden-ratio sequences make the points of one large facet a low-discrepancy set (R2, Roberts 2018).
    turn = np.arange(SAMPLES) + 0.5
    u, v = turn * 0.7548776662466927 % 1.0, turn * 0.5698402909980532 % 1.0
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u)[:, None], np.where(fold, 1 - v, v)[:, None]
    corners = np.empty((3, SAMPLES, 3))
    of_piece = chosen >= count
    corners[:, ~of_piece] = mesh.vertices[mesh.facets[chosen[~of_piece]]].transpose(1, 0, 2)
    corners[:, of_piece] = pieces[chosen[of_piece] - count].transpose(1, 0, 2)
    a, b, c = corners
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    points = a + u * (b - a) + v * (c - a) - centre
    keep = length[:, 0] > 0
    return np.ascontiguousarray(points[keep]), np.ascontiguousarray((cross / np.where(length > 0, length, 1))[keep])


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
    cell = np.floor((points + radius * normals - origin) / spacing).astype(np.int64)
    arrived = np.zeros(len(points), bool)
    for corner in np.ndindex(2, 2, 2):
        at = np.clip(cell + corner, 0, shape - 1)
        arrived |= reached[(at[:, 0] * shape[1] + at[:, 1]) * shape[2] + at[:, 2]] == 1
    return float(np.count_nonzero(arrived & (fits == 1)) / len(points))
