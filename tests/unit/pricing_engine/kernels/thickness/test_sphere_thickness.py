"""Sphere thickness: the exact twin, closed forms, rays where no wall faces, a budget that ends, the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.thickness import sphere_thickness as module
from pricing_engine.kernels.thickness.normal_cones import build_normal_cones
from pricing_engine.kernels.thickness.sphere_thickness import sphere_thickness
from tests.naive import thickness as naive
from tests.support.kernel_inputs import BALL, BOX, Floats, meshes, shells
from tests.support.meshes import unwelded, welded


def measure(mesh: Mesh, threads: int = 1, ray: Floats | None = None) -> Floats:
    bvh = build_bvh(mesh, threads)
    walls = build_normal_cones(mesh, bvh, threads)
    return sphere_thickness(mesh, bvh, walls, threads, range(mesh.facet_count), ray)


@settings(max_examples=25)
@given(st.one_of(meshes(1, 20, flat=False, far=False), shells(1, 2).map(lambda parts: welded(*parts))))
def test_agrees_with_the_naive_twin(mesh: Mesh) -> None:
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    found = measure(mesh)
    expected = naive.sphere_thickness(mesh, np.full(mesh.facet_count, np.nan), 45)
    # a wall at 115 degrees, to rounding; a corner at the height of the tangent plane, to rounding; both on lattices
    near = np.where(np.isnan(expected), found, expected) < 1e-6 * size
    far = np.where(np.isnan(expected), found, expected) > 1e5 * size
    same = np.isclose(found, expected, rtol=1e-6, atol=1e-9 * size, equal_nan=True)
    assert (same | near | far).all()


@settings(max_examples=20)
@given(st.floats(0.05, 0.5), st.integers(1, 20))
def test_parallel_walls_have_their_distance(gap: float, count: int) -> None:
    wall = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], [[1.0, 0, 0], [1, 1, 0], [0, 1, 0]]])
    upper = np.concatenate([wall + np.array([2.0 * k, 0, 0]) for k in range(count)])
    mesh = unwelded(np.concatenate([upper, upper[:, ::-1] - [0, 0, gap]]))
    np.testing.assert_allclose(measure(mesh), gap, rtol=1e-9)


def test_a_step_in_the_wall_limits_the_sphere_beside_it() -> None:
    """The sphere tangent at p touches an edge at height h and distance a: its diameter is (a^2 + h^2) / h."""
    floor = np.array([[[-1.0, -1, 0], [1, -1, 0], [0, 2, 0]]])  # outside up
    p = floor[0].mean(axis=0)
    wall = p + np.array([[[0.4, -9, -0.5], [0.4, 9, -0.5], [9.0, 0, -0.5]]])
    mesh = unwelded(np.concatenate([floor, wall]))
    assert measure(mesh)[0] == pytest.approx((0.4**2 + 0.5**2) / 0.5, rel=1e-12)


def test_rays_fill_only_where_no_wall_faces() -> None:
    lone = np.array([[[9.0, 9, 9], [9, 10, 9], [10, 9, 9.5]]])
    mesh = welded(BOX, lone)
    ray = np.arange(13.0)
    found = measure(mesh, 1, ray)
    assert found[:12] == pytest.approx(np.ones(12))
    assert found[12] == 12.0
    assert np.isnan(measure(mesh)[12])


def test_facets_without_area_and_no_facets_at_all() -> None:
    flat = np.array([[[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]], [[0.1, 0.1, 0.1]] * 3])
    found = measure(welded(BOX, flat))
    assert found[:12] == pytest.approx(np.ones(12))
    assert np.isnan(found[12:]).all()
    assert measure(Mesh(np.empty((0, 3)), np.empty((0, 3), np.int32))).shape == (0,)


def test_a_spent_budget_leaves_facets_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_TESTS", 0)
    found = measure(welded(BALL), 1, np.ones(len(BALL)))
    assert (found == UNMEASURED).all()


def test_parts_and_threads_change_no_bit() -> None:
    random = np.random.default_rng(4)
    corners = random.normal(0, 5, (3000, 1, 3)) + random.normal(0, 0.3, (3000, 3, 3))
    mesh = unwelded(corners[np.argsort(corners[:, 0, 0])])
    bvh, found = build_bvh(mesh, 1), measure(mesh)
    walls = build_normal_cones(mesh, bvh, 1)
    for threads in (2, 7):
        assert np.array_equal(measure(mesh, threads), found, equal_nan=True)
    for part in (range(1024), range(1024, 3000)):
        there = sphere_thickness(mesh, bvh, walls, 2, part)
        assert np.array_equal(there, found[part.start : part.stop], equal_nan=True)
