"""Facets on the same vertices and facets without area: exact, whatever the order of corners."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.intersection.equal_facets import first_equals, have_area
from pricing_engine.kernels.mesh import Mesh
from tests.naive import planes as naive
from tests.support.meshes import unwelded, welded
from tests.support.triangle_soups import lattice_facets


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=40))
def test_the_first_of_equals_is_that_of_a_dictionary(facets: list[tuple[int, int, int]]) -> None:
    firsts: dict[tuple[int, ...], int] = {}
    expected = [firsts.setdefault(tuple(sorted(facet)), number) for number, facet in enumerate(facets)]
    found = first_equals(np.array(facets, np.int32).reshape(-1, 3))
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_every_order_of_corners_is_the_same_facet() -> None:
    facets = np.array([[7, 7, 3], *permutations((1, 2, 3)), [7, 3, 3], [3, 7, 7]], np.int32)
    assert first_equals(facets).tolist() == [0, 1, 1, 1, 1, 1, 1, 7, 0]


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.integers(0, 40),
    st.sampled_from([(1.0, 0.0), (0.1, 0.0), (1 / 3, 0.7), (1.0, 1e15), (1e-20, 0.0)]),
    st.booleans(),
)
def test_area_is_exact(seed: int, count: int, place: tuple[float, float], shared: bool) -> None:
    """Where rounding would decide: corners on one line up to the last bit."""
    rng = np.random.default_rng(seed)
    corners = lattice_facets(rng, count)
    corners[::3, 2] = 2 * corners[::3, 1] - corners[::3, 0]
    corners = corners * place[0] + place[1]
    corners *= np.where(rng.random(corners.shape) < 0.1, 1 + 2.0**-52, 1.0)
    mesh = welded(corners) if shared else unwelded(corners)
    expected = []
    for facet in mesh.facets:
        u, v = naive.edges(mesh.vertices[facet])
        expected.append(any(u[i] * v[i - 1] != u[i - 1] * v[i] for i in range(3)))
    for threads in (1, 2):
        assert have_area(mesh, threads).tolist() == expected


def test_many_chunks_on_any_threads() -> None:
    rng = np.random.default_rng(1)
    facets = rng.integers(0, 6, (20_000, 3)).astype(np.int32)
    vertices = rng.random((6, 3))
    vertices[5] = 2 * vertices[4] - vertices[3] * 1.0
    mesh = Mesh(np.round(vertices * 64), facets)
    sets = [len(set(facet)) == 3 for facet in facets.tolist()]
    one = have_area(mesh, 1)
    assert not (one & ~np.array(sets)).any()
    proper = {tuple(facet): naive.edges(mesh.vertices[list(facet)]) for facet in set(map(tuple, facets.tolist()))}
    flat = {key for key, (u, v) in proper.items() if all(u[i] * v[i - 1] == u[i - 1] * v[i] for i in range(3))}
    assert one.tolist() == [tuple(facet) not in flat for facet in facets.tolist()]
    for threads in (2, 7):
        assert np.array_equal(have_area(mesh, threads), one)
