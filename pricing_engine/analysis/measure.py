"""Measure a model: every stage over the kernels, once, into one immutable Analysis."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis import model as report
from pricing_engine.analysis.checks import find_checks
from pricing_engine.analysis.finishing import measure_reach
from pricing_engine.analysis.hull import convex_hull, largest_faces
from pricing_engine.analysis.orientation import Orientation, Pose, search_orientations
from pricing_engine.analysis.slices import MOST_LAYERS, Slices, layer_count, measure_slices
from pricing_engine.analysis.solid import classify, open_volume_estimate, true_volume
from pricing_engine.analysis.thickness import Percentiles, measure_thickness
from pricing_engine.kernels.bvh import build_bvh
from pricing_engine.kernels.mass import mass_properties
from pricing_engine.kernels.pair_search import find_pairs
from pricing_engine.kernels.self_intersection import self_intersections
from pricing_engine.kernels.threads import default_threads
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.load import LoadedModel, load_model
from pricing_engine.mesh.model import Mesh
from pricing_engine.mesh.repair import repair

_PLACES = 8  # points that a check shows at most
_DONE = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller may choose about measuring; part of the analysis id."""

    layer_height_mm: float = 0.05
    reach_radii_mm: tuple[float, ...] = (1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """The Analysis, and what only a picture needs: the repaired mesh and the sphere thickness of its facets (F,) mm."""

    analysis: report.Analysis
    mesh: Mesh
    facet_thickness: NDArray[np.floating]


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


def analysis_id(sha256: str, unit: str | None, settings: Settings) -> str:
    """Hash of all that an analysis depends on: the model's bytes, the unit, the settings and the engine version."""
    key = {"engine": ENGINE_VERSION, "model": sha256, "unit": unit or "mm", "settings": asdict(settings)}
    return "sha256:" + hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def measure(path: Path, unit: str | None, settings: Settings, threads: int | None) -> Measured:
    """Read and measure the model at ``path``.

    ``unit``: mm, cm, m or in for formats that carry none. ``threads``: None for all cores; the numbers are the same for
    any. Raises :class:`ModelError` where the model can't be read. O(n log n) in the number of facets.
    """
    threads = threads or default_threads()
    watch = _Stopwatch()
    with watch.stage("total"):
        with watch.stage("load"):
            loaded = load_model(path, unit, threads)
        analysis, mesh, thickness = _measure(loaded, unit, settings, threads, watch)
    return Measured(replace(analysis, elapsed_s=watch.seconds), mesh, thickness)


def _measure(
    loaded: LoadedModel, unit: str | None, settings: Settings, threads: int, watch: _Stopwatch
) -> tuple[report.Analysis, Mesh, NDArray[np.floating]]:
    raw = loaded.mesh
    with watch.stage("integrity"):
        topology = measure_topology(raw, threads)
        mesh, repairs = repair(raw, topology, threads)
        body, closed = topology.facet_body, topology.watertight and topology.winding_consistent
        if mesh is not raw:
            mended = measure_topology(mesh, threads)
            body, closed = mended.facet_body, mended.watertight and mended.winding_consistent
            del mended
        topology = replace(topology, facet_body=_DONE, neighbours=_DONE)  # 16 bytes a facet that nothing reads again
        bvh = build_bvh(mesh, threads)
        pairs = find_pairs(mesh, bvh, threads)
        raw_bvh = bvh if mesh is raw else build_bvh(raw, threads)
        raw_pairs = pairs if mesh is raw else find_pairs(raw, raw_bvh, threads)
        crossing = self_intersections(raw, raw_bvh, raw_pairs, threads)
        del raw_bvh, raw_pairs
    with watch.stage("geometry"):
        mass = mass_properties(raw, threads)
        boundary = classify(mesh, bvh, pairs, closed, body, threads)
        del pairs
        volume, centre = true_volume(mesh, boundary, threads) if boundary else (None, None)
        if boundary and not closed:
            volume = open_volume_estimate(mesh, bvh, boundary, threads)
        del body
        hull = convex_hull(raw)
    with watch.stage("thickness"):
        walls = measure_thickness(mesh, bvh, threads)
    with watch.stage("orientation"):
        faces = largest_faces(hull)
        poses = search_orientations(mesh, bvh, boundary, settings.layer_height_mm, faces, threads) if boundary else None
    with watch.stage("slices"):
        sliced = boundary and layer_count(mesh, settings.layer_height_mm) <= MOST_LAYERS
        layers = measure_slices(mesh, boundary, settings.layer_height_mm, threads) if boundary and sliced else None
    with watch.stage("finishing"):
        reach: dict[str, float | None] = {str(radius): None for radius in settings.reach_radii_mm}
        if boundary:
            reach.update(measure_reach(mesh, bvh, boundary, settings.reach_radii_mm, threads))
    integrity = report.Integrity(
        watertight=topology.watertight,
        winding_consistent=topology.winding_consistent,
        bodies=topology.bodies,
        euler_number=topology.euler_number,
        boundary_edges=topology.boundary_edges,
        non_manifold_edges=topology.non_manifold_edges,
        degenerate_facets=topology.degenerate_facets,
        duplicate_facets=topology.duplicate_facets,
        self_intersecting_facets=int(np.count_nonzero(crossing)),
        inverted=any(mended.code == "bodies_turned" for mended in repairs),
        repairs=tuple(report.Repair(mended.code, mended.count) for mended in repairs),
    )
    geometry = report.Geometry(
        signed_volume_mm3=mass.volume,
        volume_mm3=volume,
        area_mm2=mass.area,
        bbox_min_mm=_point(mass.bbox_min),
        bbox_max_mm=_point(mass.bbox_max),
        hull_volume_mm3=hull.volume if hull else None,
        center_of_mass_mm=_point(centre) if centre is not None and np.all(np.isfinite(centre)) else None,
    )
    thickness = report.Thickness(_summary(walls.ray), _summary(walls.sphere), walls.thin_area_fraction)
    slices = _slices(layers, settings.layer_height_mm)
    crossed = np.flatnonzero(crossing)[:_PLACES]
    where = {
        "thin_walls": tuple(_point(place) for place in walls.thinnest_mm),
        "islands": tuple(_point(place) for place in layers.island_points[:_PLACES]) if layers else (),
        "self_intersections": tuple(_point(raw.vertices[raw.facets[facet]].mean(axis=0)) for facet in crossed),
    }
    notes = {note.code: note.message for note in loaded.notes}
    analysis = report.Analysis(
        ENGINE_VERSION,
        analysis_id(loaded.sha256, unit, settings),
        report.Model(loaded.sha256, loaded.format, loaded.unit, raw.facet_count, len(raw.vertices), loaded.bytes),
        integrity,
        geometry,
        thickness,
        _orientation(poses),
        slices,
        report.Finishing(reach),
        find_checks(integrity, geometry, thickness, slices, notes, where),
    )
    return analysis, mesh, walls.facet_mm


def _summary(found: Percentiles) -> report.ThicknessSummary:
    return report.ThicknessSummary(found.min_mm, found.p05_mm, found.p50_mm)


def _orientation(found: Orientation | None) -> report.Orientation:
    if found is None:
        nothing = None, None, None
        return report.Orientation(0, report.OrientationScore(*nothing), report.BestOrientation(None, *nothing))
    best = report.BestOrientation(_point(found.best.down), *_scores(found.best))
    return report.Orientation(found.candidates, report.OrientationScore(*_scores(found.as_given)), best)


def _slices(found: Slices | None, layer_height: float) -> report.Slices:
    if found is None:
        return report.Slices(layer_height, None, None, None, None, None, None)
    return report.Slices(
        found.layer_height_mm, found.layers, found.area_sum_mm2, found.perimeter_sum_mm, found.max_area_mm2,
        found.islands, found.trapped_volume_mm3,
    )  # fmt: skip


def _scores(pose: Pose) -> tuple[float, float, float]:
    return pose.support_volume_mm3, pose.overhang_area_mm2, pose.height_mm


def _point(values: NDArray[np.float64]) -> report.Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
