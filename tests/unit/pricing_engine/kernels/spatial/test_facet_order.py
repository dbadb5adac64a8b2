"""Canonical order of facets: along the Hilbert curve, ties by coordinates, whatever the order in the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from pricing_engine.kernels.spatial.facet_order import facet_order
from tests.naive import hilbert as naive

_NO_INDEX = np.empty((0, 3), np.int32)


def _soup(rng: np.random.Generator, count: int, kind: str, dtype: DTypeLike) -> np.ndarray:
    """Corners (F, 3, 3): ``lattice``, ``equal keys`` in one cell, ``duplicates``, or ``large`` and far away."""
    if kind == "lattice":
        return rng.integers(-2, 3, (count, 3, 3)).astype(dtype)
    if kind == "equal keys":  # the first facet sets the cube
        corners = rng.integers(0, 2, (count, 3, 3)) * 2.0**-20
        corners[:1] = 1.0
        return corners.astype(dtype)
    if kind == "duplicates":
        few = rng.normal(size=(3, 3, 3))
        return few[rng.integers(0, 3, count)].astype(dtype)
    return (rng.normal(size=(count, 3, 3)) * 1e5 + 1e6).astype(dtype)


def _cube(corners: np.ndarray) -> tuple[np.ndarray, float]:
    lo, hi = corners.reshape(-1, 3).min(axis=0).astype(float), corners.reshape(-1, 3).max(axis=0).astype(float)
    return lo, float((hi - lo).max())


def _expected(corners: np.ndarray, lo: np.ndarray, extent: float) -> np.ndarray:
    """Facets (F, 9) sorted by the key of the centroid's cell, then by coordinates."""
    rows = []
    scale = 65535.0 / extent if extent > 0 else 0.0
    for facet in corners.astype(np.float64):
        a, b, c = facet - lo
        cell = np.minimum((a + b + c) * (scale / 3.0), 65535.0).astype(int)
        rows.append((naive.key(cell.tolist(), 16), facet.ravel().tolist()))
    return np.array([row for _, row in sorted(rows)], np.float64).reshape(-1, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.integers(0, 60) | st.integers(100, 200),
    st.sampled_from(["lattice", "equal keys", "duplicates", "large"]),
)
def test_agrees_with_naive_twin(dtype: DTypeLike, seed: int, count: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    corners = _soup(rng, count, kind, dtype)
    lo, extent = _cube(corners) if count else (np.zeros(3), 0.0)
    order = facet_order(corners.reshape(-1, 3), _NO_INDEX, count, lo, extent, 1)
    assert order.dtype == np.int32
    assert np.array_equal(np.sort(order), np.arange(count))
    expected = _expected(corners, lo, extent)
    assert np.array_equal(corners[order].reshape(-1, 9), expected)
    shuffled = corners[rng.permutation(count)]
    order = facet_order(shuffled.reshape(-1, 3), _NO_INDEX, count, lo, extent, 2)
    assert np.array_equal(shuffled[order].reshape(-1, 9), expected)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_indexed_corners_are_those_of_the_soup(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    positions, index = rng.integers(-3, 4, (20, 3)) / 7, rng.integers(0, 20, (count, 3)).astype(np.int32)
    lo, extent = _cube(positions)
    by_index = facet_order(positions, index, count, lo, extent, 1)
    corners = positions[index]
    by_place = facet_order(corners.reshape(-1, 3), _NO_INDEX, count, lo, extent, 1)
    assert np.array_equal(corners[by_index], corners[by_place])


def test_many_chunks_and_crowded_buckets_are_the_same_on_any_threads() -> None:
    """Half of the facets lie in one bucket, which is sorted by radix; many have one key."""
    rng = np.random.default_rng(4)
    corners = rng.random((40_000, 3, 3))
    corners[::2] = corners[:1] + rng.integers(0, 6, (20_000, 1, 3)) * 2.0**-14 + rng.random((20_000, 3, 3)) * 2.0**-20
    lo, extent = _cube(corners)
    one = facet_order(corners.reshape(-1, 3), _NO_INDEX, len(corners), lo, extent, 1)
    cells = np.minimum((corners - lo).sum(axis=1) * (65535.0 / extent / 3.0), 65535.0).astype(int)
    keys = [naive.key(cell, 16) for cell in cells[one[::7]].tolist()]
    assert keys == sorted(keys)
    assert np.array_equal(np.sort(one), np.arange(len(corners)))
    for threads in (2, 7):
        assert np.array_equal(facet_order(corners.reshape(-1, 3), _NO_INDEX, len(corners), lo, extent, threads), one)


def test_a_model_without_extent_has_an_order() -> None:
    order = facet_order(np.ones((9, 3)), _NO_INDEX, 3, np.ones(3), 0.0, 1)
    assert sorted(order.tolist()) == [0, 1, 2]
