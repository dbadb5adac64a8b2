"""Patches, rims and representatives by sorted half-edges: each that of dictionaries and sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.topology.patches import (
    edge_order,
    join_patches,
    join_vertices,
    largest_members,
    open_edges,
)
from tests.naive import edges as naive

_SOUPS = st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 20)


def _facets(rng: np.random.Generator, count: int, vertex_count: int) -> NDArray[np.int32]:
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    return np.concatenate([facets, facets[::3, ::-1], facets[::4]])


@settings(max_examples=40)
@given(*_SOUPS)
def test_half_edges_lie_sorted_by_edge(seed: int, count: int, vertex_count: int) -> None:
    facets = _facets(np.random.default_rng(seed), count, vertex_count)
    order, keys = edge_order(facets, vertex_count)
    assert np.array_equal(np.sort(order), np.arange(3 * len(facets)))
    assert (np.diff(keys) >= 0).all()
    for half, key in zip(order.tolist(), keys.tolist(), strict=True):
        ends = sorted((int(facets[half // 3, half % 3]), int(facets[half // 3, (half + 1) % 3 if half % 3 < 2 else 0])))
        assert list(divmod(key, vertex_count)) == ends


def test_keys_of_many_vertices_do_not_overflow() -> None:
    facets = np.array([[2**31 - 1, 2**31 - 2, 0]], np.int32)
    _, keys = edge_order(facets, 2**31)
    assert keys.tolist() == [2**31 - 2, 2**31 - 1, (2**31 - 2) * 2**31 + 2**31 - 1]


@settings(max_examples=40)
@given(*_SOUPS, st.sampled_from([0.0, 0.3, 1.0]))
def test_patches_are_joined_across_edges_of_two_opposite_facets(
    seed: int, count: int, vertex_count: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    facets = _facets(rng, count, vertex_count)
    separate = rng.random(len(facets)) < share
    pairs = [
        (f, g)
        for members in naive.uses(facets).values()
        if len(members) == 2
        for (f, c), (g, d) in [members]
        if f != g and facets[f, c] == facets[g, (d + 1) % 3] and not separate[f] and not separate[g]
    ]
    parent = np.empty(len(facets), np.int32)
    join_patches(facets, *edge_order(facets, vertex_count), separate, parent)
    assert parent.tolist() == naive.components(len(facets), pairs)


@settings(max_examples=40)
@given(*_SOUPS)
def test_open_edges_are_what_a_closed_surface_lacks(seed: int, count: int, vertex_count: int) -> None:
    facets = _facets(np.random.default_rng(seed), count, vertex_count)
    edges = np.empty((3 * len(facets), 2), np.int64)
    found = edges[: open_edges(facets, *edge_order(facets, vertex_count), edges)]
    expected = []
    for (low, high), members in sorted(naive.uses(facets).items()):
        net = sum(naive.rises(facets, half) for half in members)
        expected += [(high, low) if net > 0 else (low, high)] * abs(net)
    assert list(map(tuple, found.tolist())) == expected


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 6))
def test_the_largest_facet_of_each_patch_is_the_first_of_equals(seed: int, count: int, patches: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.permutation(27)[:, None] // [9, 3, 1] % 3 * 1.0
    facets = rng.integers(0, 27, (count, 3)).astype(np.int32)
    patch = rng.integers(0, patches, count).astype(np.int32)
    best, largest = np.full(patches, 5, np.int64), np.full(patches, 1e9)
    largest_members(facets, vertices, patch, best, largest)
    corners = vertices[facets]
    squares = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) ** 2).sum(axis=1)
    for name in range(patches):
        members = np.flatnonzero(patch == name)
        assert best[name] == (members[np.argmax(squares[members])] if len(members) else -1)
        assert not len(members) or largest[name] == squares[members].max()


@settings(max_examples=40)
@given(st.data(), st.integers(1, 30))
def test_connected_vertices_have_the_least_of_them(data: st.DataObject, count: int) -> None:
    vertex = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(vertex, vertex), max_size=30))
    parent = np.empty(count, np.int64)
    join_vertices(np.array(edges, np.int64).reshape(-1, 2), parent)
    assert parent.tolist() == naive.components(count, edges)
