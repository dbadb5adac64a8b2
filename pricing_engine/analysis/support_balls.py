"""Lower bounds of the support volumes of all directions at once, from empty balls below a part of the surface.

See :mod:`kernels.orientation.empty_balls`. Samples are taken at equal steps of area, in stages: a few exclude most
directions if the best one needs hardly any support, as with jewellery; more are taken while they are likely to save
more than they cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.support_surface import Surface, block_normals, facet_areas
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.orientation.empty_balls import BallSearch, ball_volumes, empty_balls
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.runtime.budget import log2_of
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.boundary import CAP, CRACK, Boundary
from pricing_engine.kernels.spatial.bvh import Bvh

STAGES = (0, 1), (1, 4), (4, 6), (6, 8), (8, 12), (12, 16)
"""Ranges of the samples, in sixteenths."""

_INTERLEAVING = np.array([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15])  # each range covers the whole surface
_SAMPLES = 8192
_SEEDS = 256
_CONTACT = 1e-6  # of the model's size: surfaces this close touch
_MAX_DIAMETER = 0.3  # of the model's size: larger balls cost more than they save
_MAX_TESTS = 64  # per sample, times log2 of the facets
_GRAIN, _GRAIN_DIRECTIONS = 64, 32


@dataclass(frozen=True, slots=True)
class BallSamples:
    """``points`` and ``normals`` (S, 3), ``areas`` (S,) float64, and the facets' ``sides`` for the search."""

    mesh: Mesh
    bvh: Bvh
    points: Floats
    normals: Floats
    areas: Floats
    seeds: NDArray[np.float32]
    sides: NDArray[np.float32]
    size: float

    def part(self, start: int, end: int) -> NDArray[np.intp]:
        """Return the samples in the sixteenths ``start`` to ``end``, ascending."""
        return np.flatnonzero(np.isin(np.arange(len(self.areas)) % len(_INTERLEAVING), _INTERLEAVING[start:end]))

    def count(self, start: int, end: int) -> int:
        """Return their approximate number."""
        return len(self.areas) * (end - start) // len(_INTERLEAVING)

    def add_bounds(
        self,
        start: int,
        end: int,
        directions: Floats,
        platform: Floats,
        resting_height: Floats,
        bounds: Floats,
        threads: int,
    ) -> None:
        """Add the minimum support below the samples of a stage to ``bounds`` (D,) mm3 of ``directions`` (D, 3)."""
        chosen = self.part(start, end)
        points, normals = self.points[chosen], self.normals[chosen]
        diameters, work = np.zeros(len(chosen)), work_array(len(chosen), _GRAIN)
        mesh, bvh, size = self.mesh, self.bvh, self.size
        search = BallSearch(
            mesh.vertices, mesh.facets, bvh, self.sides, self.seeds, _CONTACT * size, _MAX_DIAMETER * size,
            _MAX_TESTS * log2_of(mesh.facet_count),
        )  # fmt: skip
        run_ranges(empty_balls, len(chosen), _GRAIN, threads, _GRAIN, points, normals, search, diameters, work)
        record("empty_balls", work)
        slack = 8 * _CONTACT * size
        run_ranges(
            ball_volumes, len(directions), _GRAIN_DIRECTIONS, threads, points, normals, self.areas[chosen], diameters,
            np.ascontiguousarray(directions.T), platform, resting_height + slack, OVERHANG_COSINE + 1e-5, slack, bounds,
        )  # fmt: skip


def choose_samples(
    mesh: Mesh, bvh: Bvh, boundary: Boundary, surface: Surface, size: float, threads: int
) -> BallSamples | None:
    """Return samples of the surface at equal steps of area; None if the boundary has parts outside the BVH."""
    owners = boundary.piece_facet
    count = len(surface.owner)
    if not count or ((owners == CAP) | (owners == CRACK)).any():
        return None
    total = np.cumsum(surface.samples[6, :count], dtype=np.float64)
    if not total[-1] > 0:
        return None
    steps = (np.arange(_SAMPLES) + 0.5) * (total[-1] / _SAMPLES)
    chosen = np.unique(np.minimum(np.searchsorted(total, steps), count - 1))
    areas = surface.samples[6, chosen].astype(np.float64)
    points, normals = (surface.samples[rows, :][:, chosen].T.astype(np.float64) for rows in (slice(0, 3), slice(3, 6)))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    seed_samples = np.linspace(0, len(chosen) - 1, _SEEDS).astype(np.intp)
    seeds = np.ascontiguousarray(np.hstack([points[seed_samples], normals[seed_samples]]).T, np.float32)
    if surface.corners is bvh.corners:  # the surface has all facets
        sides = surface.normals
    else:
        sides = block_normals(facet_areas(mesh.vertices, mesh.facets, threads), threads)
    points, normals = np.ascontiguousarray(points), np.ascontiguousarray(normals)
    return BallSamples(mesh, bvh, points, normals, areas, seeds, sides, size)
