"""All pairs of facets that meet or nearly do: sorted, complete or none at all, the same in parts and on any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection import pair_search
from pricing_engine.kernels.intersection.leaf_join import GRAIN_LEAVES
from pricing_engine.kernels.intersection.pair_search import (
    Joined,
    Pairs,
    boxes_of_facets,
    find_pairs,
    join_leaves,
    prepare_join,
    sort_pairs,
)
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.naive import self_intersection as naive
from tests.support.meshes import unwelded, welded
from tests.support.triangle_soups import along_x, lattice_facets


def _pairs(mesh: Mesh, threads: int = 1, near: float = pair_search.NEAR) -> list[tuple[int, int]]:
    pairs = find_pairs(mesh, build_bvh(mesh, threads), threads, near)
    assert pairs.complete
    assert pairs.same is None
    listing = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert listing == sorted(set(listing))
    assert all(first < second for first, second in listing)
    return listing


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from([3, 8]), st.sampled_from([(1.0, 0.0), (0.1, 1e6)]))
def test_holds_what_intersects_and_what_touches(seed: int, count: int, side: int, place: tuple[float, float]) -> None:
    corners = along_x(lattice_facets(np.random.default_rng(seed), count, side, proper=True))
    mesh = welded(corners * place[0] + place[1])
    found = set(_pairs(mesh))
    assert set(naive.meeting_pairs(mesh.vertices, mesh.facets)) <= found
    for f in range(count):  # a corner of one facet on a corner of another, with vertices of their own
        for g in range(f + 1, count):
            distant = np.abs(corners[f].mean(axis=0) - corners[g].mean(axis=0)).max() > 2 * side
            assert not distant or (f, g) not in found
    soup = unwelded(mesh.vertices[mesh.facets])
    touching = {
        (f, g)
        for f in range(count)
        for g in range(f + 1, count)
        if (corners[f][:, None] == corners[g][None]).all(axis=2).any()
    }
    assert touching <= set(_pairs(soup))


@pytest.mark.parametrize(("gap", "near", "found"), [(1e-7, 1e-6, True), (1e-4, 1e-6, False), (1e-4, 1e-3, True)])
def test_near_is_relative_to_the_size_of_the_model(gap: float, near: float, found: bool) -> None:
    for size in (1e-3, 1.0, 1e4):
        corners = np.array([[[0, 0, 0], [4, 0, 0], [0, 4, 0]], [[0, 0, gap], [4, 0, gap], [0, 4, gap]]]) * size
        assert (len(_pairs(unwelded(corners), near=near)) > 0) == found


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.0, 0.01, 0.5]))
def test_boxes_of_facets_hold_them_with_a_margin(seed: int, count: int, near: float) -> None:
    mesh = welded(along_x(lattice_facets(np.random.default_rng(seed), count)) * 0.1 + 3)
    bvh = build_bvh(mesh, 1)
    boxes, distance = boxes_of_facets(bvh, near, 2)
    low, high = mesh.box()
    half = float((high - low).max()) / 2
    assert distance == pytest.approx(near * half, rel=1e-5)
    corners = mesh.vertices[mesh.facets] - bvh.centre
    flat = boxes.transpose(0, 2, 1).reshape(-1, 6)
    slack = near * half * 1e-5 + half * 2.0**-20
    for box, facet in zip(flat[:count].astype(float), corners, strict=True):
        inner, outer = facet.min(axis=0) - distance, facet.max(axis=0) + distance
        assert (box[:3] <= inner).all()
        assert (box[:3] >= inner - slack).all()
        assert (box[3:] >= outer).all()
        assert (box[3:] <= outer + slack).all()
    assert not (flat[count:, :3] <= flat[count:, 3:]).any()  # padding overlaps nothing


def _dense(count: int) -> Mesh:
    rng = np.random.default_rng(count)
    corners = rng.random((count, 1, 3)) * [9, 1, 1] + rng.normal(size=(count, 3, 3)) * 0.15
    return unwelded(along_x(corners))


def test_parts_are_the_whole_on_any_threads() -> None:
    mesh = _dense(2 * 8 * GRAIN_LEAVES + 300)
    everything = _pairs(mesh)
    assert len(everything) > 3 * 4096
    bvh = build_bvh(mesh, 1)
    leaves = bvh.corners.shape[1] // 8
    for threads in (2, 7):
        by = prepare_join(mesh, bvh, threads)
        parts = [
            join_leaves(lo, min(lo + GRAIN_LEAVES, leaves), threads, mesh, bvh, by)
            for lo in range(0, leaves, GRAIN_LEAVES)
        ]
        assert all(part.spent > 0 for part in parts)
        pairs = sort_pairs(mesh, parts[::-1], threads)
        assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == everything


def _is_empty(pairs: Pairs) -> bool:
    return not pairs.complete and len(pairs.first) == len(pairs.second) == 0 and pairs.same is None


def test_too_many_pairs_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = unwelded(along_x(np.random.default_rng(1).normal(size=(60, 3, 3))))
    bvh = build_bvh(mesh, 1)
    count = len(_pairs(mesh))
    monkeypatch.setattr(pair_search, "MAX_PAIRS_PER_FACET", 0)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", count)
    assert len(_pairs(mesh)) == count
    monkeypatch.setattr(pair_search, "MAX_PAIRS", count - 1)
    assert _is_empty(find_pairs(mesh, bvh, 1))


def test_too_much_work_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = unwelded(along_x(np.random.default_rng(1).normal(size=(60, 3, 3))))
    bvh = build_bvh(mesh, 1)
    leaves = bvh.corners.shape[1] // 8
    part = join_leaves(0, leaves, 1, mesh, bvh, prepare_join(mesh, bvh, 1))
    monkeypatch.setattr(pair_search, "WORK_PER_FACET", 0.0)
    for limit, complete in ((part.spent, True), (part.spent - 1, False)):
        monkeypatch.setattr(pair_search, "MIN_WORK", limit)
        monkeypatch.setattr(pair_search, "MIN_CHUNK_WORK", limit)
        assert find_pairs(mesh, bvh, 1).complete == complete
        assert sort_pairs(mesh, [part], 1).complete == complete
    monkeypatch.undo()
    assert _is_empty(sort_pairs(mesh, [part, Joined(None, 1)], 1))


def _repeated(times: int) -> tuple[Mesh, NDArray[np.int32]]:
    """Facets ``times`` over, in turned orders, and the first facet with the vertices of each."""
    corners = along_x(np.random.default_rng(2).normal(size=(9, 3, 3)))
    mesh = unwelded(corners)
    facets = np.concatenate([np.roll(mesh.facets, turn, axis=1) for turn in range(times)])
    order = np.argsort(np.arange(len(facets)) % 9, kind="stable")
    return Mesh(mesh.vertices, np.ascontiguousarray(facets[order])), np.repeat(np.arange(9) * times, times).astype(
        np.int32
    )


def test_where_facets_repeat_the_pairs_are_of_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, same = _repeated(6)
    everything = _pairs(mesh)
    monkeypatch.setattr(pair_search, "MAX_PAIRS_PER_FACET", 0)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 40)
    pairs = find_pairs(mesh, build_bvh(mesh, 1), 2)
    assert pairs.complete
    assert pairs.same is not None
    assert pairs.same.tolist() == same.tolist()
    expected = [(f, g) for f, g in everything if same[f] == f and same[g] == g]
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 1)
    assert _is_empty(find_pairs(mesh, build_bvh(mesh, 1), 2))
