"""One facet against the eight of a leaf: separated by the plane of one of them exactly where that keeps them apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.facet_planes import LEAF_ROWS, gather8, separated8
from pricing_engine.kernels.mesh import Mesh
from tests.naive import planes as naive
from tests.support.compiled import compiled
from tests.support.meshes import welded
from tests.support.triangle_soups import lattice_facets

Doubles = NDArray[np.float64]


@compiled
def _masks(
    leaf: int, vertices: Doubles, facets: NDArray[np.int32], g: int, near: float, reach: float, rows: Doubles,
    masks: NDArray[np.int64],
) -> None:  # fmt: skip
    gather8(leaf, vertices, facets, near, reach, rows)
    masks[0], masks[1], masks[2] = separated8(rows, vertices, facets, g, near, reach)


def _lanes(mesh: Mesh, leaf: int, g: int, near: float) -> list[tuple[bool, bool, bool]]:
    """Return separated, touching and sharing an edge, for each facet of the leaf."""
    low, high = mesh.box()
    masks = np.empty(3, np.int64)
    _masks(leaf, mesh.vertices, mesh.facets, g, near, float((high - low).max()), np.zeros((LEAF_ROWS, 8)), masks)
    count = min(8, mesh.facet_count - 8 * leaf)
    separated, touching, edge = masks.tolist()
    return [(bool(separated >> i & 1), bool(touching >> i & 1), bool(edge >> i & 1)) for i in range(count)]


def _expected(mesh: Mesh, f: int, g: int, near: float) -> tuple[bool, bool, bool]:
    one, other = mesh.facets[f], mesh.facets[g]
    shared = sum(v in other.tolist() for v in one.tolist())
    by_f, by_g = (naive.keeps_apart(mesh.vertices, a, b, near) for a, b in ((one, other), (other, one)))
    separated = (by_f and by_g) if shared >= 2 else (by_f or by_g)
    return separated and shared < 3, shared > 0, shared > 1


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 16), st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 2.0**20]))
def test_lattice_facets_are_separated_where_exact_arithmetic_separates_them(
    seed: int, count: int, near: float, offset: float
) -> None:
    """On whole numbers heights are exact, and so is the answer but for ties, which are not separated."""
    mesh = welded(lattice_facets(np.random.default_rng(seed), count) + offset)
    for leaf in range(-(-count // 8)):
        for g in (0, count - 1):
            found = _lanes(mesh, leaf, g, near)
            assert found == [_expected(mesh, 8 * leaf + i, g, near) for i in range(len(found))]


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([1e-9, 1.0, 1e5]), st.sampled_from([0.0, 1e-6, 0.1]))
def test_loose_facets_are_never_separated_wrongly(seed: int, size: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(8, 3, 3)) * size
    corners[1:4, 0] = corners[0, 0]
    corners[4, :2] = corners[0, :2]
    corners[5] = corners[0] + rng.normal(size=(3, 3)) * size * 1e-15
    mesh = welded(corners)
    near = share * size
    for f, (separated, touching, edge) in enumerate(_lanes(mesh, 0, 0, near)):
        expected = _expected(mesh, f, 0, near)
        assert (touching, edge) == expected[1:]
        assert expected[0] or not separated
        if _expected(mesh, f, 0, near + 1e-9 * size)[0]:
            assert separated
