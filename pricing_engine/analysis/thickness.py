"""Wall thickness of a model: what the per-facet measures of the kernels say about the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.executor import StageExecutor
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.solid.volume import triangle_areas
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.thickness.normal_cones import build_normal_cones
from pricing_engine.kernels.thickness.ray_thickness import ray_thickness
from pricing_engine.kernels.thickness.sphere_thickness import sphere_thickness

THIN_LIMITS_MM = (0.5, 0.8, 1.0)
_WHERE_COUNT = 5
_FACETS_A_PART = 32_768  # some 150 ms


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Least, 5th percentile and median in mm, over facets that have a value, unweighted; None where none has."""

    min_mm: float | None
    p05_mm: float | None
    p50_mm: float | None

    @staticmethod
    def of(values: NDArray[np.float64]) -> Percentiles:
        """Percentiles of ``values`` (F,), NaN left out, with numpy's linear interpolation."""
        known = values[np.isfinite(values)]
        if not len(known):
            return Percentiles(None, None, None)
        least, p05, p50 = np.percentile(known, [0, 5, 50], overwrite_input=True)
        return Percentiles(float(least), float(p05), float(p50))


@dataclass(frozen=True, slots=True)
class Thickness:
    """Wall thickness of a model.

    ``thin_area_fraction``: for each limit in mm (keys "0.5", "0.8", "1.0") the area of the facets whose sphere
    thickness is below it, over the whole area; None for a model without area. ``facet_mm`` (F,) float64: the sphere
    thickness of each facet, NaN where it could not be measured. ``thinnest_mm`` (n <= 5, 3): centroids of the thinnest
    facets, thinnest first.

    Where the search of a facet ended at its budget, nothing that depends on all facets is told: the percentiles and
    fractions are None, and ``measured`` is False.
    """

    ray: Percentiles
    sphere: Percentiles
    thin_area_fraction: dict[str, float | None]
    facet_mm: NDArray[np.float64]
    thinnest_mm: NDArray[np.float64]
    measured: bool = True


def start_thickness(spread: StageExecutor, mesh: Mesh, bvh: Bvh, held: tuple[Mesh, Bvh]) -> Callable[[], Thickness]:
    """Begin to measure ``mesh`` (repaired, at least one facet) with its tree; the spread has ``held`` both."""
    walls = spread.hold(build_normal_cones(mesh, bvh, spread.threads))
    parts_of = spread.start("thickness", _of_facets, mesh.facet_count, _FACETS_A_PART, *held, walls)

    def join() -> Thickness:
        ray, sphere = (np.concatenate(parts) for parts in zip(*parts_of(), strict=True))
        return summarise(mesh, ray, sphere, spread.threads)

    return join


def _of_facets(
    lo: int, hi: int, threads: int, mesh: Mesh, bvh: Bvh, walls: NDArray[np.float32]
) -> tuple[Floats, Floats]:
    """Ray and sphere thickness, mm, of facets ``lo .. hi``."""
    facets = range(lo, hi)
    ray = ray_thickness(mesh, bvh, threads, facets)
    return ray, sphere_thickness(mesh, bvh, walls, threads, facets, ray)


def summarise(mesh: Mesh, ray: NDArray[np.float64], sphere: NDArray[np.float64], threads: int) -> Thickness:
    """Sum up per-facet thicknesses (F,) in mm, NaN where there is none, UNMEASURED where a budget ended."""
    complete = [not (of == UNMEASURED).any() for of in (ray, sphere)]
    ray, sphere = (np.where(of == UNMEASURED, np.nan, of) for of in (ray, sphere))
    areas = triangle_areas(mesh.vertices, mesh.facets, np.ones(mesh.facet_count, np.bool_), threads)
    whole = float(areas.sum()) if complete[1] else 0.0
    fractions: dict[str, float | None] = {
        str(limit): float(areas[sphere < limit].sum()) / whole if whole > 0 else None for limit in THIN_LIMITS_MM
    }
    of_ray, of_sphere = (
        Percentiles.of(of) if known else Percentiles(None, None, None)
        for of, known in zip((ray, sphere), complete, strict=True)
    )
    return Thickness(of_ray, of_sphere, fractions, sphere, _thinnest(mesh, sphere), all(complete))


def _thinnest(mesh: Mesh, sphere: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.where(np.isfinite(sphere), sphere, np.inf)
    count = min(_WHERE_COUNT, int(np.isfinite(sphere).sum()))
    limit = np.partition(known, count - 1)[count - 1] if count else -np.inf
    near = np.flatnonzero(known <= limit)
    chosen = near[np.argsort(known[near], kind="stable")][:count]  # ties in canonical order
    points: NDArray[np.float64] = mesh.vertices[mesh.facets[chosen]].mean(axis=1)
    return points
