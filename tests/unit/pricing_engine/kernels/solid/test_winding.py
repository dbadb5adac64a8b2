"""Winding numbers (``solid/winding.py``) against the sum of solid angles."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y
from pricing_engine.kernels.solid.winding import STACK, general_position, ray_pad, winding_above
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from tests.naive.solid import generalized_winding
from tests.support.meshes import mesh_of


@kernel
def _wind(lo, hi, points, moved, facets, bvh, pad, winding):  # type: ignore[no-untyped-def]
    stack = np.empty((STACK, 2), np.int64)
    for i in range(lo, hi):
        z = points[i, 2]
        x, y = points[i, 0] - SHEAR_X * z, points[i, 1] - SHEAR_Y * z
        winding[i], _ = winding_above(x, y, z, -1, moved, facets, bvh, pad, stack)


def winding_numbers(mesh: Mesh, bvh: Bvh, points: NDArray[np.float64], threads: int) -> NDArray[np.int64]:
    """Return the winding number (N,) of a closed mesh at ``points`` (N, 3)."""
    winding = np.empty(len(points), np.int64)
    local, moved = np.ascontiguousarray(points) - bvh.centre, general_position(mesh, bvh, 0.0, threads)
    run_ranges(_wind, len(points), 64, threads, local, moved, mesh.facets, bvh, ray_pad(bvh), winding)
    return winding


@pytest.mark.parametrize("seed", range(4))
def test_overlapping_and_reversed_spheres_agree_with_solid_angles(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for turn in range(6):
        sphere = trimesh.creation.icosphere(2, random.uniform(0.3, 1))
        sphere.apply_translation(random.uniform(-1, 1, 3))
        if turn % 3 == 2:
            sphere.invert()
        parts.append(sphere)
    mesh = mesh_of(*parts)
    bvh = build_bvh(mesh, 1)
    points = random.uniform(-1.5, 1.5, (500, 3))
    expected = np.rint(generalized_winding(mesh.vertices[mesh.facets], points))
    assert np.array_equal(winding_numbers(mesh, bvh, points, 1), expected)
    assert np.array_equal(winding_numbers(mesh, bvh, points, 3), expected)


def test_rays_through_vertices_and_edges_count_once() -> None:
    """Points straight below corners and edges, in the rays' own direction, lose and count no crossing twice."""
    box = trimesh.creation.box(extents=(2, 2, 2)).subdivide().subdivide()
    mesh = mesh_of(box)
    bvh = build_bvh(mesh, 1)
    edges = box.vertices[box.edges_unique]
    targets = np.concatenate([box.vertices, edges.mean(axis=1)])
    down = np.array([SHEAR_X, SHEAR_Y, 1.0])
    below = targets - 10 * down
    assert not winding_numbers(mesh, bvh, below, 1).any()
    inside = np.zeros((1, 3)) + targets * 0.25
    assert (winding_numbers(mesh, bvh, inside, 1) == 1).all()


def test_winding_numbers_are_exact_far_from_the_origin() -> None:
    sphere = trimesh.creation.icosphere(3, 1.0)
    sphere.apply_translation((1e5, -2e5, 3e5))
    mesh = mesh_of(sphere)
    points = np.array([[1e5, -2e5, 3e5], [1e5 + 1.1, -2e5, 3e5], [0, 0, 0]])
    assert winding_numbers(mesh, build_bvh(mesh, 1), points, 1).tolist() == [1, 0, 0]


def test_degenerate_facets_are_harmless() -> None:
    box = trimesh.creation.box()
    mesh = mesh_of(box)
    facets = np.concatenate([mesh.facets, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
    mesh = Mesh(mesh.vertices, facets)
    assert winding_numbers(mesh, build_bvh(mesh, 1), np.array([[0.1, 0.2, 0.05], [0, 0, -3.0]]), 1).tolist() == [1, 0]
