"""Assemble the sections of the Analysis from the findings of the stages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis import schema as report
from pricing_engine.analysis.checks import Shape, find_checks
from pricing_engine.analysis.findings import Findings, RepairedMesh, Solid
from pricing_engine.analysis.orientation import OrientationResult, Pose
from pricing_engine.analysis.progress import Stage
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.slices import SlicesResult
from pricing_engine.analysis.thickness import Percentiles
from pricing_engine.mesh.load import LoadedModel
from pricing_engine.mesh.places import MAX_PLACES, as_places, facet_places
from pricing_engine.mesh.repair import TURNED


def assemble(
    identity: str, loaded: LoadedModel, settings: Settings, found: Findings, elapsed: Mapping[str, float]
) -> report.Analysis:
    """Return the Analysis with the id ``identity``."""
    raw, walls = loaded.mesh, found.walls
    integrity, geometry = _integrity(found.repaired), _geometry(found.solid)
    thickness = report.Thickness(_summary(walls.ray), _summary(walls.sphere), walls.thin_area_fraction)
    slices = _slices(found.layers, settings.layer_height_mm)
    notes = {note.code: note.message for note in loaded.notes}
    estimated = not found.repaired.sealed
    shape = Shape(
        loaded.unit, found.repaired.bodies, found.solid.if_solid, found.solid.if_cavity,
        any(done.code == TURNED and done.doubtful for done in found.repaired.repairs), found.repaired.odd_edges,
    )  # fmt: skip
    return report.Analysis(
        engine_version=ENGINE_VERSION,
        analysis_id=identity,
        model=report.Model(loaded.sha256, loaded.format, loaded.unit, raw.facet_count, len(raw.vertices), loaded.bytes),
        integrity=integrity,
        geometry=geometry,
        thickness=thickness,
        orientation=_orientation(found.poses),
        slices=slices,
        finishing=report.Finishing(found.reach),
        checks=find_checks(
            integrity, geometry, thickness, slices, notes, _places(found), estimated, _not_measured(found), shape
        ),
        elapsed_s=elapsed,
    )


def _integrity(repaired: RepairedMesh) -> report.Integrity:
    topology = repaired.topology
    return report.Integrity(
        watertight=topology.watertight,
        winding_consistent=topology.winding_consistent,
        bodies=topology.bodies,
        euler_number=topology.euler_number,
        boundary_edges=topology.boundary_edges,
        non_manifold_edges=topology.non_manifold_edges,
        degenerate_facets=topology.degenerate_facets,
        duplicate_facets=topology.duplicate_facets,
        self_intersecting_facets=None if repaired.crossing is None else int(np.count_nonzero(repaired.crossing)),
        inverted=any(repair.code == TURNED for repair in repaired.repairs),
        repairs=tuple(report.Repair(repair.code, repair.count) for repair in repaired.repairs),
    )


def _geometry(solid: Solid) -> report.Geometry:
    mass, centre = solid.mass, solid.centre
    return report.Geometry(
        signed_volume_mm3=mass.volume,
        volume_mm3=solid.volume,
        area_mm2=mass.area,
        bbox_min_mm=_point(mass.bbox_min),
        bbox_max_mm=_point(mass.bbox_max),
        hull_volume_mm3=solid.hull.volume if solid.hull else None,
        center_of_mass_mm=_point(centre) if centre is not None and np.all(np.isfinite(centre)) else None,
        surface_area_mm2=solid.area,
    )


def _not_measured(found: Findings) -> tuple[Stage, ...]:
    """Return the stages that exceeded their budget."""
    solid = found.solid.boundary is not None
    stages = (
        (Stage.THICKNESS, not found.walls.measured),
        (Stage.ORIENTATION, solid and (found.poses is None or found.poses.best is None)),
        (Stage.SLICES, solid and found.layers is None),
        (Stage.FINISHING, solid and None in found.reach.values()),
    )
    return tuple(stage for stage, exceeded in stages if exceeded)


def _places(found: Findings) -> dict[str, tuple[report.Point, ...]]:
    """Return the locations of each check's finding on the model, by check code."""
    repaired, layers, empty = found.repaired, found.layers, np.empty((0, 3))
    crossed = () if repaired.crossing is None else facet_places(repaired.raw, np.flatnonzero(repaired.crossing))
    places = {
        **repaired.places,
        "thin_walls": as_places(found.walls.thinnest_mm),
        "islands": as_places(layers.island_points[:MAX_PLACES] if layers else empty),
        "trapped_volume": as_places(layers.trapped_points if layers else empty),
        "self_intersections": crossed,
        "overlapping_shells": crossed or repaired.bodies.nested_places,
        "tangled": crossed,
        **{f"repaired:{repair.code}": repair.where for repair in repaired.repairs},
    }
    places["winding_inconsistent"] = places.get("repaired:facets_flipped") or places.get("non_manifold_edges", ())
    places["volume_estimated"] = places.get("open_edges") or places.get("non_manifold_edges", ())
    return places


def _summary(found: Percentiles) -> report.ThicknessSummary:
    return report.ThicknessSummary(found.min_mm, found.p05_mm, found.p50_mm)


def _orientation(found: OrientationResult | None) -> report.Orientation:
    if found is None:
        empty = None, None, None
        return report.Orientation(0, report.OrientationScore(*empty), report.BestOrientation(None, *empty))
    best = report.BestOrientation(None, None, None, None)
    if found.best is not None:
        best = report.BestOrientation(_point(found.best.down), *_scores(found.best))
    return report.Orientation(found.candidates, report.OrientationScore(*_scores(found.as_given)), best)


def _slices(found: SlicesResult | None, layer_height: float) -> report.Slices:
    if found is None:
        return report.Slices(layer_height, None, None, None, None, None, None)
    return report.Slices(
        layer_height_mm=found.layer_height_mm,
        layers=found.layers,
        area_sum_mm2=found.area_sum_mm2,
        perimeter_sum_mm=found.perimeter_sum_mm,
        max_area_mm2=found.max_area_mm2,
        islands=found.islands,
        trapped_volume_mm3=found.trapped_volume_mm3,
    )


def _scores(pose: Pose) -> tuple[float, float, float]:
    return pose.support_volume_mm3, pose.overhang_area_mm2, pose.height_mm


def _point(values: NDArray[np.float64]) -> report.Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
