"""Welding: bitwise equal corners become one vertex, numbered by first appearance, on any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from pricing_engine.kernels.topology.weld import GRAIN, weld_corners

_NO_INDEX = np.empty((0, 3), np.int32)


def _expected(corners: NDArray[np.float64], scale: float) -> tuple[list[list[float]], list[list[int]]]:
    """Vertices and facets of corners (F, 3, 3) in their order, by a dictionary."""
    numbers: dict[tuple[float, ...], int] = {}
    facets = [[numbers.setdefault(tuple(corner), len(numbers)) for corner in facet] for facet in corners.tolist()]
    return [[x * scale + 0.0 for x in position] for position in numbers], facets


def _positions(rng: np.random.Generator, count: int, kind: str, dtype: DTypeLike) -> NDArray[Any]:
    values: NDArray[Any] = rng.normal(size=(count, 3))
    if kind == "lattice":
        values = rng.integers(-2, 3, (count, 3)) / 7
    if kind == "zeros":
        values = rng.choice([0.0, -0.0, 1.0], (count, 3))
    if kind == "neighbours":  # a few units in the last place apart
        values = rng.choice([1e6, -3.0], (count, 3)) * (1 + rng.integers(0, 3, (count, 3)) * 2.0**-23)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(0, 60),
    st.sampled_from(["lattice", "zeros", "neighbours", "distinct"]),
    st.sampled_from([1.0, 25.4]),
)
def test_agrees_with_naive_twin(dtype: DTypeLike, seed: int, count: int, kind: str, scale: float) -> None:
    rng = np.random.default_rng(seed)
    positions, order = _positions(rng, 3 * count, kind, dtype), rng.permutation(count).astype(np.int32)
    vertices, facets = weld_corners(positions, _NO_INDEX, order, scale, 1)
    expected = _expected(positions.reshape(-1, 3, 3)[order].astype(np.float64), scale)
    assert vertices.tolist() == expected[0]
    assert facets.tolist() == expected[1]
    assert not np.signbit(vertices[vertices == 0]).any()
    assert vertices.dtype == np.float64
    assert facets.dtype == np.int32


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 30))
def test_indexed_corners_are_those_of_the_soup(seed: int, count: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    positions = _positions(rng, points, "lattice", np.float64)
    index, order = rng.integers(0, points, (count, 3)).astype(np.int32), rng.permutation(count).astype(np.int32)
    vertices, facets = weld_corners(positions, index, order, 1.0, 1)
    soup = weld_corners(positions[index].reshape(-1, 3), _NO_INDEX, order, 1.0, 1)
    assert np.array_equal(vertices, soup[0])
    assert np.array_equal(facets, soup[1])


@pytest.mark.parametrize("side", [2, 300])
def test_many_chunks_are_the_same_on_any_threads(side: int) -> None:
    """Vertices that chunks share: few that all have, or many that two have."""
    rng = np.random.default_rng(side)
    count = GRAIN + 77
    positions = rng.integers(-side, side + 1, (3 * count, 3)).astype(np.float32)
    order = rng.permutation(count).astype(np.int32)
    expected = _expected(positions.reshape(-1, 3, 3)[order].astype(np.float64), 1.0)
    vertices, facets = weld_corners(positions, _NO_INDEX, order, 1.0, 1)
    assert vertices.tolist() == expected[0]
    assert facets.tolist() == expected[1]
    for threads in (2, 7):
        again = weld_corners(positions, _NO_INDEX, order, 1.0, threads)
        assert again[0].tobytes() == vertices.tobytes()
        assert again[1].tobytes() == facets.tobytes()
