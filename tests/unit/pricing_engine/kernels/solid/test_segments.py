"""Segments where facets cross: the pairs of exact arithmetic, on both planes, directed by the inner side."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.segments import COS, SIN, mark_crossing, write_segments
from tests.naive.self_intersection import meeting_pairs
from tests.support.kernel_inputs import Floats, meshes, randoms, shells
from tests.support.meshes import welded

Pairs = NDArray[np.int32]


def all_pairs(count: int) -> tuple[Pairs, Pairs]:
    first, second = np.triu_indices(count, 1)
    return first.astype(np.int32), second.astype(np.int32)


def jittered(mesh: Mesh, random: np.random.Generator) -> Floats:
    """Vertices in general position: moved by far more than rounding, and far less than the lattice."""
    size = np.ptp(mesh.vertices, axis=0).max(initial=0.0)
    moved: Floats = mesh.vertices - mesh.vertices.mean(axis=0) + random.uniform(-1e-6, 1e-6, mesh.vertices.shape) * size
    return moved


def crossing_pairs(moved: Floats, mesh: Mesh, first: Pairs, second: Pairs) -> NDArray[np.bool_]:
    crossing = np.zeros(len(first), np.bool_)
    mark_crossing(0, len(first), moved, mesh.facets, first, second, np.empty((0, 4)), np.empty(0, np.int8), crossing)
    return crossing


def shared(mesh: Mesh, first: Pairs, second: Pairs) -> NDArray[np.int64]:
    """How many different vertices the facets of each pair share, 3 where one of them repeats a vertex."""
    facets = mesh.facets.tolist()
    return np.array(
        [
            3 if min(len(set(facets[i])), len(set(facets[j]))) < 3 else len(set(facets[i]) & set(facets[j]))
            for i, j in zip(first, second, strict=True)
        ],
        np.int64,
    )


@settings(max_examples=40)
@given(st.one_of(meshes(2, 12, far=False), shells(2, 3).map(lambda parts: welded(*parts))), randoms())
def test_pairs_that_cross_are_those_of_exact_arithmetic(mesh: Mesh, random: np.random.Generator) -> None:
    moved = jittered(mesh, random)
    first, second = all_pairs(mesh.facet_count)
    crossing, common = crossing_pairs(moved, mesh, first, second), shared(mesh, first, second)
    expected = set(meeting_pairs(moved, mesh.facets))
    decided = common < 2
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert [bool(x) for x in crossing[decided]] == [
        pair in expected for pair, at in zip(pairs, decided, strict=True) if at
    ]
    assert not crossing[~decided].any()
    assert np.array_equal(crossing_pairs(moved, mesh, second, first), crossing)


def in_space(point: Floats, corners: Floats) -> Floats:
    """The point of a facet's plane at plane coordinates."""
    v, w = COS * point[0] - SIN * point[1], SIN * point[0] + COS * point[1]
    placed: Floats = corners[0] + v * (corners[1] - corners[0]) + w * (corners[2] - corners[0])
    return placed


@settings(max_examples=40)
@given(st.one_of(meshes(2, 12, far=False), shells(2, 3).map(lambda parts: welded(*parts))), randoms())
def test_segments_lie_in_both_facets_with_the_inner_side_of_the_other_on_their_left(
    mesh: Mesh, random: np.random.Generator
) -> None:
    moved = jittered(mesh, random)
    first, second = all_pairs(mesh.facet_count)
    crossing = crossing_pairs(moved, mesh, first, second)
    first, second = first[crossing], second[crossing]
    count = len(first)
    rows = random.permutation(2 * count)
    out, flags = np.full((2 * count, 4), np.nan), np.zeros(2 * count, np.int8)
    write_segments(0, count, moved, mesh.facets, first, second, rows[:count], rows[count:], out, flags)
    assert np.isfinite(out).all()
    size = np.abs(moved).max(initial=0.0)
    for k in range(count):
        placed = []
        for f, row in ((first[k], rows[k]), (second[k], rows[count + k])):
            corners, segment = moved[mesh.facets[f]], out[row].reshape(2, 2)
            weights = np.array([[COS * x - SIN * y, SIN * x + COS * y] for x, y in segment])
            assert weights.min() >= -1e-6
            assert weights.sum(axis=1).max() <= 1 + 1e-6
            for side in range(2):
                if flags[row] >> side & 1:
                    assert abs(weights[side, 1]) < 1e-12  # on ab
            placed.append(np.array([in_space(at, corners) for at in segment]))
        start, end = placed[0]
        # what is the start in one facet is the end in the other
        np.testing.assert_allclose(placed[0][::-1], placed[1], atol=1e-4 * size)
        one, two = (np.cross(c[1] - c[0], c[2] - c[0]) for c in (moved[mesh.facets[f]] for f in (first[k], second[k])))
        left = np.cross(one, end - start)
        scale = np.linalg.norm(one) * np.linalg.norm(two) * size
        assert left @ -two >= -1e-5 * scale
        assert np.cross(two, start - end) @ -one >= -1e-5 * scale


def test_a_facet_through_another_has_the_segment_of_its_closed_form() -> None:
    """The second facet's inner side is +x, so that its segment in the first one runs towards -y, and ends on ab."""
    moved = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [1, -1, -1], [1, -1, 1], [1, 5, 0.1]])
    mesh = Mesh(moved, np.array([[0, 1, 2], [3, 4, 5]], np.int32))
    first, second = all_pairs(2)
    assert crossing_pairs(moved, mesh, first, second).tolist() == [True]
    out, flags = np.empty((2, 4)), np.zeros(2, np.int8)
    write_segments(0, 1, moved, mesh.facets, first, second, np.array([0]), np.array([1]), out, flags)
    np.testing.assert_allclose(
        [in_space(end, moved[:3]) for end in out[0].reshape(2, 2)], [[1, 3, 0], [1, 0, 0]], atol=1e-12
    )
    np.testing.assert_allclose(
        [in_space(end, moved[3:]) for end in out[1].reshape(2, 2)], [[1, 0, 0], [1, 3, 0]], atol=1e-12
    )
    assert flags.tolist() == [2, 0]
