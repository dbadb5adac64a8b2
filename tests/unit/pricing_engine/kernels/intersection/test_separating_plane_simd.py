"""The filter for eight pairs at once: the planes through edges, the bisector at a shared corner, one by one else."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.separating_plane import LINEAR, may_meet
from pricing_engine.kernels.intersection.separating_plane_simd import (
    COUNT,
    MORE_SHARED,
    NONE_SHARED,
    ONE_SHARED,
    PAIR_ROWS,
    may_meet8,
)
from pricing_engine.kernels.mesh import Mesh
from tests.naive import planes
from tests.naive import self_intersection as exact
from tests.support.meshes import unwelded
from tests.support.triangle_soups import lattice_facets

Vector = tuple[float, ...]


def _meet(kind: int, mesh: Mesh, pairs: list[tuple[int, int]], near: float, reach: float) -> list[bool]:
    row = np.full(COUNT + 1, -1, np.int64)
    row[: len(pairs)], row[COUNT] = [f << 32 | g for f, g in pairs], len(pairs)
    mask = may_meet8(kind, mesh.vertices, mesh.facets, row, near, reach, np.full((PAIR_ROWS, 8), 5.0))
    assert mask >> len(pairs) == 0
    return [bool(mask >> lane & 1) for lane in range(len(pairs))]


def _interiors_meet(corners: NDArray[np.float64]) -> bool:
    one, other = ([tuple(Fraction(float(x)) for x in corner) for corner in facet] for facet in corners)
    return exact.interiors_meet(one, other)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 8), st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 2.0**20]))
def test_facets_apart_are_those_with_a_gap_beside_an_edge(seed: int, count: int, near: float, offset: float) -> None:
    """Exact on whole numbers, where ties are not separated."""
    corners = lattice_facets(np.random.default_rng(seed), 2 * count, side=4)
    mesh = unwelded(corners + offset)
    found = _meet(NONE_SHARED, mesh, [(i, count + i) for i in range(count)], near, 4.0)
    assert found == [not planes.edge_gap(corners[i], corners[count + i], near) for i in range(count)]
    assert all(meet or not _interiors_meet(corners[[i, count + i]]) for i, meet in enumerate(found))


def _dot(u: Vector, v: Vector) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def _bisector_separates(u: list[Vector], w: list[Vector], margin: float) -> bool:
    """Return whether the plane that halves the narrowest angle of a leg u and a leg w has u and w on its sides."""
    best, d = -2.0, (0.0, 0.0, 0.0)
    units = [
        [tuple(x / math.sqrt(_dot(leg, leg)) for x in leg) if any(leg) else None for leg in legs] for legs in (u, w)
    ]
    for a in units[0]:
        for b in units[1]:
            if a and b and _dot(a, b) > best:
                best, d = _dot(a, b), (a[0] - b[0], a[1] - b[1], a[2] - b[2])
    margin *= abs(d[0]) + abs(d[1]) + abs(d[2])
    return min(_dot(d, leg) for leg in u) > margin and max(_dot(d, leg) for leg in w) < -margin


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 8), st.sampled_from([0.0, 0.25]), st.sampled_from(["lattice", "loose"]))
def test_facets_at_a_shared_corner_are_those_that_the_bisector_leaves(
    seed: int, count: int, near: float, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    corners = lattice_facets(rng, 2 * count, 4) if kind == "lattice" else rng.normal(size=(2 * count, 3, 3))
    mesh = unwelded(corners)
    for i in range(count):
        mesh.facets[count + i, rng.integers(0, 3)] = mesh.facets[i, rng.integers(0, 3)]
    found = _meet(ONE_SHARED, mesh, [(i, count + i) for i in range(count)], near, 4.0)
    for i, meet in enumerate(found):
        f, g = mesh.facets[i].tolist(), mesh.facets[count + i].tolist()
        (hub,) = set(f) & set(g)
        legs = []
        for facet in (f, g):
            at = facet.index(hub)
            legs.append([tuple((mesh.vertices[facet[(at + k) % 3]] - mesh.vertices[hub]).tolist()) for k in (1, 2)])
        assert meet == (not _bisector_separates(legs[0], legs[1], near + LINEAR * 4.0))
        if not meet:
            assert not _interiors_meet(mesh.vertices[[f, g]])


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 8), st.sampled_from([0.0, 0.25]))
def test_facets_at_a_shared_edge_are_tested_one_by_one(seed: int, count: int, near: float) -> None:
    rng = np.random.default_rng(seed)
    mesh = unwelded(lattice_facets(rng, 2 * count, 4, proper=True))
    for i in range(count):
        mesh.facets[count + i, :2] = mesh.facets[i, [1, 0]]
    pairs = [(i, count + i) for i in range(count)]
    expected = [bool(may_meet(mesh.vertices, mesh.facets, f, g, near)) for f, g in pairs]
    assert _meet(MORE_SHARED, mesh, pairs, near, 4.0) == expected
    assert all(meet or not _interiors_meet(mesh.vertices[mesh.facets[[f, g]]])
               for meet, (f, g) in zip(expected, pairs, strict=True))  # fmt: skip


@pytest.mark.parametrize(("height", "meets"), [(3.0, True), (4.0, True), (4.5, False)])
def test_a_gap_must_exceed_the_distance(height: float, meets: bool) -> None:
    """Two facets in planes at right angles, ``height - 3`` apart along an axis, with 1 as near."""
    upper = [[0, 0, height], [4, 0, height], [2, 0, height + 2]]
    lower = [[0, 0, 3], [4, 0, 3], [2, 0, 1]]
    mesh = unwelded(np.array([upper, lower], float))
    assert _meet(NONE_SHARED, mesh, [(0, 1)] * 8, 1.0, 8.0) == [meets] * 8
