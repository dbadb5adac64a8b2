"""The stages of an analysis, in order: each measures one thing on the mesh, its tree and the boundary of its solid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.bodies import ONE_BODY, Bodies, relate_bodies
from pricing_engine.analysis.executor import StageExecutor
from pricing_engine.analysis.finishing import reached_shares, sample_surface
from pricing_engine.analysis.hull import Hull, convex_hull, largest_faces
from pricing_engine.analysis.orientation import Orientation, search_orientations
from pricing_engine.analysis.progress import PartialAnalysis, partial_of
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.slices import MOST_LAYERS, Slices, TooMuchToSlice, layer_count, measure_slices
from pricing_engine.analysis.solid import classify, open_volume_estimate, true_volume
from pricing_engine.analysis.thickness import Thickness, start_thickness
from pricing_engine.kernels.intersection.leaf_join import GRAIN_LEAVES
from pricing_engine.kernels.intersection.pair_search import Pairs, find_pairs, join_leaves, prepare_join, sort_pairs
from pricing_engine.kernels.intersection.self_intersection import self_intersections
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.solid.mass import MassProperties, mass_properties
from pricing_engine.kernels.solid.volume import boundary_areas
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from pricing_engine.mesh.defects import defect_places, odd_edges
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.places import Places
from pricing_engine.mesh.repair import Repair, repair

STAGES = ("load", "integrity", "geometry", "thickness", "orientation", "slices", "finishing", "total")
_DONE = np.empty(0, np.int32)
_LEAVES_A_PART = 32 * GRAIN_LEAVES  # 65,536 facets, some 40 ms


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
class RepairedMesh:
    """The mesh as it is, ``raw``, and mended, ``mesh``.

    ``topology`` and ``crossing`` (F,) bool, the self-intersecting facets, are of the raw mesh; ``crossing`` is None
    where to tell them would take too long. ``sealed``: every edge
    of the mended mesh is in as many facets each way, so that a winding number is whole. ``odd_edges`` of it are in an
    odd number of facets, counted where it is not sealed. ``bodies``: of the mended mesh. ``places``: of the raw mesh's
    defects, by the code of their check.
    """

    raw: Mesh
    topology: Topology
    crossing: NDArray[np.bool_] | None
    mesh: Mesh
    repairs: tuple[Repair, ...]
    sealed: bool
    odd_edges: int = 0
    bodies: Bodies = ONE_BODY
    places: Mapping[str, Places] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Solid:
    """What the surface encloses: ``boundary``, ``volume`` (mm3), ``centre`` of mass and ``area`` (mm2) of the solid's
    surface are None for a tangle.

    ``mass`` is of the raw mesh, ``hull`` None where all vertices lie in a plane. ``if_solid``, ``if_cavity``: the
    volume (mm3) if the shells in others with the same side out are solid or cavities; None where there is none.
    """

    mass: MassProperties
    boundary: Boundary | None
    volume: float | None
    centre: Floats | None
    area: float | None
    hull: Hull | None
    if_solid: float | None = None
    if_cavity: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All stages' results; None what could not be measured."""

    sound: RepairedMesh
    solid: Solid
    walls: Thickness
    poses: Orientation | None
    layers: Slices | None
    reach: dict[str, float | None]


def run_stages(
    raw: Mesh,
    settings: Settings,
    spread: StageExecutor,
    watch: Stopwatch,
    tell: Callable[[PartialAnalysis], None] | None = None,
) -> Findings:
    """Measure ``raw``, a welded mesh in canonical order. O(n log n) in its facets.

    ``tell`` hears what is known by now, once before the heavy stages and when each of them ends.
    """
    threads, height, radii = spread.threads, settings.layer_height_mm, settings.reach_radii_mm
    with watch.stage("geometry"):
        mass = mass_properties(raw, threads)
    ended = _teller(tell, raw, mass, settings, threads)
    with watch.stage("integrity"):
        topology = measure_topology(raw, threads)
        mesh, repairs = repair(raw, topology, threads)
        mended = topology if mesh is raw else measure_topology(mesh, threads)
        bvh = build_bvh(mesh, threads)
        held = spread.hold(mesh), spread.hold(bvh)
        pairs_of = _start_pairs(spread, mesh, bvh, held)
        walls_of = start_thickness(spread, mesh, bvh, held)  # fills whoever has nothing else to do
        pairs = pairs_of()
        crossing = _crossing(raw, mesh, bvh, pairs, threads)
        sealed = mended.winding_consistent and mended.boundary_edges == 0
        bodies = relate_bodies(mesh, mended, bvh, pairs, threads)
        odd = 0 if sealed else odd_edges(mesh, mended)
        places = defect_places(raw, topology, repairs)
        topology = replace(topology, facet_body=_DONE, neighbours=_DONE)  # 16 bytes a facet that nothing reads again
        sound = RepairedMesh(raw, topology, crossing, mesh, repairs, sealed, odd, bodies, places)
    ended(lambda known: known.after_integrity(sound))
    with watch.stage("geometry"):
        solid = _enclose(sound, mass, bvh, pairs, mended, threads)
        del pairs, mended
    ended(lambda known: known.after_geometry(solid))
    poses, layers, boundary = None, None, solid.boundary
    reach: dict[str, float | None] = {str(radius): None for radius in radii}
    if boundary is not None:
        samples, held_boundary = spread.hold(sample_surface(mesh, boundary, bvh.centre, threads)), spread.hold(boundary)
        reach_of = spread.start("finishing", reached_shares, len(radii), 1, samples, held[1], radii)
        few = layer_count(mesh, height) <= MOST_LAYERS
        layers_of = spread.start("slices", _slices, int(few), 1, held[0], held_boundary, height)
        with watch.stage("orientation"):
            poses = search_orientations(mesh, bvh, boundary, height, largest_faces(solid.hull), threads)
        ended(lambda known: known.after_orientation(poses))
        with watch.stage("slices"):
            layers = next(chain.from_iterable(layers_of()), None)
        ended(lambda known: known.after_slices(layers))
        with watch.stage("finishing"):
            reach.update(zip(reach, chain.from_iterable(reach_of()), strict=True))
        ended(lambda known: known.after_finishing(reach))
    with watch.stage("thickness"):
        walls = walls_of()
    ended(lambda known: known.after_thickness())
    return Findings(sound, solid, walls, poses, layers, reach)


def _teller(
    tell: Callable[[PartialAnalysis], None] | None, raw: Mesh, mass: MassProperties, settings: Settings, threads: int
) -> Callable[[Callable[[PartialAnalysis], PartialAnalysis]], None]:
    """A function that adds to what is known, and tells it; one that does nothing if nobody listens."""
    if tell is None:
        return lambda add: None
    known = partial_of(raw, mass, settings, threads)
    tell(known)

    def ended(add: Callable[[PartialAnalysis], PartialAnalysis]) -> None:
        nonlocal known
        known = add(known)
        tell(known)

    return ended


def _start_pairs(spread: StageExecutor, mesh: Mesh, bvh: Bvh, held: tuple[Mesh, Bvh]) -> Callable[[], Pairs]:
    by = spread.hold(prepare_join(mesh, bvh, spread.threads))
    parts_of = spread.start("pairs", join_leaves, bvh.corners.shape[1] // WIDTH, _LEAVES_A_PART, *held, by)
    return lambda: sort_pairs(mesh, parts_of(), spread.threads)


def _crossing(raw: Mesh, mesh: Mesh, bvh: Bvh, pairs: Pairs, threads: int) -> NDArray[np.bool_] | None:
    if mesh is raw:
        return self_intersections(raw, bvh, pairs, threads)
    raw_bvh = build_bvh(raw, threads)
    return self_intersections(raw, raw_bvh, find_pairs(raw, raw_bvh, threads), threads)


def _enclose(
    sound: RepairedMesh, mass: MassProperties, bvh: Bvh, pairs: Pairs, mended: Topology, threads: int
) -> Solid:
    mesh, hull = sound.mesh, convex_hull(sound.raw)
    manifold = mended.winding_consistent and mended.watertight
    boundary = classify(mesh, bvh, pairs, manifold, mended.facet_body, threads)
    if boundary is None:
        return Solid(mass, None, None, None, None, hull)
    volume, centre = true_volume(mesh, boundary, threads)
    if not sound.sealed:
        volume = open_volume_estimate(mesh, bvh, boundary, threads)
    area = float(boundary_areas(mesh, boundary, threads).sum())
    side = sound.bodies.side
    if side is None:
        return Solid(mass, boundary, volume, centre, area, hull)

    def volume_with(turned: NDArray[np.bool_]) -> float | None:
        if not turned.any():
            return volume
        other = Mesh(mesh.vertices, np.where(turned[:, None], mesh.facets[:, ::-1], mesh.facets))
        bounds = classify(other, bvh, pairs, manifold, mended.facet_body, threads)
        if bounds is None:
            return None
        return (true_volume(other, bounds, threads)[0] if sound.sealed
                else open_volume_estimate(other, bvh, bounds, threads))  # fmt: skip

    return Solid(mass, boundary, volume, centre, area, hull, volume_with(side < 0), volume_with(side > 0))


def _slices(lo: int, hi: int, threads: int, mesh: Mesh, boundary: Boundary, height: float) -> list[Slices]:
    """All layers, none where that is too much: they are too quick to be worth more than one part."""
    try:
        return [measure_slices(mesh, boundary, height, threads) for _ in range(lo, hi)]
    except TooMuchToSlice:
        return []
