"""Samples of a surface: equal steps of area, each in its facet or piece, with that one's normal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.solid.surface_samples import place_samples
from tests.support.kernel_inputs import Floats, normals_of, triangles
from tests.support.meshes import unwelded, welded


def place(corners: Floats, pieces: Floats, areas: Floats, count: int, centre: Floats) -> tuple[Floats, Floats]:
    mesh = welded(corners)
    points, normals = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    found = place_samples(mesh.vertices, mesh.facets, pieces, np.cumsum(areas), centre, points, normals)
    return points[:found], normals[:found]


def areas_of(corners: Floats) -> Floats:
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas: Floats = np.linalg.norm(normal, axis=1) / 2
    return areas


def naive_samples(corners: Floats, areas: Floats, count: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Point, normal and triangle of each sample: the first triangle whose running sum exceeds the sample's area."""
    at = np.arange(count) + 0.5
    total = np.cumsum(areas)
    owner = np.array([min(np.count_nonzero(total <= step), len(total) - 1) for step in at * (total[-1] / count)])
    u, v = at * 0.7548776662466927 % 1, at * 0.5698402909980532 % 1
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = (corners[owner, k] for k in range(3))
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), normals_of(corners)[owner], owner


@settings(max_examples=50)
@given(triangles(1, 12), triangles(0, 5), st.integers(1, 40))
def test_agrees_with_the_naive_twin(facets: Floats, pieces: Floats, count: int) -> None:
    corners = np.concatenate([facets, pieces])
    areas = areas_of(corners)
    if not areas.sum() > 0:
        return
    centre = corners.mean(axis=(0, 1))
    points, normals = place(facets, pieces, areas, count, centre)
    expected, expected_normals, owner = naive_samples(corners, areas, count)
    size = np.abs(corners).max()
    assert (areas[owner] > 0).all()
    np.testing.assert_allclose(points, expected - centre, atol=1e-12 * size)
    np.testing.assert_allclose(normals, expected_normals, atol=1e-9)


@settings(max_examples=25)
@given(triangles(2, 12, far=False), st.integers(50, 400))
def test_each_triangle_gets_its_share_of_the_samples(corners: Floats, count: int) -> None:
    areas = areas_of(corners)
    if not areas.sum() > 0:
        return
    _, _, owner = naive_samples(corners, areas, count)
    share = np.bincount(owner, minlength=len(corners)) - areas / areas.sum() * count
    assert np.abs(share).max() <= 1 + 1e-9
    points, _ = place(corners, np.empty((0, 3, 3)), areas, count, np.zeros(3))
    for k, triangle in enumerate(corners[owner]):
        edges = np.column_stack([triangle[1] - triangle[0], triangle[2] - triangle[0]])
        weights = np.linalg.lstsq(edges, points[k] - triangle[0], rcond=None)[0]
        assert weights.min() >= -1e-9
        assert weights.sum() <= 1 + 1e-9


def test_an_area_that_a_facet_does_not_have_leaves_samples_out() -> None:
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    points, normals = place(flat, np.empty((0, 3, 3)), np.array([1.0, 1.0]), 10, np.zeros(3))
    assert len(points) == 5
    assert normals == pytest.approx(np.tile([0, 0, 1.0], (5, 1)))


def test_the_last_triangle_takes_what_rounding_leaves() -> None:
    mesh = unwelded(np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]]))
    points, normals = np.empty((1, 3)), np.empty((1, 3))
    total = np.array([1e-300])
    assert place_samples(mesh.vertices, mesh.facets, np.empty((0, 3, 3)), total, np.zeros(3), points, normals) == 1
