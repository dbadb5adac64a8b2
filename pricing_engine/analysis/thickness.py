"""Wall thickness of a model, summarised from the per-facet measures of the kernels."""

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
_MAX_THINNEST = 5
_FACETS_PER_PART = 32_768  # about 150 ms


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Minimum, 5th percentile and median in mm, over facets with a value, unweighted; None if no facet has one."""

    min_mm: float | None
    p05_mm: float | None
    p50_mm: float | None

    @staticmethod
    def of(values: NDArray[np.float64]) -> Percentiles:
        """Return the percentiles of ``values`` (F,), NaN ignored, with numpy's linear interpolation."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return Percentiles(None, None, None)
        minimum, p05, p50 = np.percentile(finite, [0, 5, 50], overwrite_input=True)
        return Percentiles(float(minimum), float(p05), float(p50))


@dataclass(frozen=True, slots=True)
class ThicknessResult:
    """Wall thickness of a model.

    ``thin_area_fraction``: for each limit in mm (keys "0.5", "0.8", "1.0") the area of the facets whose sphere
    thickness is below it, over the total area; None for a model without area. ``facet_mm`` (F,) float64: the sphere
    thickness of each facet, NaN where it could not be measured. ``thinnest_mm`` (n <= 5, 3): centroids of the thinnest
    facets, thinnest first.

    If the search of a facet exceeded its budget, the percentiles and fractions, which depend on all facets, are None
    and ``measured`` is False.
    """

    ray: Percentiles
    sphere: Percentiles
    thin_area_fraction: dict[str, float | None]
    facet_mm: NDArray[np.float64]
    thinnest_mm: NDArray[np.float64]
    measured: bool = True


def start_thickness(
    executor: StageExecutor, mesh: Mesh, bvh: Bvh, shared: tuple[Mesh, Bvh]
) -> Callable[[], ThicknessResult]:
    """Submit the measurement of ``mesh`` (repaired, at least one facet); ``shared``: mesh and BVH in the executor."""
    walls = executor.share(build_normal_cones(mesh, bvh, executor.threads))
    parts_of = executor.submit("thickness", _of_facets, mesh.facet_count, _FACETS_PER_PART, *shared, walls)

    def join() -> ThicknessResult:
        ray, sphere = (np.concatenate(parts) for parts in zip(*parts_of(), strict=True))
        return summarise(mesh, ray, sphere, executor.threads)

    return join


def _of_facets(
    lo: int, hi: int, threads: int, mesh: Mesh, bvh: Bvh, walls: NDArray[np.float32]
) -> tuple[Floats, Floats]:
    """Return the ray and sphere thickness, mm, of facets ``lo`` to ``hi``."""
    facets = range(lo, hi)
    ray = ray_thickness(mesh, bvh, threads, facets)
    return ray, sphere_thickness(mesh, bvh, walls, threads, facets, ray)


def summarise(mesh: Mesh, ray: NDArray[np.float64], sphere: NDArray[np.float64], threads: int) -> ThicknessResult:
    """Summarise per-facet thicknesses (F,) in mm: NaN without a value, UNMEASURED where a budget was exceeded."""
    complete = [not (of == UNMEASURED).any() for of in (ray, sphere)]
    ray, sphere = (np.where(of == UNMEASURED, np.nan, of) for of in (ray, sphere))
    areas = triangle_areas(mesh.vertices, mesh.facets, np.ones(mesh.facet_count, np.bool_), threads)
    total = float(areas.sum()) if complete[1] else 0.0
    fractions: dict[str, float | None] = {
        str(limit): float(areas[sphere < limit].sum()) / total if total > 0 else None for limit in THIN_LIMITS_MM
    }
    of_ray, of_sphere = (
        Percentiles.of(of) if finite else Percentiles(None, None, None)
        for of, finite in zip((ray, sphere), complete, strict=True)
    )
    return ThicknessResult(of_ray, of_sphere, fractions, sphere, _thinnest(mesh, sphere), all(complete))


def _thinnest(mesh: Mesh, sphere: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.where(np.isfinite(sphere), sphere, np.inf)
    count = min(_MAX_THINNEST, int(np.isfinite(sphere).sum()))
    limit = np.partition(finite, count - 1)[count - 1] if count else -np.inf
    near = np.flatnonzero(finite <= limit)
    chosen = near[np.argsort(finite[near], kind="stable")][:count]  # ties in canonical order
    points: NDArray[np.float64] = mesh.vertices[mesh.facets[chosen]].mean(axis=1)
    return points
