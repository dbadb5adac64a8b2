"""Empty balls below the surface: never above the support volumes, and as large as the nearest facets allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from manifold3d import Manifold

from pricing_engine.analysis.directions import extents, model_size
from pricing_engine.analysis.solid import classify
from pricing_engine.analysis.support_balls import STAGES, choose_samples
from pricing_engine.analysis.support_scores import ROUND
from pricing_engine.analysis.support_search import search_support
from pricing_engine.analysis.support_surface import block_normals, facet_areas, sampled_boundary
from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.empty_balls import BallSearch, empty_balls
from pricing_engine.kernels.runtime.search_counters import NODES, work_array
from pricing_engine.kernels.solid.boundary import CAP, Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.mesh.integrity import measure_topology
from tests.naive.orientation import largest_empty_balls
from tests.unit.pricing_engine.analysis.test_orientation import (
    BRIDGE,
    LAYER,
    SHELTER,
    T_SHAPE,
    TURN,
    box,
    mesh_of,
    solid,
)

UPPER = trimesh.creation.box((6, 6, 2)).apply_translation((0, 0, 2))
LOWER = trimesh.creation.box((4, 4, 2))
STACKED = mesh_of(  # two boxes, the upper one on the lower, as shells of their own
    np.concatenate([LOWER.vertices, UPPER.vertices]), np.concatenate([LOWER.faces, UPPER.faces + 8])
)
CROSSING = mesh_of(  # three balls that run through one another
    np.concatenate([trimesh.creation.icosphere(2, 2.0).vertices + at for at in ((0, 0, 0), (2, 1, 1), (1, 3, -1))]),
    np.concatenate([trimesh.creation.icosphere(2, 2.0).faces + 162 * k for k in range(3)]),
)
SHAPES = {
    "t": solid(T_SHAPE), "bridge": solid(BRIDGE), "shelter": solid(SHELTER), "stacked": STACKED, "crossing": CROSSING,
    "torus": solid(Manifold.sphere(5, 64) - Manifold.cylinder(20, 3, 3, 48, True)),
    "gap": solid(box((5, 5, 1)) + box((5, 5, 1), (0, 0, 1.00001)) + box((1, 1, 4), (-1, 2, 0))),
}  # fmt: skip


def boundary_of(mesh: Any, bvh: Any) -> Any:
    """The part of the mesh that bounds its solid."""
    topology = measure_topology(mesh, 1)
    closed = topology.winding_consistent and topology.watertight
    return classify(mesh, bvh, find_pairs(mesh, bvh, 1), closed, topology.facet_body, 1)


def bounds_of(mesh: Any, directions: Any, threads: int = 2) -> Any:
    """Lower bounds of all stages, and the volumes."""
    bvh = build_bvh(mesh, 1)
    boundary, size = boundary_of(mesh, bvh), model_size(mesh)
    deepest, _ = extents(mesh.vertices, bvh.centre, directions, 1)
    samples = choose_samples(mesh, bvh, boundary, sampled_boundary(mesh, bvh, boundary, size, 1), size, 1)
    found = np.zeros(len(directions))
    for begin, end in STAGES:
        samples.add_bounds(begin, end, directions, -deepest, -deepest + LAYER / 2 + ROUND * size, found, threads)
    return found, search_support(mesh, bvh, boundary, LAYER, directions, 2, prune=False).volumes


def random_directions(count: Any, seed: Any) -> Any:
    """Unit vectors (count, 3), the axes first."""
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    directions[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_no_bound_exceeds_the_support_volume(name: Any, turned: bool) -> None:
    """On overlaps, shells that touch, narrow gaps and plain solids, in any position."""
    mesh = SHAPES[name]
    if turned:
        mesh = Mesh(np.ascontiguousarray(mesh.vertices @ TURN.T), mesh.facets)
    bounds, volumes = bounds_of(mesh, random_directions(60, 5))
    assert (bounds <= volumes * (1 + 1e-6) + 1e-9).all()
    assert (bounds > 0).sum() >= (volumes > 0.02 * volumes.max()).sum() * 0.9


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_no_bound_exceeds_the_support_volume_of_random_boxes(seed: Any) -> None:
    """Return random boxes that overlap, touch or are separate; sizes on a coarse grid make faces coincide."""
    random = np.random.default_rng(seed)
    boxes = [
        trimesh.creation.box(random.integers(1, 5, 3)).apply_translation(random.integers(0, 6, 3)) for _ in range(5)
    ]
    mesh = mesh_of(
        np.concatenate([each.vertices for each in boxes]),
        np.concatenate([each.faces + 8 * k for k, each in enumerate(boxes)]),
    )
    bvh = build_bvh(mesh, 1)
    if boundary_of(mesh, bvh) is None:
        return
    bounds, volumes = bounds_of(mesh, random_directions(30, seed))
    assert (bounds <= volumes * (1 + 1e-6) + 1e-9).all()


@pytest.mark.parametrize("name", ["t", "shelter", "torus", "crossing"])
def test_balls_agree_with_the_naive_twin(name: str) -> None:
    """Diameters at the facets' centroids, against every facet measured at many points."""
    mesh = SHAPES[name]
    bvh, size = build_bvh(mesh, 1), model_size(mesh)
    corners = mesh.vertices[mesh.facets]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    some = np.linspace(0, len(corners) - 1, 40).astype(int)
    points, normals = corners[some].mean(axis=1) - bvh.centre, np.ascontiguousarray(normals[some])
    found, work = np.empty(len(points)), work_array(len(points), len(points))
    sides = block_normals(facet_areas(mesh.vertices, mesh.facets, 1), 1)
    seeds = np.ascontiguousarray(np.hstack([points[:8], normals[:8]]).T, np.float32)
    search = BallSearch(mesh.vertices, mesh.facets, bvh, sides, seeds, 0.0, size, 1 << 40)
    empty_balls(0, len(points), len(points), points, normals, search, found, work)
    expected = largest_empty_balls(corners - bvh.centre, points, normals, size)
    assert (found <= expected * (1 + 1e-6)).all()  # points of the facets alone are nearer than none
    assert np.median(found / expected) > 0.97
    assert work[0, NODES] > 0
    empty_balls(0, len(points), len(points), points, normals, search._replace(budget=0), found, work)
    assert (found >= 0).all()


def test_closings_of_holes_are_no_obstacles_that_the_tree_knows() -> None:
    """A boundary with caps gets no samples."""
    mesh = SHAPES["bridge"]
    bvh, size = build_bvh(mesh, 1), model_size(mesh)
    everything = Boundary.everything(mesh.facet_count)
    surface = sampled_boundary(mesh, bvh, everything, size, 1)
    capped = Boundary(everything.status, mesh.vertices[mesh.facets[:1]], np.array([CAP], np.int32))
    assert choose_samples(mesh, bvh, capped, surface, size, 1) is None
    assert choose_samples(mesh, bvh, everything, surface, size, 1) is not None
