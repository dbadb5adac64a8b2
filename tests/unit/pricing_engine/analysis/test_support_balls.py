"""Empty balls below the surface (``analysis/support_balls.py``): never above the support volumes, and large."""

from __future__ import annotations

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
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.mesh.integrity import measure_topology
from tests.naive.orientation import largest_empty_balls
from tests.support.meshes import Floats, box, mesh_in_blocks, triangles_of
from tests.support.support_shapes import LAYER, ROTATION, block, bridge, mesh_of_solid, shelter, t_shape

STACKED = triangles_of([box((-2, -2, -1), (2, 2, 1)), box((-3, -3, 1), (3, 3, 3))])  # one on the other, as two shells
CROSSING = triangles_of(
    trimesh.creation.icosphere(2, 2.0).apply_translation(at) for at in ((0, 0, 0), (2, 1, 1), (1, 3, -1))
)
SHAPES = {
    "t": mesh_of_solid(t_shape()), "bridge": mesh_of_solid(bridge()), "shelter": mesh_of_solid(shelter()),
    "stacked": mesh_in_blocks(STACKED), "crossing": mesh_in_blocks(CROSSING),
    "torus": mesh_of_solid(Manifold.sphere(5, 64) - Manifold.cylinder(20, 3, 3, 48, True)),
    "gap": mesh_of_solid(block((5, 5, 1)) + block((5, 5, 1), (0, 0, 1.00001)) + block((1, 1, 4), (-1, 2, 0))),
}  # fmt: skip


def boundary_of(mesh: Mesh, bvh: Bvh) -> Boundary | None:
    """Return the part of the mesh that bounds its solid."""
    topology = measure_topology(mesh, 1)
    closed = topology.winding_consistent and topology.watertight
    return classify(mesh, bvh, find_pairs(mesh, bvh, 1), closed, topology.facet_body, 1)


def bounds_of(mesh: Mesh, directions: Floats, threads: int = 2) -> tuple[Floats, Floats]:
    """Return the lower bounds after all stages, and the volumes."""
    bvh = build_bvh(mesh, 1)
    boundary, size = boundary_of(mesh, bvh), model_size(mesh)
    assert boundary is not None
    deepest, _ = extents(mesh.vertices, bvh.centre, directions, 1)
    samples = choose_samples(mesh, bvh, boundary, sampled_boundary(mesh, bvh, boundary, size, 1), size, 1)
    assert samples is not None
    found = np.zeros(len(directions))
    for begin, end in STAGES:
        samples.add_bounds(begin, end, directions, -deepest, -deepest + LAYER / 2 + ROUND * size, found, threads)
    return found, search_support(mesh, bvh, boundary, LAYER, directions, 2, prune=False).volumes


def random_directions(count: int, seed: int) -> Floats:
    """Return unit vectors (count, 3), the axes first."""
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    directions[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_no_bound_exceeds_the_support_volume(name: str, turned: bool) -> None:
    """On overlaps, shells that touch, narrow gaps and plain solids, in any position."""
    mesh = SHAPES[name]
    if turned:
        mesh = Mesh(np.ascontiguousarray(mesh.vertices @ ROTATION.T), mesh.facets)
    bounds, volumes = bounds_of(mesh, random_directions(60, 5))
    assert (bounds <= volumes * (1 + 1e-6) + 1e-9).all()
    assert (bounds > 0).sum() >= (volumes > 0.02 * volumes.max()).sum() * 0.9


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_no_bound_exceeds_the_support_volume_of_random_boxes(seed: int) -> None:
    """Random boxes overlap, touch or are separate; their sizes on a coarse grid make faces coincide."""
    random = np.random.default_rng(seed)
    boxes = [
        trimesh.creation.box(random.integers(1, 5, 3)).apply_translation(random.integers(0, 6, 3)) for _ in range(5)
    ]
    mesh = mesh_in_blocks(triangles_of(boxes))
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
