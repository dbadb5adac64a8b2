"""The stages of an analysis: each measures one aspect of the mesh, its BVH and the boundary of its solid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.bodies import relate_bodies
from pricing_engine.analysis.executor import StageExecutor
from pricing_engine.analysis.findings import Findings, RepairedMesh, Solid
from pricing_engine.analysis.finishing import reached_shares, sample_surface
from pricing_engine.analysis.hull import convex_hull, largest_faces
from pricing_engine.analysis.orientation import search_orientations
from pricing_engine.analysis.progress import PartialAnalysis, Stage, partial_of
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.slices import MAX_LAYERS, SlicesResult, TooMuchToSlice, layer_count, measure_slices
from pricing_engine.analysis.solid import classify, open_volume_estimate, true_volume
from pricing_engine.analysis.thickness import start_thickness
from pricing_engine.kernels.intersection.leaf_join import GRAIN_LEAVES
from pricing_engine.kernels.intersection.pair_search import Pairs, find_pairs, join_leaves, prepare_join, sort_pairs
from pricing_engine.kernels.intersection.self_intersection import self_intersections
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.solid.mass import MassProperties, mass_properties
from pricing_engine.kernels.solid.volume import boundary_areas
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from pricing_engine.mesh.defects import defect_places, odd_edges
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.repair import repair

_RELEASED = np.empty(0, np.int32)
_LEAVES_PER_PART = 32 * GRAIN_LEAVES  # 65,536 facets, some 40 ms


@dataclass
class Stopwatch:
    """Seconds by stage, 0 for skipped stages."""

    seconds: dict[str, float] = field(default_factory=lambda: {stage.value: 0.0 for stage in Stage})

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Add the duration of the block to ``stage``."""
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


def run_stages(
    raw: Mesh,
    settings: Settings,
    executor: StageExecutor,
    stopwatch: Stopwatch,
    on_progress: Callable[[PartialAnalysis], None] | None = None,
) -> Findings:
    """Measure ``raw``, a welded mesh in canonical order. O(n log n) in its facets.

    ``on_progress`` receives the partial analysis before the heavy stages and after each of them.
    """
    threads, height, radii = executor.threads, settings.layer_height_mm, settings.reach_radii_mm
    with stopwatch.stage(Stage.GEOMETRY):
        mass = mass_properties(raw, threads)
    report = _progress_reporter(on_progress, raw, mass, settings, threads)
    with stopwatch.stage(Stage.INTEGRITY):
        topology = measure_topology(raw, threads)
        mesh, repairs = repair(raw, topology, threads)
        repaired_topology = topology if mesh is raw else measure_topology(mesh, threads)
        bvh = build_bvh(mesh, threads)
        shared = executor.share(mesh), executor.share(bvh)
        pairs_of = _start_pairs(executor, mesh, bvh, shared)
        walls_of = start_thickness(executor, mesh, bvh, shared)  # keeps idle CPUs busy during the serial steps
        pairs = pairs_of()
        crossing = _crossing(raw, mesh, bvh, pairs, threads)
        sealed = repaired_topology.winding_consistent and repaired_topology.boundary_edges == 0
        bodies = relate_bodies(mesh, repaired_topology, bvh, pairs, threads)
        odd = 0 if sealed else odd_edges(mesh, repaired_topology)
        places = defect_places(raw, topology, repairs)
        topology = replace(topology, facet_body=_RELEASED, neighbours=_RELEASED)  # frees 16 bytes per facet
        repaired = RepairedMesh(raw, topology, crossing, mesh, repairs, sealed, odd, bodies, places)
    report(lambda partial: partial.after_integrity(repaired))
    with stopwatch.stage(Stage.GEOMETRY):
        solid = _enclose(repaired, mass, bvh, pairs, repaired_topology, threads)
        del pairs, repaired_topology
    report(lambda partial: partial.after_geometry(solid))
    poses, layers, boundary = None, None, solid.boundary
    reach: dict[str, float | None] = {str(radius): None for radius in radii}
    if boundary is not None:
        samples = executor.share(sample_surface(mesh, boundary, bvh.centre, threads))
        shared_boundary = executor.share(boundary)
        reach_of = executor.submit(Stage.FINISHING, reached_shares, len(radii), 1, samples, shared[1], radii)
        sliceable = layer_count(mesh, height) <= MAX_LAYERS
        layers_of = executor.submit(Stage.SLICES, _slices, int(sliceable), 1, shared[0], shared_boundary, height)
        with stopwatch.stage(Stage.ORIENTATION):
            poses = search_orientations(mesh, bvh, boundary, height, largest_faces(solid.hull), threads)
        report(lambda partial: partial.after_orientation(poses))
        with stopwatch.stage(Stage.SLICES):
            layers = next(chain.from_iterable(layers_of()), None)
        report(lambda partial: partial.after_slices(layers))
        with stopwatch.stage(Stage.FINISHING):
            reach.update(zip(reach, chain.from_iterable(reach_of()), strict=True))
        report(lambda partial: partial.after_finishing(reach))
    with stopwatch.stage(Stage.THICKNESS):
        walls = walls_of()
    report(lambda partial: partial.after_thickness())
    return Findings(repaired, solid, walls, poses, layers, reach)


def _progress_reporter(
    on_progress: Callable[[PartialAnalysis], None] | None,
    raw: Mesh,
    mass: MassProperties,
    settings: Settings,
    threads: int,
) -> Callable[[Callable[[PartialAnalysis], PartialAnalysis]], None]:
    """Return a function that extends the partial analysis and passes it to ``on_progress``, if there is one."""
    if on_progress is None:
        return lambda add: None
    partial = partial_of(raw, mass, settings, threads)
    on_progress(partial)

    def report(add: Callable[[PartialAnalysis], PartialAnalysis]) -> None:
        nonlocal partial
        partial = add(partial)
        on_progress(partial)

    return report


def _start_pairs(executor: StageExecutor, mesh: Mesh, bvh: Bvh, shared: tuple[Mesh, Bvh]) -> Callable[[], Pairs]:
    join_data = executor.share(prepare_join(mesh, bvh, executor.threads))
    parts_of = executor.submit(
        "pairs", join_leaves, bvh.corners.shape[1] // WIDTH, _LEAVES_PER_PART, *shared, join_data
    )
    return lambda: sort_pairs(mesh, parts_of(), executor.threads)


def _crossing(raw: Mesh, mesh: Mesh, bvh: Bvh, pairs: Pairs, threads: int) -> NDArray[np.bool_] | None:
    if mesh is raw:
        return self_intersections(raw, bvh, pairs, threads)
    raw_bvh = build_bvh(raw, threads)
    return self_intersections(raw, raw_bvh, find_pairs(raw, raw_bvh, threads), threads)


def _enclose(
    repaired: RepairedMesh, mass: MassProperties, bvh: Bvh, pairs: Pairs, repaired_topology: Topology, threads: int
) -> Solid:
    mesh, hull = repaired.mesh, convex_hull(repaired.raw)
    manifold = repaired_topology.winding_consistent and repaired_topology.watertight
    boundary = classify(mesh, bvh, pairs, manifold, repaired_topology.facet_body, threads)
    if boundary is None:
        return Solid(mass, None, None, None, None, hull)
    volume, centre = true_volume(mesh, boundary, threads)
    if not repaired.sealed:
        volume = open_volume_estimate(mesh, bvh, boundary, threads)
    area = float(boundary_areas(mesh, boundary, threads).sum())
    side = repaired.bodies.side
    if side is None:
        return Solid(mass, boundary, volume, centre, area, hull)

    def volume_with(turned: NDArray[np.bool_]) -> float | None:
        if not turned.any():
            return volume
        alternative = Mesh(mesh.vertices, np.where(turned[:, None], mesh.facets[:, ::-1], mesh.facets))
        bounds = classify(alternative, bvh, pairs, manifold, repaired_topology.facet_body, threads)
        if bounds is None:
            return None
        return (true_volume(alternative, bounds, threads)[0] if repaired.sealed
                else open_volume_estimate(alternative, bvh, bounds, threads))  # fmt: skip

    return Solid(mass, boundary, volume, centre, area, hull, volume_with(side < 0), volume_with(side > 0))


def _slices(lo: int, hi: int, threads: int, mesh: Mesh, boundary: Boundary, height: float) -> list[SlicesResult]:
    """Return the layers, or nothing beyond the budget. One part: the stage is too short to split."""
    try:
        return [measure_slices(mesh, boundary, height, threads) for _ in range(lo, hi)]
    except TooMuchToSlice:
        return []
