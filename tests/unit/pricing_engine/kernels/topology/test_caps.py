"""Closing a mesh: each group of rim edges gets one point and a cap for every edge; what is closed stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.topology.caps import close_rims
from tests.naive import edges as naive

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)


def _net(facets: NDArray[np.int32]) -> Counter[tuple[int, int]]:
    """How many more half-edges run up each edge than down, where that is not 0."""
    net: Counter[tuple[int, int]] = Counter()
    for edge, members in naive.uses(facets).items():
        net[edge] = sum(naive.rises(facets, half) for half in members)
    return Counter({edge: count for edge, count in net.items() if count})


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 12))
def test_every_edge_of_the_result_cancels_out(seed: int, count: int, vertex_count: int) -> None:
    rng = np.random.default_rng(seed)
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    facets = np.concatenate([facets, facets[::3, ::-1]])
    mesh = Mesh(rng.permutation(64)[:vertex_count, None] // [16, 4, 1] % 4 * 1.0, facets)
    closed = close_rims(mesh)
    missing = _net(facets)
    if not missing:
        assert closed is mesh
        return
    assert not _net(closed.facets)
    assert np.array_equal(closed.facets[: len(facets)], facets)
    assert np.array_equal(closed.vertices[:vertex_count], mesh.vertices)
    caps = closed.facets[len(facets) :]
    assert len(caps) == sum(abs(count) for count in missing.values())
    root = naive.components(vertex_count, missing)
    groups = sorted({root[low] for low, _ in missing})
    assert caps[:, 2].tolist() == sorted(caps[:, 2].tolist())
    for group, apex in enumerate(closed.vertices[vertex_count:]):
        edges = [(edge, abs(count)) for edge, count in missing.items() if root[edge[0]] == groups[group]]
        assert Counter(tuple(sorted(cap[:2].tolist())) for cap in caps if cap[2] == vertex_count + group) == dict(edges)
        ends = mesh.vertices[[edge for edge, count in edges for _ in range(count)]]
        length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        np.testing.assert_allclose(apex, (ends.mean(axis=1) * length[:, None]).sum(axis=0) / length.sum(), atol=1e-12)
    assert len(closed.vertices) == vertex_count + len(groups)


def test_a_closed_mesh_is_returned_as_it_is() -> None:
    mesh = Mesh(np.random.default_rng(1).random((4, 3)), TETRAHEDRON)
    assert close_rims(mesh) is mesh
    empty = Mesh(np.empty((0, 3)), np.empty((0, 3), np.int32))
    assert close_rims(empty) is empty


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_facet_is_replaced_by_three_around_its_middle(missing: int) -> None:
    """Of an equilateral hole the mean of its edges' middles is the centroid, and the volume is as before."""
    vertices = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) + 1e3
    closed = close_rims(Mesh(vertices, np.delete(TETRAHEDRON, missing, axis=0)))
    assert len(closed.facets) == 6
    assert closed.vertices[4] == pytest.approx(vertices[TETRAHEDRON[missing]].mean(axis=0))

    def volume(facets: NDArray[np.int32]) -> float:
        return float(np.linalg.det(closed.vertices[facets] - closed.vertices[0]).sum() / 6)

    assert volume(closed.facets) == pytest.approx(volume(TETRAHEDRON))


def test_holes_apart_have_a_point_each_and_order_follows_the_mesh() -> None:
    vertices = np.concatenate([np.eye(3), np.eye(3) + 5])
    closed = close_rims(Mesh(vertices, np.array([[3, 4, 5], [0, 1, 2]], np.int32)))
    assert closed.vertices[6:].tolist() == [pytest.approx([1 / 3] * 3), pytest.approx([16 / 3] * 3)]
    assert closed.facets[2:, 2].tolist() == [6, 6, 6, 7, 7, 7]
