"""Edges of a mesh: tallies and links of the naive twin, in any numbering, over any blocks, on any threads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.topology.edge_matching import degenerate_facets, match_edges
from pricing_engine.kernels.topology.half_edge_runs import DEGENERATE
from tests.naive import edges as naive


def _check(vertices: NDArray[np.float64], facets: NDArray[np.int32], threads: int = 1) -> NDArray[np.int64]:
    tallies, links = match_edges(vertices, facets, threads)
    assert links.tolist() == naive.links(facets)
    assert np.delete(tallies, DEGENERATE).tolist() == naive.tallies(facets)
    return tallies


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 80), st.integers(1, 40))
def test_agrees_with_naive_twin(seed: int, count: int, vertex_count: int) -> None:
    """Repeated vertices, repeated and reversed facets and crowded edges are common."""
    rng = np.random.default_rng(seed)
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    facets = np.concatenate([facets, facets[::4, ::-1], np.roll(facets[::5], 1, axis=1)])
    tallies = _check(rng.random((vertex_count, 3)), facets)
    repeated = (facets == np.roll(facets, 1, axis=1)).any(axis=1)
    assert tallies[DEGENERATE] == repeated.sum()
    swapped = rng.permutation(vertex_count).astype(np.int32)
    again, links = match_edges(rng.random((vertex_count, 3)), swapped[facets], 2)
    assert np.array_equal(again, tallies)
    expected = np.array(naive.links(facets), np.int64).reshape(-1, 3)
    assert np.array_equal(np.maximum(links, -1), np.maximum(expected, -1))
    assert np.array_equal(links < -1, expected < -1)


@pytest.mark.parametrize("vertex_count", [900, 4000, 40_000])
def test_many_blocks_with_foreign_edges(vertex_count: int) -> None:
    rng = np.random.default_rng(vertex_count)
    start = np.arange(9000) * (vertex_count - 60) // 9000
    facets = (start[:, None] + rng.integers(0, 60, (9000, 3))).astype(np.int32)
    facets[::100] = rng.integers(0, vertex_count, (90, 3))
    vertices = rng.random((vertex_count, 3))
    tallies = _check(vertices, facets)
    expected = match_edges(vertices, facets, 1)[1]
    for threads in (2, 7):
        again, links = match_edges(vertices, facets, threads)
        assert np.array_equal(again, tallies)
        assert np.array_equal(links, expected)


def test_a_closed_surface_is_all_pairs() -> None:
    sphere = trimesh.creation.icosphere(4)
    facets = sphere.faces.astype(np.int32)
    tallies = _check(np.asarray(sphere.vertices), facets, 2)
    assert tallies.tolist() == [len(facets) * 3 // 2, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("spokes", [3, 16, 17, 60])
def test_a_fan_with_more_edges_than_a_row_holds(spokes: int) -> None:
    rim = np.arange(1, spokes + 1, dtype=np.int32)
    facets = np.stack([np.zeros(spokes, np.int32), rim, np.roll(rim, -1)], axis=1)
    tallies = _check(np.random.default_rng(1).random((spokes + 1, 3)), facets)
    assert tallies.tolist() == [2 * spokes, spokes, 0, 0, 0, 0]


def _no_area(corners: Any) -> bool:
    a, b, c = ([Fraction(x) for x in corner] for corner in corners.tolist())
    u, v = [x - y for x, y in zip(b, a, strict=True)], [x - y for x, y in zip(c, a, strict=True)]
    return all(u[i] * v[(i + 1) % 3] == u[(i + 1) % 3] * v[i] for i in range(3))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([0.0, 1.0, 1e5]), st.integers(0, 40))
def test_degenerate_facets_of_a_lattice(seed: int, count: int, offset: float, capacity: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.permutation(27)[:, None] // [9, 3, 1] % 3 + offset
    facets = rng.integers(0, 27, (count, 3)).astype(np.int32)
    expected = [f for f in range(count) if _no_area(vertices[facets[f]])]
    found = np.full(capacity, -1, np.int64)
    assert degenerate_facets(vertices, facets, found) == min(capacity, len(expected))
    assert found[: len(expected)].tolist() == expected[:capacity]
    assert (found[len(expected) :] == -1).all()
    assert match_edges(vertices, facets, 1)[0][DEGENERATE] == len(expected)


def test_area_that_rounding_of_coordinates_can_cause_is_none() -> None:
    for offset, height, degenerate in ((0.0, 1e-14, 0), (0.0, 1e-16, 1), (1e5, 2.0**-36, 1), (1e5, 1e-8, 0)):
        vertices = np.array([[0, offset, 0], [1, offset, 0], [0.5, offset + height, 0]])
        found = np.empty(1, np.int64)
        assert degenerate_facets(vertices, np.array([[0, 1, 2]], np.int32), found) == degenerate
