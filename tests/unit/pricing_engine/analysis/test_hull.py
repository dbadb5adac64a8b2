"""Convex hull (``analysis/hull.py``) against closed forms and Qhull."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from pricing_engine.analysis.hull import convex_hull
from pricing_engine.kernels.mesh import Mesh
from tests.support.meshes import Floats, canonical


def cloud(points: Floats) -> Mesh:
    return Mesh(np.ascontiguousarray(points, np.float64), np.array([[0, 1, 2]], np.int32))


@pytest.mark.parametrize("seed", range(5))
def test_the_hull_agrees_with_qhull(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(500, 3)) * [1, 5, 20] + 100
    hull, peer = convex_hull(cloud(points)), ConvexHull(points)
    assert hull is not None
    assert hull.volume == pytest.approx(peer.volume, rel=1e-9)
    assert hull.areas.sum() == pytest.approx(peer.area, rel=1e-9)
    assert np.allclose(np.linalg.norm(hull.normals, axis=1), 1)


def test_a_box_is_its_own_hull_and_its_normals_face_out() -> None:
    solid = trimesh.creation.box((1, 2, 3))
    hull = convex_hull(canonical(solid))
    assert hull is not None
    assert hull.volume == pytest.approx(6)
    assert np.allclose((hull.normals * hull.areas[:, None]).sum(axis=0), 0, atol=1e-12)
    assert {tuple(np.rint(n)) for n in hull.normals} == {tuple(s * np.eye(3)[k]) for k in range(3) for s in (-1, 1)}


@pytest.mark.parametrize("points", [
    [[0, 0, 0], [10, 0, 0], [0, 10, 0]], [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]],
    [[0, 0, 5], [10, 0, 5], [0, 10, 5], [10, 10, 5], [3, 3, 5]], [[1, 1, 1]] * 4,
])  # fmt: skip
def test_flat_points_have_no_hull(points: list[list[float]]) -> None:
    assert convex_hull(cloud(np.array(points, float))) is None


def test_flat_points_in_a_slanted_plane_have_no_hull() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 2)) @ random.normal(size=(2, 3))
    assert convex_hull(cloud(points)) is None


def test_every_run_has_the_same_bits() -> None:
    points = np.random.default_rng(3).normal(size=(30_000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    first, *others = (convex_hull(cloud(points)) for _ in range(5))
    assert first is not None
    for other in others:
        assert other is not None
        assert (other.volume, other.normals.tobytes()) == (first.volume, first.normals.tobytes())
