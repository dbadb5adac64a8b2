"""Mass (``solid/mass.py``): volume, area, centre of mass, inertia."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.solid.mass import body_volumes, mass_properties
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.weld import canonical_indexed
from tests.naive import mass as naive
from tests.support.meshes import canonical, inside_out


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 300))
def test_soups_agree_with_the_naive_twin(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = canonical_indexed(rng.normal(size=(50, 3)) * 3 + 5, rng.integers(0, 50, (count, 3)), 1)
    found = mass_properties(mesh, 2)
    expected = naive.mass(mesh.vertices, mesh.facets)
    assert found.volume == pytest.approx(expected["volume"], rel=1e-9, abs=1e-9)
    assert found.area == pytest.approx(expected["area"], rel=1e-12)
    if abs(expected["volume"]) > 1:
        assert found.center_of_mass == pytest.approx(expected["center_of_mass"], rel=1e-9)
        assert found.inertia == pytest.approx(expected["inertia"], rel=1e-9, abs=1e-6)


def test_a_box_far_from_the_origin_has_its_closed_form() -> None:
    solid = trimesh.creation.box((2, 3, 5))
    solid.apply_translation((1e6, -2e6, 3e6))
    found = mass_properties(canonical(solid), 1)
    assert found.volume == pytest.approx(30, rel=1e-9)
    assert found.area == pytest.approx(62, rel=1e-9)
    assert found.center_of_mass == pytest.approx([1e6, -2e6, 3e6], rel=1e-14)
    assert found.inertia == pytest.approx(np.diag([34, 29, 13]) * 30 / 12, rel=1e-9, abs=1e-6)
    assert (found.bbox_max - found.bbox_min) == pytest.approx([2, 3, 5])


def test_turning_and_scaling_follow_geometry() -> None:
    solid = trimesh.creation.torus(3, 1, major_sections=80, minor_sections=50)
    plain = mass_properties(canonical(solid), 1)
    spin = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))
    solid.apply_transform(spin)
    solid.apply_scale(2)
    turned = mass_properties(canonical(solid), 1)
    assert turned.volume == pytest.approx(8 * plain.volume, rel=1e-12)
    assert turned.area == pytest.approx(4 * plain.area, rel=1e-12)
    assert turned.inertia == pytest.approx(32 * spin[:3, :3] @ plain.inertia @ spin[:3, :3].T, rel=1e-9, abs=1e-9)


def test_any_number_of_threads_has_the_same_bits() -> None:
    mesh = canonical(trimesh.creation.icosphere(subdivisions=6))
    one, *others = (mass_properties(mesh, threads) for threads in (1, 2, 7))
    for other in others:
        assert (other.volume, other.area) == (one.volume, one.area)
        assert other.inertia.tobytes() == one.inertia.tobytes()


def test_flat_and_degenerate_meshes_have_finite_values() -> None:
    for facets in ([[0, 1, 2]], [[0, 0, 0]], [[0, 1, 1]]):
        found = mass_properties(canonical_indexed(np.eye(3) * 1e8, np.array(facets), 1), 1)
        for value in (found.volume, found.area, *found.center_of_mass, *found.inertia.ravel()):
            assert np.isfinite(value)


def test_each_body_has_its_signed_volume() -> None:
    outer, inner = trimesh.creation.box((4, 4, 4)), inside_out(trimesh.creation.box((1, 2, 3)))
    mesh = canonical(outer, inner, trimesh.creation.box().apply_translation((9, 9, 9)))
    topology = measure_topology(mesh, 1)
    volumes = body_volumes(mesh, topology.facet_body, topology.bodies, 1)
    assert sorted(volumes) == pytest.approx([-6, 1, 64])
    lone = canonical_indexed(np.eye(3), np.array([[0, 1, 2]]), 1)
    assert body_volumes(lone, np.zeros(1, np.int32), 1, 1)[0] == pytest.approx(0)
