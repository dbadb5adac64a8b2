"""Volume, moments and areas of a boundary: whole facets and pieces, closings without area, any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.boundary import CAP, CRACK, CUT, INSIDE, UNCUT, Boundary
from pricing_engine.kernels.solid.volume import boundary_areas, boundary_moments, triangle_areas
from tests.support.kernel_inputs import BOX, Floats, randoms, shells, triangles
from tests.support.meshes import welded


def naive_moments(corners: Floats, centre: Floats) -> Floats:
    """Determinant of each tetrahedron with the centre; its four corners' sum for the moments."""
    moved = corners - centre
    volumes = np.array([np.linalg.det(triangle) for triangle in moved]).reshape(-1)
    sums: Floats = np.array([volumes.sum(), *(volumes[:, None] * moved.sum(axis=1)).sum(axis=0)])
    return sums


def naive_areas(corners: Floats) -> Floats:
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas: Floats = np.linalg.norm(normal, axis=1) / 2
    return areas


@settings(max_examples=50)
@given(triangles(far=False), triangles(0, 8, far=False), randoms())
def test_agrees_with_the_naive_twin(facets: Floats, pieces: Floats, random: np.random.Generator) -> None:
    mesh = welded(facets)
    status = random.choice([INSIDE, UNCUT, CUT], len(facets)).astype(np.int8)
    owner = random.choice([CAP, CRACK, 0, 3], len(pieces)).astype(np.int32)
    boundary, centre = Boundary(status, pieces, owner), random.normal(size=3)
    corners = np.concatenate([facets[status == UNCUT], pieces])
    scale = max(np.abs(corners - centre).max(initial=0), 1e-9)
    found = boundary_moments(mesh, boundary, centre, 1)
    np.testing.assert_allclose(found, naive_moments(corners, centre), rtol=1e-9, atol=1e-11 * scale**3 * (1 + scale))
    areas = boundary_areas(mesh, boundary, 1)
    uncut, cut = naive_areas(facets) * (status == UNCUT), naive_areas(pieces) * (owner >= 0)
    np.testing.assert_allclose(areas, [*uncut, *cut], rtol=1e-9, atol=1e-12 * scale**2)
    counted = random.random(len(facets)) < 0.5
    found_areas = triangle_areas(mesh.vertices, mesh.facets, counted, 1)
    np.testing.assert_allclose(found_areas, naive_areas(facets) * counted, rtol=1e-9, atol=1e-12 * scale**2)
    assert not found_areas[~counted].any()


@settings(max_examples=25)
@given(st.tuples(*[st.floats(0.1, 100)] * 3), st.tuples(*[st.floats(-1e4, 1e4)] * 3))
def test_a_box_has_its_closed_forms(size: tuple[float, float, float], place: tuple[float, float, float]) -> None:
    mesh = welded(BOX * size + place)
    centre = np.array(place)
    moments = boundary_moments(mesh, Boundary.everything(12), centre, 1)
    assert moments[0] / 6 == pytest.approx(np.prod(size), rel=1e-6)
    assert moments[1:] / moments[0] / 4 == pytest.approx(np.zeros(3), abs=1e-6 * max(size))
    area = boundary_areas(mesh, Boundary.everything(12), 1).sum()
    assert area == pytest.approx(2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0]), rel=1e-6)


@settings(max_examples=25)
@given(shells(reversible=False), st.tuples(*[st.floats(-10, 10)] * 3))
def test_the_centre_does_not_change_the_volume_of_a_closed_surface(
    parts: list[Floats], place: tuple[float, ...]
) -> None:
    mesh = welded(*parts)
    everything = Boundary.everything(mesh.facet_count)
    first = boundary_moments(mesh, everything, np.zeros(3), 1)
    second = boundary_moments(mesh, everything, np.array(place), 1)
    assert second[0] == pytest.approx(first[0], rel=1e-9)
    assert second[1:] == pytest.approx(first[1:] - 4 * first[0] * np.array(place), rel=1e-8, abs=1e-7)
    mirrored = boundary_moments(Mesh(mesh.vertices, mesh.facets[:, ::-1].copy()), everything, np.zeros(3), 1)
    assert mirrored == pytest.approx(-first, rel=1e-9, abs=1e-9)


def test_threads_change_no_bit() -> None:
    random = np.random.default_rng(3)
    vertices, count = random.normal(size=(500, 3)), 140_000
    mesh = Mesh(vertices, random.integers(0, 500, (count, 3)).astype(np.int32))
    pieces = random.normal(size=(70_000, 3, 3))
    boundary = Boundary(random.integers(0, 3, count).astype(np.int8), pieces, np.zeros(len(pieces), np.int32))
    one = boundary_moments(mesh, boundary, np.zeros(3), 1), boundary_areas(mesh, boundary, 1)
    for threads in (2, 7):
        again = boundary_moments(mesh, boundary, np.zeros(3), threads), boundary_areas(mesh, boundary, threads)
        assert [x.tobytes() for x in again] == [x.tobytes() for x in one]
    expected = naive_moments(np.concatenate([vertices[mesh.facets[boundary.status == UNCUT]], pieces]), np.zeros(3))
    np.testing.assert_allclose(one[0], expected, atol=1e-9 * count)
