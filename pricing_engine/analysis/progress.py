"""Partial results of a model whose stages still run: plain numbers, small to send, enough for a price interval.

:func:`partial_of` creates it after loading; each finished stage adds its results, in any order. A value that a stage
could not measure is None as in the Analysis; ``finished`` distinguishes it from a value that is still pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.schema import Point

if TYPE_CHECKING:
    from pricing_engine.analysis.findings import RepairedMesh, Solid
    from pricing_engine.analysis.hull import Hull
    from pricing_engine.analysis.orientation import OrientationResult
    from pricing_engine.analysis.settings import Settings
    from pricing_engine.analysis.slices import SlicesResult
    from pricing_engine.kernels.mesh import Mesh
    from pricing_engine.kernels.solid.mass import MassProperties


class Stage(StrEnum):
    """Stages of an analysis, in the order of ``elapsed_s``; ``total`` is the sum, with the time between them."""

    LOAD = "load"
    INTEGRITY = "integrity"
    GEOMETRY = "geometry"
    THICKNESS = "thickness"
    ORIENTATION = "orientation"
    SLICES = "slices"
    FINISHING = "finishing"
    TOTAL = "total"


MEASURING_STAGES = frozenset(Stage) - {Stage.LOAD, Stage.TOTAL}
"""Stages that report progress when they finish."""

PRICED_STAGES = MEASURING_STAGES - {Stage.THICKNESS}
"""Stages that a price depends on; the wall thickness only decides the verdict."""

_ROUND = 1e-6  # of the model's size: a surface this close to the platform rests on it


@dataclass(frozen=True, slots=True)
class PartialAnalysis:
    """A model's measures so far (mm, mm2, mm3); each is None until its stage is in ``finished``, or without a value.

    ``open_area_mm2``: length of the surface's area vector, 0 if closed. ``clear_down``: the shortest of the axes along
    which the surface has no overhang. ``clean``: one closed body without repairs or self-intersections, so its signed
    volume is its volume. ``volume_mm3``, ``surface_area_mm2``: of the solid. ``best_*`` and ``given_support_mm3``: of
    the best orientation and the one as given. ``reach``: share of the area by ball radius, as in the Analysis; its
    radii are set from the start.
    """

    facets: int
    signed_volume_mm3: float
    area_mm2: float
    open_area_mm2: float
    clear_down: Point | None
    bbox_min_mm: Point
    bbox_max_mm: Point
    reach: Mapping[str, float | None]
    hull_volume_mm3: float | None = None
    clean: bool | None = None
    volume_mm3: float | None = None
    surface_area_mm2: float | None = None
    best_down: Point | None = None
    best_height_mm: float | None = None
    best_support_mm3: float | None = None
    given_support_mm3: float | None = None
    trapped_mm3: float | None = None
    finished: frozenset[Stage] = field(default_factory=frozenset)

    @property
    def complete(self) -> bool:
        """Whether everything that a price depends on is measured, or can't be for this model."""
        return self.finished >= PRICED_STAGES or (Stage.GEOMETRY in self.finished and self.volume_mm3 is None)

    @property
    def progress(self) -> float:
        """Return the share of the steps done, 0 to 1; the end of the analysis is a step of its own."""
        return len(self.finished) / (len(MEASURING_STAGES) + 1)

    def after_integrity(self, repaired: RepairedMesh) -> PartialAnalysis:
        """Add whether the surface bounds a solid without repairs."""
        manifold = repaired.sealed and not repaired.repairs and repaired.topology.bodies == 1
        clean = bool(manifold and repaired.crossing is not None and not repaired.crossing.any())
        return self._after(Stage.INTEGRITY, clean=clean)

    def after_geometry(self, solid: Solid) -> PartialAnalysis:
        """Add the solid's volume and surface, and the hull."""
        hull = solid.hull.volume if solid.hull else None
        return self._after(Stage.GEOMETRY, volume_mm3=solid.volume, surface_area_mm2=solid.area, hull_volume_mm3=hull)

    def after_thickness(self) -> PartialAnalysis:
        """Add the end of a stage that changes no price."""
        return self._after(Stage.THICKNESS)

    def after_orientation(self, poses: OrientationResult | None) -> PartialAnalysis:
        """Add the best orientation and the support as given; None for a tangle or an exceeded budget."""
        if poses is None:
            return self._after(Stage.ORIENTATION)
        best = poses.best
        return self._after(
            Stage.ORIENTATION,
            best_down=_point(best.down) if best else None,
            best_height_mm=best.height_mm if best else None,
            best_support_mm3=best.support_volume_mm3 if best else None,
            given_support_mm3=poses.as_given.support_volume_mm3,
        )

    def after_slices(self, layers: SlicesResult | None) -> PartialAnalysis:
        """Add the trapped volume; None for a tangle or too many layers."""
        return self._after(Stage.SLICES, trapped_mm3=None if layers is None else layers.trapped_volume_mm3)

    def after_finishing(self, reach: Mapping[str, float | None]) -> PartialAnalysis:
        """Add the share of area that each ball reaches."""
        return self._after(Stage.FINISHING, reach=dict(reach))

    def _after(self, stage: Stage, **found: object) -> PartialAnalysis:
        return replace(self, finished=self.finished | {stage}, **found)  # type: ignore[arg-type]


def partial_of(
    mesh: Mesh, mass: MassProperties, settings: Settings, threads: int, hull: Hull | None = None
) -> PartialAnalysis:
    """Return the first partial analysis, of the welded mesh as read and its mass properties. O(n).

    ``hull``: the convex hull, if already computed.
    """
    # imported late: a process that only prices needs no compiled code
    from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
    from pricing_engine.kernels.orientation.quick_scan import quick_scan

    sides = mass.bbox_max - mass.bbox_min
    resting_height = settings.layer_height_mm / 2 + _ROUND * float(sides.max())
    scan = quick_scan(mesh, mass.bbox_min, mass.bbox_max, resting_height, OVERHANG_COSINE, threads)
    return PartialAnalysis(
        facets=mesh.facet_count,
        signed_volume_mm3=mass.volume,
        area_mm2=mass.area,
        open_area_mm2=float(np.linalg.norm(scan.area_vector)),
        clear_down=_clear_down(scan.overhang, sides, mass),
        bbox_min_mm=_point(mass.bbox_min),
        bbox_max_mm=_point(mass.bbox_max),
        reach={str(radius): None for radius in settings.reach_radii_mm},
        hull_volume_mm3=hull.volume if hull else None,
    )


def _clear_down(overhang: NDArray[np.float64], sides: NDArray[np.float64], mass: MassProperties) -> Point | None:
    """Return the shortest axis without overhang; None if there is none or the surface is inside out."""
    clear = np.flatnonzero(overhang.min(axis=1) <= _ROUND * mass.area)
    if mass.volume <= 0 or not len(clear):
        return None
    return _point(np.eye(3)[clear[np.argmin(sides[clear])]])


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
