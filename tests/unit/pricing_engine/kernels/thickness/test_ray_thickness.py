"""Ray thickness: the naive cast, facets without area, a budget that ends, parts and threads with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.thickness import ray_thickness as module
from pricing_engine.kernels.thickness.ray_thickness import CONTACT, frame, ray_thickness
from tests.naive import thickness as naive
from tests.support.kernel_inputs import BALL, BOX, Floats, meshes, normals_of, randoms, shells
from tests.support.meshes import unwelded, welded


def measure(mesh: Mesh, threads: int = 1) -> Floats:
    return ray_thickness(mesh, build_bvh(mesh, threads), threads, range(mesh.facet_count))


def jittered(mesh: Mesh, random: np.random.Generator) -> Mesh:
    """No ray through an edge, nor two walls at one distance."""
    size = np.ptp(mesh.vertices, axis=0).max(initial=0.0)
    return Mesh(mesh.vertices + random.uniform(-1e-2, 1e-2, mesh.vertices.shape) * size, mesh.facets)


@settings(max_examples=40)
@given(st.one_of(meshes(1, 40, flat=False, far=False), shells(1, 3).map(lambda parts: welded(*parts))), randoms())
def test_agrees_with_the_naive_twin(mesh: Mesh, random: np.random.Generator) -> None:
    mesh = jittered(mesh, random)
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    found, expected = measure(mesh), naive.ray_thickness(mesh, CONTACT * size)
    same = np.isclose(found, expected, rtol=1e-4, atol=1e-5 * size, equal_nan=True)
    assert np.count_nonzero(~same) <= 0.05 * len(found)  # a ray along an edge, to float32
    assert not (found < CONTACT * size * 0.99).any()


@settings(max_examples=40)
@given(meshes(1, 20))
def test_frames_are_the_centroid_and_the_inward_normal(mesh: Mesh) -> None:
    centre = mesh.vertices.mean(axis=0)
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    corners = mesh.vertices[mesh.facets]
    normals = normals_of(corners)
    for facet, triangle in enumerate(corners):
        middle, inward = frame(mesh.vertices, mesh.facets, facet, centre, size)
        assert middle == pytest.approx(triangle.mean(axis=0) - centre, abs=1e-12 * (size + np.abs(corners).max()))
        double = np.linalg.norm(np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0]))
        if double > 1e-6 * size**2:
            assert inward == pytest.approx(-normals[facet], abs=1e-6)
        elif double == 0:
            assert inward == (0, 0, 0)


@settings(max_examples=25)
@given(st.floats(0.01, 10), st.integers(1, 40), st.floats(-50, 50))
def test_parallel_walls_have_their_distance(gap: float, count: int, place: float) -> None:
    """Pairs of facets, one over the other; outside up and down."""
    upper = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]]) + np.arange(count)[:, None, None] * [2.0, 0, 0]
    lower = upper[:, ::-1] - [0, 0, gap]
    mesh = unwelded(np.concatenate([upper, lower]) + place)
    np.testing.assert_allclose(measure(mesh), gap, rtol=1e-4, atol=1e-5 * (count + 20))
    inside_out = Mesh(mesh.vertices, mesh.facets[:, ::-1].copy())
    assert np.isnan(measure(inside_out)).all()


def test_facets_without_area_are_not_measured_and_stop_no_ray() -> None:
    flat = np.array([[[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]], [[0.1, 0.1, 0.1]] * 3])
    found = measure(welded(BOX, flat))
    assert found[:12] == pytest.approx(np.ones(12), rel=1e-6)
    assert np.isnan(found[12:]).all()
    assert np.isnan(measure(welded(flat))).all()
    assert measure(Mesh(np.empty((0, 3)), np.empty((0, 3), np.int32))).shape == (0,)


def test_surfaces_in_contact_do_not_count() -> None:
    wall = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    for gap, expected in ((1e-7, 1.0), (1e-3, 1e-3)):
        layers = np.concatenate([wall, wall - [0, 0, gap], wall - [0, 0, 1.0]])
        assert measure(unwelded(layers))[0] == pytest.approx(expected, rel=1e-3)


def test_a_spent_budget_leaves_facets_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = welded(BALL)
    monkeypatch.setattr(module, "_MAX_VISITS", 0)
    assert (measure(mesh) == UNMEASURED).all()


def test_parts_and_threads_change_no_bit() -> None:
    random = np.random.default_rng(4)
    corners = random.normal(0, 5, (9000, 1, 3)) + random.normal(0, 0.3, (9000, 3, 3))
    mesh = unwelded(corners[np.argsort(corners[:, 0, 0])])
    bvh, found = build_bvh(mesh, 1), measure(mesh)
    assert np.isfinite(found).any()
    for threads in (2, 7):
        assert np.array_equal(measure(mesh, threads), found, equal_nan=True)
    for part in (range(4096), range(4096, 9000)):
        assert np.array_equal(ray_thickness(mesh, bvh, 2, part), found[part.start : part.stop], equal_nan=True)
