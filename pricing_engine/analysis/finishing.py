"""Measure the share of the surface that a polishing tool can reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.layers.ball_accessibility import SIDE, Grid, find_free, find_touched, flood
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.budget import log2_of
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.solid.surface_samples import place_samples
from pricing_engine.kernels.solid.volume import boundary_areas
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.spatial.clearance import Clearance

SAMPLES = 1 << 15
_GRAIN = 1024
_GRAIN_BLOCKS = 128
_GRID = 64
_COMPRESSION = 0.002  # of the radius: how far a felt or brush compresses
_MAX_TESTS = 256, 16  # per sample; per grid point: times log2 of the number of facets


def sample_surface(mesh: Mesh, boundary: Boundary, centre: Floats, threads: int) -> tuple[Floats, Floats]:
    """Return points (N, 3) relative to ``centre`` and outward unit normals, at :data:`SAMPLES` equal steps of area.

    The steps go along the canonical order, so the standard error of a share of them is well below half a percent
    whatever the size of the facets. O(facets + samples).
    """
    total = np.cumsum(boundary_areas(mesh, boundary, threads))
    if not len(total) or not total[-1] > 0:
        return np.empty((0, 3)), np.empty((0, 3))
    points, normals = np.empty((SAMPLES, 3)), np.empty((SAMPLES, 3))
    placed = place_samples(mesh.vertices, mesh.facets, boundary.pieces, total, centre, points, normals)
    return points[:placed], normals[:placed]


def reached_shares(
    lo: int, hi: int, threads: int, samples: tuple[Floats, Floats], bvh: Bvh, radii: tuple[float, ...]
) -> list[float | None]:
    """Return the share of ``samples``, so of area, that a ball of each of ``radii[lo:hi]`` (mm) touches from outside.

    None if the search exceeds its budget.
    """
    requested = radii[lo:hi]
    if not len(samples[0]):
        return [0.0] * len(requested)
    columns = samples[0].T  # ten times faster than along an axis
    box = np.array([column.min() for column in columns]), np.array([column.max() for column in columns])
    grids = [_flood_grid(*box, bvh, radius, threads) for radius in requested]
    return [None if grid is None else _share(*samples, bvh, grid, threads) for grid in grids]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Grid of ``shape`` ball centres of ``radius`` at ``origin + spacing * (i, j, k)``.

    ``reached`` (blocks,): a bit for each centre that the ball can travel to.
    """

    radius: float
    origin: Floats
    spacing: float
    shape: NDArray[np.int64]
    reached: NDArray[np.uint64]


def _flood_grid(low: Floats, high: Floats, bvh: Bvh, radius: float, threads: int) -> _Grid | None:
    """Return the centres around the box ``low`` to ``high`` that the ball reaches; None beyond the budget."""
    extent = float((high - low).max()) + 2 * radius
    spacing = max(radius / 3, extent / _GRID)
    origin = low - (radius + 2 * spacing)
    shape = np.ceil((high - low + 2 * (radius + 2 * spacing)) / spacing).astype(np.int64) + 1
    blocks = int((-(-shape // SIDE)).prod())
    free, reached, work = np.zeros(blocks, np.uint64), np.zeros(blocks, np.uint64), work_array(blocks, _GRAIN_BLOCKS)
    max_tests, fitting = _max_tests(1, bvh) * SIDE**3, max(radius - 0.87 * spacing, 0.501 * spacing)
    clearance = Clearance(bvh, fitting, _pad(bvh), max_tests)
    grid = Grid(origin, spacing, shape)
    run_ranges(find_free, blocks, _GRAIN_BLOCKS, threads, _GRAIN_BLOCKS, grid, clearance, free, work)
    record("flood", work)
    if _exceeded(work, max_tests, blocks, _GRAIN_BLOCKS):
        return None
    flood(shape, free, reached)
    return _Grid(radius, origin, spacing, shape, reached)


def _share(points: Floats, normals: Floats, bvh: Bvh, grid: _Grid, threads: int) -> float | None:
    touches, work = np.zeros(len(points), np.uint8), work_array(len(points), _GRAIN)
    max_tests = _max_tests(0, bvh)
    clearance = Clearance(bvh, grid.radius - _COMPRESSION * grid.radius, _pad(bvh), max_tests)
    places = Grid(grid.origin, grid.spacing, grid.shape)
    run_ranges(
        find_touched, len(points), _GRAIN, threads, _GRAIN, points, normals, grid.radius, places, grid.reached,
        clearance, touches, work,
    )  # fmt: skip
    record("touched", work)
    if _exceeded(work, max_tests, len(points), _GRAIN):
        return None
    return int(np.count_nonzero(touches)) / len(points)


def _max_tests(search: int, bvh: Bvh) -> int:
    return _MAX_TESTS[search] * log2_of(bvh.corners.shape[1])


def _exceeded(work: NDArray[np.int64], max_tests: int, count: int, grain: int) -> bool:
    """Return whether a chunk took more ``work`` than ``max_tests`` per item."""
    items = np.minimum(grain, count - grain * np.arange(len(work)))
    return bool((work.sum(axis=1) > max_tests * items).any())


def _pad(bvh: Bvh) -> np.float32:
    """Return an upper bound of the corners' rounding to float32."""
    return np.float32(bvh.diagonal * 2.0**-22)
