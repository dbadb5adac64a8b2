"""Bodies of a mesh: components over links, numbered by their first facet on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.topology.connected_components import label_bodies
from tests.naive import edges as naive


def _links(rng: np.random.Generator, count: int, share: float, reach: int) -> NDArray[np.int32]:
    """Links (F, 3): pairs of half-edges up to ``reach`` facets apart, cycles of three to five, and borders."""
    links = np.full((count, 3), -1, np.int32)
    halves = (np.argsort(np.arange(3 * count) + rng.random(3 * count) * reach)).tolist()
    while halves:
        size = min(int(rng.choice([1, 2, 2, 2, 2, 3, 5])), len(halves))
        members = [halves.pop() for _ in range(size)]
        if size == 1 or rng.random() > share:
            continue
        facets = [half // 3 for half in members]
        for half, other in zip(members, facets[1:] + facets[:1], strict=True):
            links[half // 3, half % 3] = (other if other != half // 3 else -1) if size == 2 else -2 - other
    return links


def _expected(links: NDArray[np.int32]) -> list[int]:
    pairs = [
        (facet, other if other >= 0 else -2 - other)
        for facet, row in enumerate(links.tolist())
        for other in row
        if other != -1
    ]
    return naive.numbered(naive.components(len(links), pairs))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([0.3, 0.8, 1.0]), st.sampled_from([9, 1000]))
def test_agrees_with_naive_twin(seed: int, count: int, share: float, reach: int) -> None:
    rng = np.random.default_rng(seed)
    links = _links(rng, count, share, reach)
    expected, cleared = _expected(links), np.maximum(links, -1)
    labels, bodies = label_bodies(links, 1)
    assert labels.tolist() == expected
    assert bodies == len(set(expected))
    assert np.array_equal(links, cleared)
    assert labels.dtype == np.int32


@pytest.mark.parametrize(("share", "reach"), [(0.9, 30_000), (1.0, 10)])
def test_links_across_blocks_are_the_same_on_any_threads(share: float, reach: int) -> None:
    links = _links(np.random.default_rng(reach), 2 * 8192 + 5, share, 3 * reach)
    expected = _expected(links)
    for threads in (1, 2, 7):
        labels, bodies = label_bodies(links.copy(), threads)
        assert labels.tolist() == expected
        assert bodies == max(expected) + 1


def test_a_chain_through_all_blocks_in_reverse_is_one_body() -> None:
    count = 2 * 8192 + 100
    links = np.full((count, 3), -1, np.int32)
    order = np.random.default_rng(2).permutation(count)
    links[order[1:], 0], links[order[:-1], 1] = order[:-1], order[1:]
    labels, bodies = label_bodies(links, 2)
    assert bodies == 1
    assert not labels.any()


def test_no_facets_and_facets_alone() -> None:
    assert label_bodies(np.empty((0, 3), np.int32), 2)[1] == 0
    labels, bodies = label_bodies(np.full((5, 3), -1, np.int32), 2)
    assert (labels.tolist(), bodies) == ([0, 1, 2, 3, 4], 5)
