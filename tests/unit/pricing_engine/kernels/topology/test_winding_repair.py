"""Repair's traversals: which facets may repeat others, the fewest flips of each patch, and renumbering."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.topology.winding_repair import may_repeat, minority_flips, renumber
from tests.naive import edges as naive

Ints = NDArray[np.int32]


def _neighbours(facets: Ints) -> Ints:
    return np.maximum(np.array(naive.links(facets), np.int32).reshape(-1, 3), -1)


def _soup(rng: np.random.Generator, count: int, vertex_count: int) -> Ints:
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    return np.concatenate([facets, facets[::4], facets[::5, ::-1]])


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 25))
def test_no_facet_that_repeats_another_is_excluded(seed: int, count: int, vertex_count: int) -> None:
    facets = _soup(np.random.default_rng(seed), count, vertex_count)
    neighbours = _neighbours(facets)
    found = may_repeat(facets, neighbours)
    sets = [frozenset(facet) for facet in facets.tolist()]
    multisets = [tuple(sorted(facet)) for facet in facets.tolist()]
    for facet, row in enumerate(neighbours.tolist()):
        assert found[facet] == all(other < 0 or sets[facet] <= sets[other] for other in row)
        if multisets.count(multisets[facet]) > 1:
            assert found[facet]


def _patches(facets: Ints, neighbours: Ints) -> list[list[int]]:
    pairs = [(f, g) for f, row in enumerate(neighbours.tolist()) for g in row if g >= 0]
    root = naive.components(len(facets), pairs)
    return [[f for f in range(len(facets)) if root[f] == name] for name in sorted(set(root))]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from(["sphere", "open", "two", "torus"]))
def test_random_flips_are_undone_by_the_fewest_flips(seed: int, share: float, kind: str) -> None:
    rng = np.random.default_rng(seed)
    solid = trimesh.creation.torus(3, 1, major_sections=5, minor_sections=4) if kind == "torus" else (
        trimesh.creation.icosphere(1)
    )  # fmt: skip
    original = solid.faces.astype(np.int32)
    if kind == "open":
        original = original[rng.random(len(original)) < 0.8]
    if kind == "two":
        original = np.concatenate([original, original + len(solid.vertices)])
    original = original[rng.permutation(len(original))]
    turned = rng.random(len(original)) < share
    facets = np.where(turned[:, None], original[:, ::-1], original)
    facets = np.array(
        [np.roll(facet, shift) for facet, shift in zip(facets, rng.integers(0, 3, len(facets)), strict=True)]
    )
    facets = np.ascontiguousarray(facets, np.int32)
    neighbours = _neighbours(facets)
    flip = minority_flips(facets, neighbours).astype(bool)
    for patch in _patches(facets, neighbours):
        count, expected = int(turned[patch].sum()), turned[patch]
        if 2 * count > len(patch) or (2 * count == len(patch) and turned[patch[0]]):
            expected = ~expected
        assert np.array_equal(flip[patch], expected)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(2, 25))
def test_any_soup_has_no_more_flips_than_half_of_each_patch(seed: int, count: int, vertex_count: int) -> None:
    facets = _soup(np.random.default_rng(seed), count, vertex_count)
    neighbours = _neighbours(facets)
    flip = minority_flips(facets, neighbours)
    assert set(flip.tolist()) <= {0, 1}
    for patch in _patches(facets, neighbours):
        assert 2 * int(flip[patch].sum()) <= len(patch)
        assert len(patch) > 1 or not flip[patch[0]]


@pytest.mark.parametrize("first", [0, 1])
def test_a_tie_leaves_the_first_facet(first: int) -> None:
    facets = np.array([[0, 1, 2], [1, 2, 3]], np.int32)[[first, 1 - first]]
    assert minority_flips(facets, _neighbours(facets)).tolist() == [0, 1]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 25))
def test_vertices_are_numbered_by_first_appearance(seed: int, count: int, vertex_count: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, facets = rng.random((vertex_count, 3)), rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    moved, renumbered = renumber(vertices, facets)
    used = list(dict.fromkeys(facets.ravel().tolist()))
    assert moved.tolist() == vertices[used].tolist()
    assert renumbered.ravel().tolist() == [used.index(v) for v in facets.ravel().tolist()]
    assert renumbered.dtype == np.int32
    again, unchanged = renumber(moved, renumbered)
    assert np.array_equal(again, moved)
    assert np.array_equal(unchanged, renumbered)
