"""Runs of equal half-edges: sorted lists, and the edges of a block counted and linked whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.topology.half_edge_runs import DEGENERATE, sort_and_match, sort_list
from tests.naive import edges as naive


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 24) | st.integers(25, 120), st.sampled_from([1, 5, 1 << 40]))
def test_lists_are_sorted_by_key_then_half_edge(seed: int, count: int, most: int) -> None:
    """By insertion up to 24, by heap beyond; what lies outside of the range stays."""
    rng = np.random.default_rng(seed)
    keys, members = rng.integers(0, most, count + 5), rng.integers(0, 9, count + 5).astype(np.int32)
    pairs = list(zip(keys.tolist(), members.tolist(), strict=True))
    sort_list(3, 3 + count, keys, members)
    found = list(zip(keys.tolist(), members.tolist(), strict=True))
    assert found == pairs[:3] + sorted(pairs[3 : 3 + count]) + pairs[3 + count :]


@pytest.mark.parametrize("order", [1, -1])
def test_lists_in_order_and_in_reverse(order: int) -> None:
    for count in (24, 25, 26, 64):
        keys, members = np.arange(count)[::order].copy(), np.arange(count, dtype=np.int32)[::order].copy()
        sort_list(0, count, keys, members)
        assert keys.tolist() == members.tolist() == list(range(count))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 20))
def test_a_block_agrees_with_naive_twin(seed: int, count: int, vertex_count: int) -> None:
    rng = np.random.default_rng(seed)
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    facets = np.concatenate([facets, facets[::3], facets[::4, ::-1]])
    links, tallies = np.full((len(facets), 3), 99, np.int32), np.zeros((1, 6), np.int64)
    none = np.empty(0, np.int32)
    sort_and_match(0, facets, np.array([0, vertex_count], np.int32), none, np.zeros(2, np.int64), links, tallies)
    assert links.tolist() == naive.links(facets)
    assert np.delete(tallies[0], DEGENERATE).tolist() == naive.tallies(facets)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 12), st.integers(0, 12))
def test_only_edges_of_the_vertices_of_a_block_are_linked(seed: int, count: int, low: int, size: int) -> None:
    """An edge belongs to its lower vertex; the block's own facets and those from others count alike."""
    rng = np.random.default_rng(seed)
    facets = rng.integers(0, 20, (count, 3)).astype(np.int32)
    facets = np.concatenate([np.full((4096, 3), 99, np.int32), facets])  # block 0 has none at these vertices
    start = np.array([low, low + size, 100], np.int32)
    incoming, incoming_start = np.arange(4096, 4096 + count, dtype=np.int32), np.array([0, count, count])
    links, tallies = np.full((len(facets), 3), 7, np.int32), np.zeros((2, 6), np.int64)
    sort_and_match(0, facets, start, incoming, incoming_start, links, tallies)
    expected, edges = np.array(naive.links(facets[4096:])), naive.uses(facets[4096:])
    within = {edge: members for edge, members in edges.items() if low <= edge[0] < low + size}
    for members in within.values():
        for facet, corner in members:
            other = int(expected[facet, corner])
            other += 4096 if other >= 0 else (-4096 if other < -1 else 0)
            assert links[4096 + facet, corner] == other
            links[4096 + facet, corner] = 7
    assert (links == 7).all()
    assert tallies[0, 0] == len(within)
    assert not tallies[1].any()
