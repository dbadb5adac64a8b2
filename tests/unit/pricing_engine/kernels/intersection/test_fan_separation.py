"""Fans: the vertex that all facets of a leaf share, and the plane that halves the angle of two leaves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.fan_separation import fans_separated, find_hubs
from pricing_engine.kernels.mesh import Mesh

Doubles = NDArray[np.float64]


def _hubs(mesh: Mesh) -> tuple[NDArray[np.int32], Doubles]:
    leaves = -(-mesh.facet_count // 8)
    hub, axis = np.full(leaves, 77, np.int32), np.full((leaves, 3), 7.0)
    for leaf in reversed(range(leaves)):
        find_hubs(leaf, leaf + 1, mesh.vertices, mesh.facets, hub, axis)
    return hub, axis


def _fans(rng: np.random.Generator, count: int) -> Mesh:
    """Facets around vertex 0, but for some leaves, with corners in any place; few vertices, so others may share too."""
    vertices = rng.permutation(125)[:20, None] // [25, 5, 1] % 5 * 1.0
    facets = rng.integers(0, rng.choice([3, 20]), (count, 3))
    facets[np.arange(count), rng.integers(0, 3, count)] = 0
    for leaf in range(0, count, 8):
        if rng.random() < 0.3:
            facets[leaf + int(rng.integers(0, min(8, count - leaf)))] = rng.integers(1, 20, 3)
    return Mesh(vertices, facets.astype(np.int32))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_hubs_and_mean_directions(seed: int, count: int) -> None:
    mesh = _fans(np.random.default_rng(seed), count)
    hub, axis = _hubs(mesh)
    for leaf in range(len(hub)):
        facets = mesh.facets[8 * leaf : 8 * leaf + 8]
        shared = [v for v in facets[0].tolist() if (facets == v).any(axis=1).all()]
        assert hub[leaf] == (shared[-1] if shared else -1)
        if shared:
            mean = (mesh.vertices[facets] - mesh.vertices[hub[leaf]]).sum(axis=(0, 1))
            length = np.linalg.norm(mean)
            np.testing.assert_allclose(axis[leaf], mean / length if length else mean, atol=1e-14)
        else:
            assert axis[leaf].tolist() == [7] * 3


def _slack(mesh: Mesh, leaf: int, other: int, hub: int, axis: Doubles, near: float) -> Fraction:
    """Return by how much the halving plane clears the nearest corner, exactly, less ``near`` (1-norm); may be < 0."""
    normal = [Fraction(x) - Fraction(y) for x, y in zip(axis[leaf].tolist(), axis[other].tolist(), strict=True)]
    least = Fraction(10**9)
    for fan, sign in ((leaf, 1), (other, -1)):
        for v in set(mesh.facets[8 * fan : 8 * fan + 8].ravel().tolist()) - {hub}:
            u = [Fraction(x) - Fraction(y) for x, y in zip(*mesh.vertices[[v, hub]].tolist(), strict=True)]
            least = min(least, sign * sum((a * b for a, b in zip(normal, u, strict=True)), Fraction(0)))
    return least - Fraction(near) * sum(abs(x) for x in normal)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(11, 16), st.sampled_from([0.0, 0.25]), st.sampled_from([0.0, 2.0**30]))
def test_fans_are_separated_where_the_plane_clears_all_corners(
    seed: int, count: int, near: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(count)) * 2 * np.pi
    rim = np.stack([np.cos(angle), np.sin(angle), rng.normal(size=count) * 0.1], axis=1)
    vertices = np.concatenate([np.zeros((1, 3)), rim]) * 4 + offset
    i = np.arange(count)
    mesh = Mesh(vertices, np.stack([0 * i, i + 1, (i + 1) % count + 1], axis=1).astype(np.int32))
    hub, axis = _hubs(mesh)
    assert (hub == 0).all()
    exact = _slack(mesh, 0, 1, 0, axis, near)
    found = fans_separated(0, 1, 0, axis, mesh.vertices, mesh.facets, near)
    assert fans_separated(1, 0, 0, axis, mesh.vertices, mesh.facets, near) == found
    if abs(exact) > 1e-12:
        assert found == (exact > 0)
    if found:
        assert exact > 0


@pytest.mark.parametrize(("reach", "near", "separated"), [(1.0, 0.0, True), (1.0, 0.99, True), (1.0, 1.0, False),
                                                          (-1.0, 0.0, False), (0.0, 0.0, False)])  # fmt: skip
def test_two_opposite_fans(reach: float, near: float, separated: bool) -> None:
    """Eight facets to each side of a plane through the hub; one corner at ``reach`` from it."""
    rng = np.random.default_rng(1)
    right = np.stack([np.ones(9), *rng.normal(size=(2, 9))], axis=1)
    left = right * [-1, 1, 1]
    left[4] = right[4] * [-reach, 1, 1]
    vertices = np.concatenate([np.zeros((1, 3)), right, left])
    i = np.arange(8)
    facets = np.concatenate([np.stack([0 * i, i + 1, i + 2], axis=1), np.stack([i + 10, i + 11, 0 * i], axis=1)])
    mesh = Mesh(vertices, facets.astype(np.int32))
    axis = np.array([[1.0, 0, 0], [-1, 0, 0]])
    assert fans_separated(0, 1, 0, axis, mesh.vertices, mesh.facets, near) == separated
