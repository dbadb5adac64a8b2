"""Facet's side of the benchmark: the same items as :mod:`benchmarks.peers`, through the engine's public functions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import run
from pricing_engine.analysis.hull import convex_hull, largest_faces
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.orientation import search_orientations
from pricing_engine.analysis.slices import layer_sums
from pricing_engine.analysis.solid import classify
from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.intersection.self_intersection import self_intersections
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.thickness.normal_cones import build_normal_cones
from pricing_engine.kernels.thickness.ray_thickness import ray_thickness
from pricing_engine.kernels.thickness.sphere_thickness import sphere_thickness
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.repair import repair

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
LAYERS = 500


def _read(path: str) -> Mesh:
    return load_model(path, None, THREADS).mesh


def load(path: str) -> Callable[[], Any]:
    """Read, hash, sort, weld and topology."""

    def operation() -> Any:
        mesh = _read(path)
        return len(mesh.vertices), measure_topology(mesh, THREADS).watertight

    return operation


def mass(path: str) -> Callable[[], Any]:
    """Volume, area, centre and inertia."""
    mesh = _read(path)

    def operation() -> Any:
        found = mass_properties(mesh, THREADS)
        return found.volume, found.area

    return operation


def ray(path: str) -> Callable[[], Any]:
    """Ray thickness at every facet, including the build of the BVH."""
    import numpy as np

    mesh = _read(path)
    facets = range(mesh.facet_count)

    def operation() -> Any:
        thickness = ray_thickness(mesh, build_bvh(mesh, THREADS), THREADS, facets)
        return [float(x) for x in np.nanpercentile(thickness, [5, 50])]

    return operation


def sphere(path: str) -> Callable[[], Any]:
    """Sphere thickness at every facet, including the build of the BVH; rays only for facets without a wall."""
    import numpy as np

    mesh = _read(path)
    facets = range(mesh.facet_count)

    def operation() -> Any:
        bvh = build_bvh(mesh, THREADS)
        thickness = sphere_thickness(mesh, bvh, build_normal_cones(mesh, bvh, THREADS), THREADS, facets)
        missing = np.isnan(thickness)
        if missing.any():
            thickness[missing] = ray_thickness(mesh, bvh, THREADS, facets)[missing]
        return len(thickness)

    return operation


def slices(path: str) -> Callable[[], Any]:
    """Area and perimeter of 500 layers, without the classification."""
    mesh = _read(path)
    boundary = Boundary.everything(mesh.facet_count)
    height = float(mesh.vertices[:, 2].max() - mesh.vertices[:, 2].min()) / LAYERS
    return lambda: float(layer_sums(mesh, boundary, height, THREADS).area.sum())


def crossing(path: str) -> Callable[[], Any]:
    """Self-intersecting facets, including the build of the BVH."""
    mesh = _read(path)

    def operation() -> Any:
        bvh = build_bvh(mesh, THREADS)
        found = self_intersections(mesh, bvh, find_pairs(mesh, bvh, THREADS), THREADS)
        if found is None:
            raise SystemExit("the model is too tangled: its self-intersections cannot be determined")
        return int(found.sum())

    return operation


def orientation(path: str) -> Callable[[], Any]:
    """Find the best of 512 orientations of the solid by support volume, including the hull, without repair and cuts."""
    raw = _read(path)
    mesh, _ = repair(raw, measure_topology(raw, THREADS), THREADS)
    topology, bvh = measure_topology(mesh, THREADS), build_bvh(mesh, THREADS)
    closed = topology.winding_consistent and topology.watertight
    boundary = classify(mesh, bvh, find_pairs(mesh, bvh, THREADS), closed, topology.facet_body, THREADS)
    if boundary is None:
        raise SystemExit("the model is too tangled: its solid cannot be determined")

    def operation() -> Any:
        faces = largest_faces(convex_hull(raw))
        found = search_orientations(mesh, bvh, boundary, 0.05, faces, THREADS)
        if found is None or found.best is None:
            raise SystemExit("the search for orientations exceeds its budget")
        return found.best.support_volume_mm3

    return operation


def inspect(path: str) -> Callable[[], Any]:
    """Run the complete ``facet inspect``."""
    return lambda: measure(Path(path), None, Settings(), THREADS).analysis.geometry.volume_mm3


ITEMS = {
    "load": load, "mass": mass, "ray": ray, "sphere": sphere, "slices": slices, "self_intersections": crossing,
    "orientation": orientation, "inspect": inspect,
}  # fmt: skip

if __name__ == "__main__":
    run(ITEMS)
