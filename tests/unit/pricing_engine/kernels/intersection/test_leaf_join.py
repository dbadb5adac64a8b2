"""The join of leaves: every pair of facets that may meet, once, each leaf by itself, with bounded capacity and work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.fan_separation import fans_separated
from pricing_engine.kernels.intersection.leaf_join import Found, Joinable, join_chunk, work_units
from pricing_engine.kernels.intersection.pair_search import prepare_join
from pricing_engine.kernels.intersection.separating_plane import may_meet
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from tests.naive import self_intersection as naive
from tests.support.meshes import welded
from tests.support.triangle_soups import along_x, lattice_facets

_NEAR, _PLENTY = 1e-6, 1 << 40


def _prepared(corners: NDArray[np.float64]) -> tuple[Mesh, Bvh, Joinable]:
    mesh = welded(along_x(corners))
    bvh = build_bvh(mesh, 1)
    return mesh, bvh, prepare_join(mesh, bvh, 1, _NEAR)


def _join(
    mesh: Mesh, bvh: Bvh, by: Joinable, begin: int, end: int, capacity: int = 4096, limit: int = _PLENTY
) -> tuple[list[tuple[int, int]], int, NDArray[np.int64]]:
    """Return the pairs that leaves ``begin .. end``, one chunk, stored; how many they found; and their work."""
    keys, found, work = np.full(capacity, -1, np.int64), np.zeros(1, np.int64), np.zeros((1, 2), np.int64)
    output = Found(np.array([0, capacity]), keys, found, work)
    join_chunk(0, end - begin, 0, begin, mesh.vertices, mesh.facets, bvh, by, limit, output)
    stored = keys[: min(capacity, int(found[0]))].tolist()
    assert (keys[len(stored) :] == -1).all()
    return [(key >> 32, key & 0x7FFFFFFF) for key in stored], int(found[0]), work


def _fans_apart(mesh: Mesh, by: Joinable, leaf: int, other: int) -> bool:
    hub = by.hub[leaf]
    return bool(
        0 <= hub == by.hub[other]
        and leaf != other
        and fans_separated(leaf, other, hub, by.axis, mesh.vertices, mesh.facets, by.near)
    )


def _expected(mesh: Mesh, by: Joinable) -> set[tuple[int, int]]:
    corners = mesh.vertices[mesh.facets]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return {
        (f, g)
        for f in range(mesh.facet_count)
        for g in range(f + 1, mesh.facet_count)
        if (low[f] <= high[g]).all() and (low[g] <= high[f]).all()
        and may_meet(mesh.vertices, mesh.facets, f, g, by.near) and not _fans_apart(mesh, by, f // 8, g // 8)
    }  # fmt: skip


def _soup(rng: np.random.Generator, count: int, kind: str) -> NDArray[np.float64]:
    if kind == "fan":
        corners = lattice_facets(rng, count, 6, proper=True)
        corners[:, 0] = 3
        corners = corners[(corners[:, 1:] != 3).any(axis=2).all(axis=1)]
        return np.asarray(corners, np.float64)
    corners = lattice_facets(rng, count, 3 if kind == "dense" else 9, proper=True)
    if kind == "repeated":
        corners[::3] = corners[:1]
    return corners


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 50), st.sampled_from(["dense", "sparse", "fan", "repeated"]))
def test_pairs_are_those_that_overlap_and_no_plane_separates(seed: int, count: int, kind: str) -> None:
    corners = _soup(np.random.default_rng(seed), count, kind)
    if len(corners) == 0:
        return
    mesh, bvh, by = _prepared(corners)
    leaves = -(-mesh.facet_count // 8)
    pairs, found, work = _join(mesh, bvh, by, 0, leaves)
    assert len(set(pairs)) == len(pairs) == found
    # Where two angles at a shared corner are equally narrow, the bisector of either may be tried.
    for f, g in set(pairs) ^ _expected(mesh, by):
        assert len(np.intersect1d(mesh.facets[f], mesh.facets[g])) == 1
        assert (f, g) in pairs or not naive.meeting_pairs(mesh.vertices, mesh.facets[[f, g]])
    nodes, tested = work[0]
    assert nodes >= leaves
    assert tested >= found
    by_leaf = [pair for leaf in range(leaves) for pair in _join(mesh, bvh, by, leaf, leaf + 1)[0]]
    assert sorted(by_leaf) == sorted(pairs)


def test_no_pair_that_intersects_is_missing() -> None:
    mesh, bvh, by = _prepared(lattice_facets(np.random.default_rng(5), 40))
    pairs, _, _ = _join(mesh, bvh, by, 0, 5)
    meeting = naive.meeting_pairs(mesh.vertices, mesh.facets)
    assert len(meeting) > 50
    assert set(meeting) <= set(pairs)


def test_leaves_of_a_flat_fan_cost_a_test_each() -> None:
    angle = np.linspace(0, 2 * np.pi, 257)
    rim = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    rim[-1] = rim[0]
    corners = np.stack([np.zeros((256, 3)), rim[:-1], rim[1:]], axis=1)
    mesh = welded(corners)
    bvh = build_bvh(mesh, 1)
    by = prepare_join(mesh, bvh, 1, _NEAR)
    pairs, _, work = _join(mesh, bvh, by, 0, 32)
    assert set(pairs) == _expected(mesh, by)
    no_fans = by._replace(hub=np.full_like(by.hub, -1))
    again, _, more = _join(mesh, bvh, no_fans, 0, 32)
    assert sorted(again) == sorted(pairs)
    assert work[0, 1] < more[0, 1] / 4


@pytest.mark.parametrize("capacity", [1, 7, 50])
def test_pairs_without_room_are_counted(capacity: int) -> None:
    mesh, bvh, by = _prepared(lattice_facets(np.random.default_rng(6), 60))
    everything, found, work = _join(mesh, bvh, by, 0, 8)
    some, counted, same_work = _join(mesh, bvh, by, 0, 8, capacity)
    assert some == everything[:capacity]
    assert counted == found > 50
    assert np.array_equal(work, same_work)


def test_no_room_at_all_means_done_before() -> None:
    mesh, bvh, by = _prepared(lattice_facets(np.random.default_rng(6), 60))
    pairs, found, work = _join(mesh, bvh, by, 0, 8, capacity=0)
    assert (pairs, found) == ([], 0)
    assert not work.any()


def test_a_limit_ends_the_search_after_the_leaf_that_passes_it() -> None:
    mesh, bvh, by = _prepared(lattice_facets(np.random.default_rng(7), 64))
    first, _, work = _join(mesh, bvh, by, 0, 1)
    units = int(work_units(work[0, 0], work[0, 1]))
    assert units == work[0, 0] + 4 * work[0, 1]
    assert _join(mesh, bvh, by, 0, 8, limit=0)[0] == first
    assert _join(mesh, bvh, by, 0, 8, limit=units - 1)[0] == first
    assert len(_join(mesh, bvh, by, 0, 8, limit=units)[0]) > len(first)
