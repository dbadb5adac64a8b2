"""What is known of a model while its stages still run: plain numbers, small to send, enough to price what is left open.

:func:`partial_of` begins it after loading; each stage that ends adds what it found, in any order. What a stage could
not measure is None as in the Analysis; ``ended`` tells that from what is still to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.schema import Point

if TYPE_CHECKING:
    from pricing_engine.analysis.hull import Hull
    from pricing_engine.analysis.orientation import Orientation
    from pricing_engine.analysis.settings import Settings
    from pricing_engine.analysis.slices import Slices
    from pricing_engine.analysis.stages import RepairedMesh, Solid
    from pricing_engine.kernels.mesh import Mesh
    from pricing_engine.kernels.solid.mass import MassProperties

PRICED = frozenset({"integrity", "geometry", "orientation", "slices", "finishing"})
"""Stages that a price depends on; the wall thickness only decides the verdict."""

_ROUND = 1e-6  # of the model's size: what lies so near the platform rests on it


@dataclass(frozen=True, slots=True)
class PartialAnalysis:
    """A model's measures so far: mm, mm2, mm3; each is None until its stage is in ``ended``, or if it has no value.

    ``open_area_mm2``: length of the surface's area vector, 0 where it is closed. ``clear_down``: of the axes along
    which the surface has no overhang, the shortest. ``clean``: one closed body that needed no repair and crosses itself
    nowhere, so its signed volume is its volume. ``volume_mm3``, ``surface_area_mm2``: of the solid. ``best_*`` and
    ``given_support_mm3``: of the best and the given orientation. ``reach``: share of the area by ball radius, as in the
    Analysis; its radii are known from the start.
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
    ended: frozenset[str] = field(default_factory=frozenset)

    @property
    def complete(self) -> bool:
        """Whether all that a price depends on has been measured, or can't be for this model."""
        return self.ended >= PRICED or ("geometry" in self.ended and self.volume_mm3 is None)

    def after_integrity(self, sound: RepairedMesh) -> PartialAnalysis:
        """Add whether the surface bounds a solid as it is."""
        whole = sound.sealed and not sound.repairs and sound.topology.bodies == 1
        return self._after("integrity", clean=bool(whole and sound.crossing is not None and not sound.crossing.any()))

    def after_geometry(self, solid: Solid) -> PartialAnalysis:
        """Add the solid's volume and surface, and the hull."""
        hull = solid.hull.volume if solid.hull else None
        return self._after("geometry", volume_mm3=solid.volume, surface_area_mm2=solid.area, hull_volume_mm3=hull)

    def after_thickness(self) -> PartialAnalysis:
        """Note the end of a stage that changes no price."""
        return self._after("thickness")

    def after_orientation(self, poses: Orientation | None) -> PartialAnalysis:
        """Add the best orientation and the support as given; None for a tangle or what was not measured."""
        if poses is None:
            return self._after("orientation")
        best = poses.best
        return self._after(
            "orientation",
            best_down=_point(best.down) if best else None,
            best_height_mm=best.height_mm if best else None,
            best_support_mm3=best.support_volume_mm3 if best else None,
            given_support_mm3=poses.as_given.support_volume_mm3,
        )

    def after_slices(self, layers: Slices | None) -> PartialAnalysis:
        """Add the trapped volume; None where there were too many layers, or a tangle."""
        return self._after("slices", trapped_mm3=None if layers is None else layers.trapped_volume_mm3)

    def after_finishing(self, reach: Mapping[str, float | None]) -> PartialAnalysis:
        """Add the share of area that each ball reaches."""
        return self._after("finishing", reach=dict(reach))

    def _after(self, stage: str, **found: object) -> PartialAnalysis:
        return replace(self, ended=self.ended | {stage}, **found)  # type: ignore[arg-type]


def partial_of(
    mesh: Mesh, mass: MassProperties, settings: Settings, threads: int, hull: Hull | None = None
) -> PartialAnalysis:
    """Begin with the welded mesh as read and its mass properties; ``hull`` where it is already there. O(n)."""
    # not above: a process that only prices needs no compiled code
    from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
    from pricing_engine.kernels.orientation.quick_scan import quick_scan

    sides = mass.bbox_max - mass.bbox_min
    rest = settings.layer_height_mm / 2 + _ROUND * float(sides.max())
    look = quick_scan(mesh, mass.bbox_min, mass.bbox_max, rest, OVERHANG_COSINE, threads)
    return PartialAnalysis(
        facets=mesh.facet_count,
        signed_volume_mm3=mass.volume,
        area_mm2=mass.area,
        open_area_mm2=float(np.linalg.norm(look.area_vector)),
        clear_down=_clear_down(look.overhang, sides, mass),
        bbox_min_mm=_point(mass.bbox_min),
        bbox_max_mm=_point(mass.bbox_max),
        reach={str(radius): None for radius in settings.reach_radii_mm},
        hull_volume_mm3=hull.volume if hull else None,
    )


def _clear_down(overhang: NDArray[np.float64], sides: NDArray[np.float64], mass: MassProperties) -> Point | None:
    """The axis without overhang and of the least side; None where there is none, or the surface is inside out."""
    clear = np.flatnonzero(overhang.min(axis=1) <= _ROUND * mass.area)
    if mass.volume <= 0 or not len(clear):
        return None
    return _point(np.eye(3)[clear[np.argmin(sides[clear])]])


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
