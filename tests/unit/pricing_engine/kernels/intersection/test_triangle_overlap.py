"""Whether the interiors of two facets meet: exact, symmetric and the same for any order of corners."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.triangle_overlap import interiors_meet
from pricing_engine.kernels.mesh import Mesh
from tests.naive import self_intersection as naive
from tests.support.meshes import unwelded, welded
from tests.support.triangle_soups import lattice_facets


def _expected(corners: NDArray[np.float64]) -> bool:
    one, other = ([tuple(Fraction(float(x)) for x in corner) for corner in facet] for facet in corners)
    return naive.interiors_meet(one, other)


def _found(mesh: Mesh) -> bool:
    """Return the answer for facets 0 and 1, which is that for 1 and 0."""
    meet = interiors_meet(mesh.vertices, mesh.facets, 0, 1)
    assert interiors_meet(mesh.vertices, mesh.facets, 1, 0) == meet
    return bool(meet)


def _pair(rng: np.random.Generator, kind: str) -> NDArray[np.float64]:
    corners = lattice_facets(rng, 2)
    if kind == "one plane":
        corners[:, :, rng.integers(0, 3)] = 1
    if kind == "shared corner":
        corners[1, rng.integers(0, 3)] = corners[0, rng.integers(0, 3)]
    if kind == "shared edge":
        corners[1, :2] = corners[0, [1, 0]]
    if kind == "nearly one plane":
        corners[:, :, 2] = corners[:, :, 0] / 3
        corners *= np.where(rng.random(corners.shape) < 0.2, 1 + 2.0**-52, 1.0)
    return corners


@settings(max_examples=100)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["any", "one plane", "shared corner", "shared edge", "nearly one plane"]),
    st.sampled_from([(1.0, 0.0), (0.1, 0.0), (1.0, 2.0**40), (1e-20, 0.0)]),
)
def test_agrees_with_exact_twin(seed: int, kind: str, place: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    corners = _pair(rng, kind) * place[0] + place[1]
    expected = _expected(corners)
    assert _found(unwelded(corners)) == expected
    assert _found(welded(corners)) == expected


@pytest.mark.parametrize("kind", ["any", "one plane", "shared corner", "shared edge"])
def test_both_answers_are_common_and_no_order_of_corners_matters(kind: str) -> None:
    rng = np.random.default_rng(3)
    answers = []
    for _ in range(30):
        corners = _pair(rng, kind)
        expected = _expected(corners)
        for one, other in zip(permutations(range(3)), list(permutations(range(3)))[::-1], strict=True):
            assert _found(welded(np.stack([corners[0][list(one)], corners[1][list(other)]]))) == expected
        answers.append(expected)
    assert 0 < sum(answers) < 30


def test_a_facet_meets_itself_unless_it_has_no_area() -> None:
    for corners, meets in (([[0, 0, 0], [4, 0, 0], [0, 4, 0]], True), ([[0, 0, 0], [4, 0, 0], [2, 0, 0]], False)):
        assert _found(unwelded(np.array([corners, corners], float))) == meets
        assert _found(welded(np.array([corners, corners[::-1]], float))) == meets


@pytest.mark.parametrize(("height", "meets"), [(-1e-300, True), (0.0, False), (1e-300, False)])
def test_a_vertex_at_a_face_meets_it_if_it_is_beyond_by_anything(height: float, meets: bool) -> None:
    base = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    spike = [[1, 1, height], [1, 1, 4], [2, 1, 4]]
    assert _found(unwelded(np.array([base, spike], float) * 1e200 / 1e200)) == meets
