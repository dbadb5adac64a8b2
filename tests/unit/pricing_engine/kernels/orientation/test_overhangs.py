"""Area vectors, overhanging areas of many directions, and triangles bisected to samples that share their area."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.overhangs import (
    OVERHANG_COSINE,
    add_overhangs,
    area_vectors,
    split_triangles,
)
from pricing_engine.kernels.runtime.search_counters import PAIRS, work_array
from tests.support.kernel_inputs import Floats, meshes, normals_of, randoms, triangles

Singles = NDArray[np.float32]


def vectors_of(mesh: Mesh) -> Singles:
    areas = np.full((4, mesh.facet_count), np.nan, np.float32)
    area_vectors(0, mesh.facet_count, mesh.vertices, mesh.facets, areas)
    return areas


@settings(max_examples=50)
@given(meshes(0, 20))
def test_area_vectors_are_half_the_cross_product(mesh: Mesh) -> None:
    corners = mesh.vertices[mesh.facets]
    vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    expected = np.vstack([vectors.T, np.linalg.norm(vectors, axis=1)])
    np.testing.assert_allclose(vectors_of(mesh), expected, rtol=2e-7, atol=1e-9 * (1 + np.abs(vectors).max(initial=0)))


@settings(max_examples=50)
@given(meshes(1, 20, far=False), randoms(), st.integers(1, 6))
def test_overhangs_agree_with_the_naive_twin(mesh: Mesh, random: np.random.Generator, count: int) -> None:
    corners = mesh.vertices[mesh.facets]
    down = np.concatenate([np.eye(3), -np.eye(3), random.normal(size=(6, 3))])[random.permutation(12)[:count]]
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    uncut = random.integers(0, 3, mesh.facet_count).astype(np.int8)
    depth = corners @ down.T
    rest = random.choice(depth.reshape(-1, count), 1)[0]
    totals = np.zeros((3, count))
    grain = -(-mesh.facet_count // 3)
    for lo in range(0, mesh.facet_count, grain):
        hi = min(lo + grain, mesh.facet_count)
        add_overhangs(
            lo,
            hi,
            grain,
            mesh.vertices,
            mesh.facets,
            uncut,
            np.ascontiguousarray(down.T),
            rest,
            OVERHANG_COSINE,
            totals,
        )
    double = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(double, axis=1) / 2
    along, least = normals_of(corners) @ down.T, depth.min(axis=1)
    size = np.abs(corners).max()
    undecided = (np.abs(along - OVERHANG_COSINE) < 1e-9) | (np.abs(least - rest) < 1e-12 * size)
    meant = (along > OVERHANG_COSINE) & (least < rest) & (uncut == 1)[:, None]
    clear = ~(undecided & (uncut == 1)[:, None]).any(axis=0)
    for d in np.flatnonzero(clear):
        assert totals[:, d].sum() == pytest.approx(area[meant[:, d]].sum(), rel=1e-9, abs=1e-12 * area.sum())


def naive_split(corners: Singles, spacing: np.float32) -> list[tuple[Singles, float]]:
    """Middle and share of the triangles that bisection at the longest edge leaves, depth first."""
    edges = [corners[0] - corners[1], corners[1] - corners[2], corners[2] - corners[0]]
    squares = [np.float32(np.float32(e[0] * e[0] + e[1] * e[1]) + e[2] * e[2]) for e in edges]
    longest = max(squares)
    if not longest > spacing * spacing:
        a, b, c = corners
        return [(((a + b) + c) * np.float32(1 / 3), 1.0)]
    k = squares.index(longest)
    middle = (corners[k] + corners[(k + 1) % 3]) * np.float32(0.5)
    first, second = corners.copy(), corners.copy()
    first[(k + 1) % 3], second[k] = middle, middle
    return [(at, share / 2) for half in (first, second) for at, share in naive_split(half, spacing)]


def split(
    corners: Singles, areas: Singles, spacing: float, max_samples: int
) -> tuple[NDArray[np.int32], Singles, list[int]]:
    """Samples a triangle, the samples, and their owners."""
    count, grain = areas.shape[1], max(1, areas.shape[1])
    counts, work = np.zeros(count, np.int32), work_array(count, grain)
    arguments = corners, areas, np.float32(spacing), max_samples
    nothing = np.empty((7, 0), np.float32), np.empty(0, np.int32)
    split_triangles(0, count, grain, *arguments, counts, *nothing, work)
    assert work[:, PAIRS].sum() == counts.sum()
    if counts.sum() > max_samples:
        return counts, nothing[0], []
    first = (np.cumsum(counts) - counts).astype(np.int32)
    samples, owner = np.empty((7, int(counts.sum())), np.float32), np.empty(int(counts.sum()), np.int32)
    split_triangles(0, count, grain, *arguments, first, samples, owner, work)
    return counts, samples, owner.tolist()


def singles(corners: Floats) -> tuple[Singles, Singles]:
    packed = np.ascontiguousarray(corners.reshape(-1, 9).T, np.float32)
    vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    return packed, np.vstack([vectors.T, np.linalg.norm(vectors, axis=1)]).astype(np.float32)


@settings(max_examples=30)
@given(triangles(0, 6, far=False), st.floats(0.2, 3))
def test_bisection_agrees_with_the_naive_twin(corners: Floats, part: float) -> None:
    size = float(np.abs(corners).max(initial=1e-3))
    packed, areas = singles(corners)
    counts, samples, owner = split(packed, areas, part * size / 2, 1 << 20)
    at = 0
    for triangle in range(len(corners)):
        expected = naive_split(packed[:, triangle].reshape(3, 3), np.float32(part * size / 2))
        assert counts[triangle] == len(expected)
        for middle, share in expected:
            assert owner[at] == triangle
            assert samples[:3, at] == pytest.approx(middle, abs=1e-5 * size)
            assert samples[3:, at].tolist() == (areas[:, triangle] * np.float32(share)).tolist()
            at += 1
    shares = np.zeros((4, len(corners)))
    np.add.at(shares.T, owner, samples[3:].T.astype(np.float64))
    np.testing.assert_allclose(shares, areas, rtol=1e-5, atol=1e-30)


def test_a_right_triangle_is_halved_as_often_as_needed() -> None:
    packed, areas = singles(np.array([[[0.0, 0, 0], [8, 0, 0], [0, 8, 0]]]))
    for spacing, expected in ((20.0, 1), (8.5, 2), (7.0, 4), (5.0, 8), (2.9, 16)):
        assert split(packed, areas, spacing, 1 << 20)[0].tolist() == [expected]


def test_counting_ends_beyond_the_limit() -> None:
    packed, areas = singles(np.array([[[0.0, 0, 0], [8, 0, 0], [0, 8, 0]]] * 5))
    counts, _, _ = split(packed, areas, 0.5, 100)
    assert 100 < counts.sum() <= 102
    assert counts[-1] <= 1


def test_a_sliver_without_end_is_at_most_as_deep_as_the_stack() -> None:
    packed, areas = np.zeros((9, 1), np.float32), np.ones((4, 1), np.float32)
    packed[3], packed[7] = np.inf, 1
    counts, _, _ = split(packed, areas, 1.0, 1000)
    assert counts[0] > 100
