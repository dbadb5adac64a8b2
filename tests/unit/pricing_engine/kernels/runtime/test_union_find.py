"""Disjoint sets: the least member is the root whatever the order, and finding shortens paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from pricing_engine.kernels.runtime.union_find import find, join


def _least_members(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return the least member of each node's set, by merging Python sets."""
    sets = [{node} for node in range(count)]
    for a, b in pairs:
        merged = sets[a] | sets[b]
        for node in merged:
            sets[node] = merged
    return [min(members) for members in sets]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@settings(max_examples=40)
@given(st.data(), st.integers(1, 25))
def test_the_root_is_the_least_member_whatever_the_order(dtype: DTypeLike, data: st.DataObject, count: int) -> None:
    node = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    for order in (pairs, pairs[::-1], [(b, a) for a, b in pairs]):
        parent = np.arange(count, dtype=dtype)
        for a, b in order:
            join(parent, a, b)
        assert (parent <= np.arange(count)).all()
        assert [find(parent, node) for node in range(count)] == _least_members(count, pairs)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_finding_halves_the_path(dtype: DTypeLike) -> None:
    parent = np.maximum(np.arange(65) - 1, 0).astype(dtype)  # a chain
    assert find(parent, 64) == 0
    assert parent[64:0:-2].tolist() == list(range(62, -1, -2))  # every other node skips one
    steps, node = 0, 64
    while parent[node] != node:
        node, steps = int(parent[node]), steps + 1
    assert steps == 32
    for _ in range(6):
        find(parent, 64)
    assert parent[64] == 0
