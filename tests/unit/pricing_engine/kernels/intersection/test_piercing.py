"""Facets that run through one another by more than a tolerance: the depth of the naive twin, in either order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.piercing import mark_piercing
from tests.naive.planes import piercing_depth
from tests.support.meshes import unwelded, welded
from tests.support.triangle_soups import lattice_facets


def _marked(corners: NDArray[np.float64], tolerance: float, shared: bool = False) -> NDArray[np.bool_]:
    """Return (F, F) bool: all ordered pairs, marked in two ranges."""
    mesh = welded(corners) if shared else unwelded(corners)
    first, second = (axis.ravel().astype(np.int32) for axis in np.indices((mesh.facet_count,) * 2))
    piercing = np.ones(len(first), np.bool_)
    middle = len(first) // 3
    mark_piercing(middle, len(first), mesh.vertices, mesh.facets, first, second, tolerance, piercing)
    assert piercing[:middle].all()
    mark_piercing(0, middle, mesh.vertices, mesh.facets, first, second, tolerance, piercing)
    return piercing.reshape(mesh.facet_count, mesh.facet_count)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.integers(0, 10),
    st.sampled_from(["lattice", "loose"]),
    st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    st.sampled_from([0.0, 1e5]),
)
def test_agrees_with_naive_twin_in_either_order(
    seed: int, count: int, kind: str, tolerance: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    corners = lattice_facets(rng, count) if kind == "lattice" else rng.normal(size=(count, 3, 3))
    corners[::4] = corners[:1]
    corners += offset
    found = _marked(corners, tolerance, shared=bool(rng.integers(0, 2)))
    for f in range(count):
        for g in range(count):
            depth = piercing_depth(corners[f], corners[g])
            if abs(depth - tolerance) > 1e-9:
                assert found[f, g] == (depth > tolerance)


BASE = [[0, 0, 0], [8, 0, 0], [0, 8, 0]]


@pytest.mark.parametrize(
    ("other", "depth"),
    [
        ([[2, 1, -2], [2, 3, -2], [2, 2, 6]], 1.5),  # the segment: 3/4 of a base of 2
        ([[2, 1, -0.5], [2, 5, -0.5], [2, 3, 6]], 0.5),  # how far it reaches below
        ([[2, 0.25, -2], [2, 0.25, 2], [2, -6, 0]], 0.25),  # the part of the segment within the base
        ([[1, 1, 0], [1, 3, 0], [1, 2, 6]], 0.0),  # stands on it
        ([[9, 9, -1], [9, 9, 1], [10, 9, 0]], 0.0),  # beside it
        ([[1, 1, 0], [3, 1, 0], [1, 3, 0]], 0.0),  # in one plane
        ([[1, 1, -1], [1, 1, 1], [1, 1, 0]], 0.0),  # no area
        (BASE, 0.0),
    ],
)
def test_depths_by_hand(other: list[list[float]], depth: float) -> None:
    corners = np.array([BASE, other], float)
    for tolerance in (0.0, 0.01, 0.2499, 0.2501, 0.4999, 0.5001, 1.4999, 1.5001):
        assert _marked(corners, tolerance)[0, 1] == (tolerance < depth)
        turned = corners[:, :, [1, 2, 0]] * [1, -1, 1]
        assert _marked(turned, tolerance)[0, 1] == (tolerance < depth)
    assert piercing_depth(*corners) == pytest.approx(depth)


def test_no_pairs() -> None:
    none = np.empty(0, np.int32)
    mark_piercing(0, 0, np.eye(3), np.array([[0, 1, 2]], np.int32), none, none, 0.0, np.empty(0, np.bool_))
