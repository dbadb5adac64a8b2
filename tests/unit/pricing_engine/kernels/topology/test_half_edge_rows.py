"""Rows of half-edges at their lower vertices: all are entered, and paired where each has one partner."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.topology.half_edge_rows import ROW, fill_rows, list_rows, pair_rows
from tests.naive import edges as naive


def _rows(facets: NDArray[np.int32], vertex_count: int) -> tuple[bool, Any, Any, Any]:
    """Rows of all vertices, filled with the facets of one block."""
    highs, names = np.zeros(2 * ROW * vertex_count, np.int32), np.zeros(2 * ROW * vertex_count, np.uint32)
    filled = np.full(2 * vertex_count, 255, np.uint8)
    limits = np.int32(0), np.int32(vertex_count)
    none = np.empty(0, np.int32)
    fits = fill_rows(0, *limits, facets, none, np.zeros(2, np.int64), highs, names, filled)
    return bool(fits), highs, names, filled


def _facets(rng: np.random.Generator, count: int, vertex_count: int) -> NDArray[np.int32]:
    """Parts of closed surfaces, with borders, repeated facets and repeated vertices."""
    first, second = rng.integers(0, vertex_count, (2, count))
    third, fourth = rng.integers(0, vertex_count, (2, count))
    pairs = np.concatenate([np.stack([first, second, third], axis=1), np.stack([second, first, fourth], axis=1)])
    return pairs[rng.random(2 * count) < 0.9].astype(np.int32)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from([1, 4, 12, 60]))
def test_rows_hold_the_half_edges_of_their_vertex_unless_one_overflows(
    seed: int, count: int, vertex_count: int
) -> None:
    facets = _facets(np.random.default_rng(seed), count, vertex_count)
    expected: dict[tuple[int, bool], list[tuple[int, int, int]]] = {}
    for (low, high), members in naive.uses(facets).items():
        for f, c in members:
            expected.setdefault((low, naive.rises(facets, (f, c)) > 0), []).append((f, c, high))
    fits, highs, names, filled = _rows(facets, vertex_count)
    assert fits == all(len(row) <= ROW for row in expected.values())
    if not fits:
        return
    for v in range(vertex_count):
        keys, halves = np.zeros(2 * ROW, np.int64), np.zeros(2 * ROW, np.int32)
        both = []
        for up in (False, True):
            row = 2 * v + up
            slots = slice(ROW * row, ROW * row + int(filled[row]))
            found = [
                (name >> 2, name & 3, high)
                for name, high in zip(names[slots].tolist(), highs[slots].tolist(), strict=True)
            ]
            assert found == sorted(expected.get((v, up), []))
            both += found
        end = list_rows(v, facets, highs, names, filled, keys, halves)
        assert halves[:end].tolist() == [3 * f + c for f, c, _ in both]
        assert keys[:end].tolist() == [high << 32 | int(facets[f, (c + 2) % 3]) for f, c, high in both]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 20), st.sampled_from([4, 12, 60]))
def test_a_vertex_is_paired_where_each_edge_is_a_pair(seed: int, count: int, vertex_count: int) -> None:
    facets = _facets(np.random.default_rng(seed), count, vertex_count)
    fits, highs, names, filled = _rows(facets, vertex_count)
    if not fits:
        return
    links, expected = np.full((len(facets), 3), -9, np.int32), naive.links(facets)
    uses = naive.uses(facets)
    for v in range(vertex_count):
        edges = [members for (low, _), members in uses.items() if low == v]
        pairs = all(
            len(members) == 2
            and sum(naive.rises(facets, half) for half in members) == 0
            and all(naive.rises(facets, half) for half in members)
            and len({int(facets[f, (c + 2) % 3]) for f, c in members}) == 2
            for members in edges
        )
        assert pair_rows(np.uint64(v), facets, highs, names, filled, links) == pairs
        for edge in edges if pairs else []:
            assert all(links[f, c] == expected[f][c] for f, c in edge)


def test_the_last_place_of_a_row_counts() -> None:
    for spokes in (ROW, ROW + 1):
        rim = np.arange(1, spokes + 1, dtype=np.int32)
        facets = np.stack([np.zeros(spokes, np.int32), rim, np.roll(rim, -1)], axis=1)
        fits, highs, names, filled = _rows(facets, spokes + 1)
        assert fits == (spokes == ROW)
        if fits:
            links = np.full((spokes, 3), -9, np.int32)
            assert pair_rows(np.uint64(0), facets, highs, names, filled, links)
            assert links[:, 0].tolist() == np.roll(np.arange(spokes), 1).tolist()
            assert links[:, 2].tolist() == np.roll(np.arange(spokes), -1).tolist()


def test_facets_of_other_blocks_and_vertices_of_others() -> None:
    """Half-edges outside of the vertices 3 .. 5 are passed over, and facets that come from other blocks are entered."""
    facets = np.concatenate([np.full((4096, 3), 99), [[3, 4, 7], [4, 3, 8], [0, 4, 5], [5, 6, 7]]]).astype(np.int32)
    highs, names = np.zeros(4 * ROW, np.int32), np.zeros(4 * ROW, np.uint32)
    filled = np.zeros(4, np.uint8)
    incoming, start = np.array([0, 4097, 4096, 4098, 4099], np.int32), np.array([1, 5, 5])
    assert fill_rows(0, np.int32(3), np.int32(5), facets, incoming, start, highs, names, filled)
    assert filled.tolist() == [2, 2, 1, 2]
    assert highs[ROW : ROW + 2].tolist() == [8, 4]  # up from 3: of facet 4097, then of 4096
    assert (names[ROW : ROW + 2] >> 2).tolist() == [4097, 4096]
