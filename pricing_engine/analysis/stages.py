"""The stages of an analysis, in order: each measures one thing on the mesh, its tree and the boundary of its solid."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.finishing import measure_reach
from pricing_engine.analysis.hull import Hull, convex_hull, largest_faces
from pricing_engine.analysis.orientation import Orientation, search_orientations
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.slices import MOST_LAYERS, Slices, layer_count, measure_slices
from pricing_engine.analysis.solid import classify, open_volume_estimate, true_volume
from pricing_engine.analysis.thickness import Thickness, measure_thickness
from pricing_engine.kernels.boundary import Boundary
from pricing_engine.kernels.bvh import Bvh, build_bvh
from pricing_engine.kernels.mass import MassProperties, mass_properties
from pricing_engine.kernels.pair_search import Pairs, find_pairs
from pricing_engine.kernels.self_intersection import self_intersections
from pricing_engine.kernels.volume import boundary_areas
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.model import Floats, Mesh
from pricing_engine.mesh.repair import Repair, repair

STAGES = ("load", "integrity", "geometry", "thickness", "orientation", "slices", "finishing", "total")
_DONE = np.empty(0, np.int32)


@dataclass
class Stopwatch:
    """Seconds by stage, 0 for those that were left out."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to ``name``."""
        begin = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Sound:
    """The mesh as it is, ``raw``, and mended, ``mesh``, with its tree and the pairs of facets that may cross.

    ``topology`` and ``crossing`` (F,) bool, the self-intersecting facets, are of the raw mesh. ``manifold``: every edge
    of the mended mesh is in two facets, in opposite directions; ``sealed``: in as many facets each way, so that
    a winding number is whole. ``body`` (F,) int32: each facet's body.
    """

    raw: Mesh
    topology: Topology
    crossing: NDArray[np.bool_]
    mesh: Mesh
    repairs: tuple[Repair, ...]
    bvh: Bvh
    pairs: Pairs
    body: NDArray[np.int32]
    manifold: bool
    sealed: bool


@dataclass(frozen=True, slots=True)
class Solid:
    """What the surface encloses: ``boundary``, ``volume`` (mm3), ``centre`` of mass and ``area`` (mm2) of the solid's
    surface are None for a tangle.

    ``mass`` is of the raw mesh, ``hull`` None where all vertices lie in a plane.
    """

    mass: MassProperties
    boundary: Boundary | None
    volume: float | None
    centre: Floats | None
    area: float | None
    hull: Hull | None


@dataclass(frozen=True, slots=True)
class Findings:
    """All stages' results; None what could not be measured."""

    sound: Sound
    solid: Solid
    walls: Thickness
    poses: Orientation | None
    layers: Slices | None
    reach: dict[str, float | None]


def run_stages(raw: Mesh, settings: Settings, threads: int, watch: Stopwatch) -> Findings:
    """Measure ``raw``, a welded mesh in canonical order. O(n log n) in its facets."""
    with watch.stage("integrity"):
        sound = _mend(raw, threads)
    with watch.stage("geometry"):
        solid = _enclose(sound, threads)
        sound = replace(sound, pairs=Pairs(_DONE, _DONE, sound.pairs.complete), body=_DONE)  # not read again
    mesh, bvh, boundary, height = sound.mesh, sound.bvh, solid.boundary, settings.layer_height_mm
    poses, layers = None, None
    reach: dict[str, float | None] = {str(radius): None for radius in settings.reach_radii_mm}
    with watch.stage("thickness"):
        walls = measure_thickness(mesh, bvh, threads)
    if boundary is None:
        return Findings(sound, solid, walls, poses, layers, reach)
    with watch.stage("orientation"):
        poses = search_orientations(mesh, bvh, boundary, height, largest_faces(solid.hull), threads)
    with watch.stage("slices"):
        if layer_count(mesh, height) <= MOST_LAYERS:
            layers = measure_slices(mesh, boundary, height, threads)
    with watch.stage("finishing"):
        reach.update(measure_reach(mesh, bvh, boundary, settings.reach_radii_mm, threads))
    return Findings(sound, solid, walls, poses, layers, reach)


def _mend(raw: Mesh, threads: int) -> Sound:
    topology = measure_topology(raw, threads)
    mesh, repairs = repair(raw, topology, threads)
    mended = topology if mesh is raw else measure_topology(mesh, threads)
    bvh = build_bvh(mesh, threads)
    pairs = find_pairs(mesh, bvh, threads)
    if mesh is raw:
        crossing = self_intersections(raw, bvh, pairs, threads)
    else:
        raw_bvh = build_bvh(raw, threads)
        crossing = self_intersections(raw, raw_bvh, find_pairs(raw, raw_bvh, threads), threads)
    body, sealed = mended.facet_body, mended.winding_consistent and mended.boundary_edges == 0
    manifold = mended.winding_consistent and mended.watertight
    topology = replace(topology, facet_body=_DONE, neighbours=_DONE)  # 16 bytes a facet that nothing reads again
    return Sound(raw, topology, crossing, mesh, repairs, bvh, pairs, body, manifold, sealed)


def _enclose(sound: Sound, threads: int) -> Solid:
    mesh, bvh = sound.mesh, sound.bvh
    mass, hull = mass_properties(sound.raw, threads), convex_hull(sound.raw)
    boundary = classify(mesh, bvh, sound.pairs, sound.manifold, sound.body, threads)
    if boundary is None:
        return Solid(mass, None, None, None, None, hull)
    volume, centre = true_volume(mesh, boundary, threads)
    if not sound.sealed:
        volume = open_volume_estimate(mesh, bvh, boundary, threads)
    area = float(boundary_areas(mesh, boundary, threads).sum())
    return Solid(mass, boundary, volume, centre, area, hull)
