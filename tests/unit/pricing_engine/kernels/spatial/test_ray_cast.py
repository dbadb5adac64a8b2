"""Closest hits of rays: those of the naive twin, none between neighbours, from anywhere and on any threads."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.spatial.ray_cast import closest_hits
from tests.naive.rays import crossings
from tests.support.meshes import unwelded
from tests.support.triangle_soups import along_x, lattice_facets

Floats = NDArray[np.float64]
_SLACK = 1e-4  # of barycentric coordinates: what float32 leaves open


def _soup(rng: np.random.Generator, kind: str, count: int) -> Floats:
    if kind == "lattice":
        return along_x(lattice_facets(rng, count))
    corners = rng.normal(size=(count, 1, 3)) + rng.normal(size=(count, 3, 3)) * 0.3
    corners[::9, 2] = corners[::9, 1]  # no area
    corners[1::9] = corners[0]
    return along_x(corners)


def _check(
    corners: Floats, origins: Floats, directions: Floats, t_min: float, distance: Floats, facet: NDArray[np.int32]
) -> None:
    """Check that each hit is a facet that the ray meets or nearly does, no farther than the first it clearly meets."""
    for ray, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
        length = float(np.linalg.norm(direction))
        if length == 0:
            assert (distance[ray], facet[ray]) == (np.inf, -1)
            continue
        t, inside = crossings(corners, origin, direction / length)
        sharp = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ direction) / length
        clear = (inside > _SLACK) & (t > t_min + _SLACK) & (sharp > 1e-2)
        assert distance[ray] <= t[clear].min(initial=np.inf) + 1e-3
        assert (facet[ray] < 0) == (distance[ray] == np.inf)
        if facet[ray] >= 0:
            hit = int(facet[ray])
            assert distance[ray] > t_min - 1e-6
            if sharp[hit] > 1e-2:
                assert inside[hit] > -_SLACK
                assert distance[ray] == pytest.approx(t[hit], abs=1e-3)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["lattice", "loose"]),
    st.sampled_from([1, 7, 9, 70, 520]),
    st.sampled_from([0.0, 0.7]),
)
def test_agrees_with_naive_twin(seed: int, kind: str, count: int, t_min: float) -> None:
    rng = np.random.default_rng(seed)
    corners = _soup(rng, kind, count)
    bvh = build_bvh(unwelded(corners), 1)
    origins = rng.normal(size=(15, 3)) * 2
    targets = corners[rng.integers(0, count, 15)].mean(axis=1)
    directions = np.where(rng.random((15, 1)) < 0.7, targets - origins, rng.normal(size=(15, 3)))
    if kind == "lattice":
        directions = np.where(rng.random((15, 1)) < 0.3, np.eye(3)[rng.integers(0, 3, 15)], directions)
        origins += 0.123
    directions[3] = 0
    distance, facet = closest_hits(bvh, origins, directions, 1, t_min)
    _check(corners, origins, directions, t_min, distance, facet)
    again = closest_hits(bvh, origins, 7.5 * directions, 2, t_min)
    np.testing.assert_allclose(again[0], distance, atol=1e-5)


def test_distances_to_the_sides_of_a_cube() -> None:
    cube = trimesh.creation.box((2, 2, 2))
    bvh = build_bvh(unwelded(along_x(cube.triangles)), 1)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    from_inside, facet = closest_hits(bvh, np.full((6, 3), 0.25), axes, 1)
    assert from_inside.tolist() == pytest.approx([0.75] * 3 + [1.25] * 3)
    assert (facet >= 0).all()
    far, _ = closest_hits(bvh, np.full((6, 3), 0.25) - 1e6 * axes, axes, 1)
    assert far.tolist() == pytest.approx([1e6 - 1.25] * 3 + [1e6 - 0.75] * 3, rel=1e-12)
    away, facet = closest_hits(bvh, np.full((6, 3), 0.25) + 5 * axes, axes, 1)
    assert np.isinf(away).all()
    assert (facet == -1).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1e-3, 1.0, 1e4]))
def test_no_ray_slips_between_facets_of_a_closed_surface(seed: int, size: float) -> None:
    """Rays from inside to vertices and to points of edges: each hits the surface there."""
    rng = np.random.default_rng(seed)
    sphere = trimesh.creation.icosphere(1)
    vertices = sphere.vertices[sphere.faces]
    corners = along_x(vertices * size)
    bvh = build_bvh(unwelded(corners), 1)
    edges = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2, 3)
    share = rng.choice([0.0, 0.5, 0.25], (len(edges), 1)) + 0.0
    targets = edges[:, 0] * (1 - share) + edges[:, 1] * share
    origin = rng.normal(size=3) * 0.2 * size
    distance, facet = closest_hits(bvh, np.tile(origin, (len(targets), 1)), targets - origin, 1)
    assert (facet >= 0).all()
    np.testing.assert_allclose(distance, np.linalg.norm(targets - origin, axis=1), rtol=1e-4)


def test_hits_begin_beyond_the_least_distance() -> None:
    levels = np.arange(5.0)
    square = np.array([[-1, -1, 0], [3, -1, 0], [-1, 3, 0.0]])
    corners = square + levels[:, None, None] * np.array([0, 0, 1])
    bvh = build_bvh(unwelded(corners), 1)
    for t_min, expected in ((0.0, 0.5), (0.4, 0.5), (0.6, 1.5), (1.6, 2.5), (9.0, np.inf)):
        distance, facet = closest_hits(bvh, np.array([[0, 0, 0.5]]), np.array([[0, 0, 2.0]]), 1, t_min)
        assert distance[0] == pytest.approx(expected)
        assert facet[0] == (np.where(levels - 0.5 > t_min)[0].min() if expected < np.inf else -1)


def test_directions_that_are_not_finite_hit_nothing() -> None:
    bvh = build_bvh(unwelded(trimesh.creation.box().triangles), 1)
    directions = np.array([[0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 0], [0, 0, 1.0]])
    distance, facet = closest_hits(bvh, np.zeros((4, 3)), directions, 1)
    assert np.isinf(distance[:3]).all()
    assert (facet[:3] == -1).all()
    assert distance[3] == 0.5
    assert closest_hits(bvh, np.empty((0, 3)), np.empty((0, 3)), 2)[0].shape == (0,)


def test_many_rays_are_the_same_on_any_threads() -> None:
    rng = np.random.default_rng(3)
    bvh = build_bvh(unwelded(along_x(rng.normal(size=(600, 3, 3)) * 0.2 + rng.normal(size=(600, 1, 3)))), 1)
    origins, directions = rng.normal(size=(9000, 3)), rng.normal(size=(9000, 3))
    distance, facet = closest_hits(bvh, origins, directions, 1)
    for threads in (2, 7):
        other = closest_hits(bvh, origins, directions, threads)
        assert np.array_equal(other[0], distance)
        assert np.array_equal(other[1], facet)
