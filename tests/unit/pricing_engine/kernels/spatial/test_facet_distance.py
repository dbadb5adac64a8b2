"""Distances of points and facets: the bits of the naive twin in every lane, and bounds that exclude nothing near."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.runtime import simd
from pricing_engine.kernels.runtime.vec3 import load3, splat3
from pricing_engine.kernels.spatial.facet_distance import distances8, near8, not_beyond8, to_facets8, to_points8
from tests.naive.reach import squared_distance
from tests.support.compiled import compiled

store8: Any = simd.store8
splat8: Any = simd.splat8
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
_SCALES = st.sampled_from([(1.0, 0.0), (1e-6, 0.0), (1e4, 0.0), (1.0, 1e7)])


@compiled
def _distances(points: Doubles, corners: Doubles, out: Doubles) -> None:
    p, a, b, c = load3(points, 0, 0), load3(corners, 0, 0), load3(corners, 3, 0), load3(corners, 6, 0)
    store8(out, 0, distances8(p, a, b, c))


@compiled
def _point_to_facets(p: tuple[float, float, float], corners: Singles, base: int, out: Doubles) -> None:
    store8(out, 0, to_facets8(p, corners, base))


@compiled
def _points_to_facet(points: Doubles, corners: Singles, facet: int, out: Doubles) -> None:
    store8(out, 0, to_points8(points, corners, facet))


@compiled
def _near(p: Singles, pad: Any, corners: Singles, base: int, radius: Any) -> int:
    mask: int = near8(splat3((p[0], p[1], p[2])), splat8(pad), corners, base, splat8(radius * radius), splat8(radius))
    return mask


@compiled
def _not_beyond(p: Singles, m: Singles, corners: Singles, base: int, beyond: Any) -> int:
    mask: int = not_beyond8(splat3((p[0], p[1], p[2])), splat3((m[0], m[1], m[2])), corners, base, splat8(beyond))
    return mask


def _corners(rng: np.random.Generator, kind: str, count: int = 8) -> Doubles:
    """Facets (n, 3, 3): whole numbers with ties, loose ones, slivers; some without area."""
    if kind == "lattice":
        facets = rng.integers(-2, 3, (count, 3, 3)).astype(np.float64)
    else:
        facets = rng.normal(size=(count, 3, 3))
        if kind == "slivers":
            facets[:, 2] = facets[:, 0] + (facets[:, 1] - facets[:, 0]) * rng.random((count, 1))
            facets[:, 2] += rng.normal(size=(count, 3)) * 10.0 ** rng.uniform(-17, -6, (count, 1))
    facets[0, 2] = facets[0, 1]
    facets[1] = facets[1, :1]
    return facets


_KINDS = st.sampled_from(["lattice", "loose", "slivers"])


@settings(max_examples=50)
@given(st.integers(0, 2**32), _KINDS, _SCALES)
def test_the_same_bits_as_the_naive_twin_whatever_the_other_lanes_hold(
    seed: int, kind: str, place: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    scale, offset = place
    facets = _corners(rng, kind) * scale + offset
    points = rng.integers(-3, 4, (8, 3)) * scale / 2 + offset
    points[2], points[3] = facets[2, 0], (facets[3, 0] + facets[3, 1]) / 2
    out = np.empty(8)
    _distances(np.ascontiguousarray(points.T), np.ascontiguousarray(facets.reshape(8, 9).T), out)
    expected = [squared_distance(p, *facet) for p, facet in zip(points, facets, strict=True)]
    np.testing.assert_array_equal(out, expected)
    turn = rng.permutation(8)
    _distances(np.ascontiguousarray(points[turn].T), np.ascontiguousarray(facets[turn].reshape(8, 9).T), out)
    np.testing.assert_array_equal(out, np.array(expected)[turn])


def test_regions_by_hand() -> None:
    facet = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]])
    points = np.array([[1, 1, 2], [1, -3, 0], [-2, 1, 0], [3, 3, 0], [-3, -4, 0], [7, -4, 0], [-3, 8, 0], [2, 2, 1.0]])
    corners = np.repeat(facet.reshape(9, 1), 8, axis=1)
    out = np.empty(8)
    _distances(np.ascontiguousarray(points.T), corners, out)
    assert out.tolist() == pytest.approx([4, 9, 4, 2, 25, 25, 25, 1])


@settings(max_examples=30)
@given(st.integers(0, 2**32), _KINDS)
def test_one_against_eight_from_the_corners_of_a_tree(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    facets = _corners(rng, kind, 16).astype(np.float32)
    corners = np.ascontiguousarray(facets.reshape(16, 9).T)
    corners[:, 13:] = np.nan  # the padding of the last leaf
    points, out = rng.integers(-3, 4, (8, 3)) / 2, np.empty(8)
    doubles = corners.T.reshape(16, 3, 3).astype(np.float64)
    for base in (0, 8):
        _point_to_facets((points[0, 0], points[0, 1], points[0, 2]), corners, base, out)
        expected = [squared_distance(points[0], *facet) for facet in doubles[base : base + 8]]
        np.testing.assert_array_equal(out[: 13 - base], expected[: 13 - base])
        assert np.isnan(out[max(13 - base, 0) :]).all()
    _points_to_facet(np.ascontiguousarray(points.T), corners, 9, out)
    np.testing.assert_array_equal(out, [squared_distance(p, *doubles[9]) for p in points])


@settings(max_examples=50)
@given(st.integers(0, 2**32), _KINDS, st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_bounds_exclude_no_facet_within_the_radius(seed: int, kind: str, radius: float) -> None:
    """And all facets whose widened boxes, or whose planes, are clearly farther."""
    rng = np.random.default_rng(seed)
    corners = np.ascontiguousarray(_corners(rng, kind, 16).astype(np.float32).reshape(16, 9).T)
    p = (rng.integers(-6, 7, 3) / 2).astype(np.float32)
    pad = np.float32(1e-6)
    for base in (0, 8):
        mask = _near(p, pad, corners, base, np.float32(radius))
        for lane, facet in enumerate(corners.T[base : base + 8].astype(np.float64).reshape(8, 3, 3)):
            low, high = facet.min(axis=0) - pad, facet.max(axis=0) + pad
            to_box = np.linalg.norm(np.maximum(np.maximum(low - p, p - high), 0))
            normal = np.cross(facet[1] - facet[0], facet[2] - facet[0])
            length = np.linalg.norm(normal)
            to_plane = abs(normal @ (p - facet[0])) / length if length > 0.1 else 0.0
            if squared_distance(p.astype(np.float64), *facet) < (radius * (1 - 1e-5)) ** 2:
                assert mask >> lane & 1
            if max(to_box, to_plane) > radius * (1 + 1e-4):
                assert not mask >> lane & 1


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(-6, 6))
def test_facets_beyond_a_plane(seed: int, halves: int) -> None:
    """Along an axis every number is exact: a facet counts with a corner less than ``beyond`` ahead."""
    rng = np.random.default_rng(seed)
    facets = rng.integers(-3, 4, (16, 3, 3)).astype(np.float32)
    corners = np.ascontiguousarray(facets.reshape(16, 9).T)
    p, m = rng.integers(-2, 3, 3).astype(np.float32), np.zeros(3, np.float32)
    axis, sign = int(rng.integers(0, 3)), float(rng.choice([-1, 1]))
    m[axis] = sign
    for base in (0, 8):
        mask = _not_beyond(p, m, corners, base, np.float32(halves / 2))
        ahead = sign * (facets[base : base + 8, :, axis] - p[axis])
        assert mask == sum(1 << i for i, near in enumerate((ahead.min(axis=1) < halves / 2).tolist()) if near)
