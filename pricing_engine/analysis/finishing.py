"""How much of the surface a polishing tool can reach."""

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
    asked = radii[lo:hi]
    if not len(samples[0]):
        return [0.0] * len(asked)
    columns = samples[0].T  # ten times as fast as by axis
    box = np.array([column.min() for column in columns]), np.array([column.max() for column in columns])
    grids = [_flooded(*box, bvh, radius, threads) for radius in asked]
    return [None if grid is None else _share(*samples, bvh, grid, threads) for grid in grids]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Centres of a ball of ``radius`` at ``origin + spacing * (i, j, k)``, ``shape`` of them.

    ``reached`` (blocks,): the bits of those it can travel to.
    """

    radius: float
    origin: Floats
    spacing: float
    shape: NDArray[np.int64]
    reached: NDArray[np.uint64]


def _flooded(low: Floats, high: Floats, bvh: Bvh, radius: float, threads: int) -> _Grid | None:
    """The centres around the box ``low`` to ``high`` that the ball reaches; None at the end of the budget."""
    extent = float((high - low).max()) + 2 * radius
    spacing = max(radius / 3, extent / _GRID)
    origin = low - (radius + 2 * spacing)
    shape = np.ceil((high - low + 2 * (radius + 2 * spacing)) / spacing).astype(np.int64) + 1
    blocks = int((-(-shape // SIDE)).prod())
    free, reached, work = np.zeros(blocks, np.uint64), np.zeros(blocks, np.uint64), work_array(blocks, _GRAIN_BLOCKS)
    most, fitting = _most(1, bvh) * SIDE**3, max(radius - 0.87 * spacing, 0.501 * spacing)
    clearance = Clearance(bvh, fitting, _pad(bvh), most)
    grid = Grid(origin, spacing, shape)
    run_ranges(find_free, blocks, _GRAIN_BLOCKS, threads, _GRAIN_BLOCKS, grid, clearance, free, work)
    record("flood", work)
    if _has_ended(work, most, blocks, _GRAIN_BLOCKS):
        return None
    flood(shape, free, reached)
    return _Grid(radius, origin, spacing, shape, reached)


def _share(points: Floats, normals: Floats, bvh: Bvh, grid: _Grid, threads: int) -> float | None:
    touches, work = np.zeros(len(points), np.uint8), work_array(len(points), _GRAIN)
    most = _most(0, bvh)
    clearance = Clearance(bvh, grid.radius - _GIVE * grid.radius, _pad(bvh), most)
    places = Grid(grid.origin, grid.spacing, grid.shape)
    run_ranges(
        find_touched, len(points), _GRAIN, threads, _GRAIN, points, normals, grid.radius, places, grid.reached,
        clearance, touches, work,
    )  # fmt: skip
    record("touched", work)
    if _has_ended(work, most, len(points), _GRAIN):
        return None
    return int(np.count_nonzero(touches)) / len(points)


def _most(search: int, bvh: Bvh) -> int:
    return _MOST_TESTS[search] * log2_of(bvh.corners.shape[1])


def _has_ended(work: NDArray[np.int64], most: int, count: int, grain: int) -> bool:
    """Whether a chunk took more ``work`` than ``most`` for each of its items."""
    items = np.minimum(grain, count - grain * np.arange(len(work)))
    return bool((work.sum(axis=1) > most * items).any())


def _pad(bvh: Bvh) -> np.float32:
    """More than the corners' rounding to float32."""
    return np.float32(bvh.diagonal * 2.0**-22)
