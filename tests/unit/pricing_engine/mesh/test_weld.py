"""Welding (``mesh/weld.py``) and canonical order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial import facet_order as kernels
from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel
from pricing_engine.mesh.weld import canonical_indexed, canonical_mesh
from tests.naive import topology as naive

Corners = NDArray[np.floating]
DType = type[np.floating]


def lattice_soup(seed: int, facets: int, side: int, dtype: DType = np.float32) -> Corners:
    """Return random facets with corners on a small lattice: many are shared, repeated or duplicates."""
    integers = np.random.default_rng(seed).integers(-side, side + 1, (facets, 3, 3))
    corners: Corners = integers.astype(dtype) / dtype(7)
    return corners


def check_canonical(mesh: Mesh, corners: Corners) -> None:
    count, facets = naive.weld(corners)
    assert len(mesh.vertices) == count
    assert naive.weld(mesh.vertices[mesh.facets])[1] == facets
    _, first = np.unique(mesh.facets, return_index=True)
    assert (np.diff(first) > 0).all()  # numbered by first appearance, none unused
    assert not np.signbit(mesh.vertices[mesh.vertices == 0]).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(0, 6), st.sampled_from([np.float32, np.float64]))
def test_weld_agrees_with_naive_twin_and_ignores_order(seed: int, count: int, side: int, dtype: DType) -> None:
    corners = lattice_soup(seed, count, side, dtype)
    mesh = canonical_mesh(corners, 2)
    check_canonical(mesh, corners)
    shuffled = canonical_mesh(corners[np.random.default_rng(seed).permutation(count)], 1)
    assert np.array_equal(mesh.vertices, shuffled.vertices)
    assert np.array_equal(mesh.facets, shuffled.facets)


@pytest.mark.parametrize("side", [1, 40, 2000])
def test_any_threads_and_any_order_have_the_same_bits(side: int) -> None:
    corners = lattice_soup(side, 60_000, side)
    mesh = canonical_mesh(corners, 1)
    check_canonical(mesh, corners)
    for threads in (2, 7):
        other = canonical_mesh(corners[np.random.default_rng(threads).permutation(len(corners))], threads)
        assert other.vertices.tobytes() == mesh.vertices.tobytes()
        assert other.facets.tobytes() == mesh.facets.tobytes()


def test_minus_zero_is_zero_and_nothing_else_merges() -> None:
    tiny = np.float32(1e-45)
    corners = np.array([[[-0.0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0.0, 0, 0], [0, 1, 0], [tiny, 0, 0]]], np.float32)
    assert len(canonical_mesh(corners, 1).vertices) == 4


def test_scale_applies_to_the_welded_vertices() -> None:
    corners = lattice_soup(3, 50, 9)
    mesh, inches = canonical_mesh(corners, 1), canonical_mesh(corners, 1, 25.4)
    assert np.array_equal(inches.facets, mesh.facets)
    assert np.array_equal(inches.vertices, mesh.vertices * 25.4)


def test_an_indexed_mesh_is_the_soup_of_its_corners() -> None:
    rng = np.random.default_rng(5)
    vertices = rng.integers(-3, 4, (500, 3)).astype(float)
    facets = rng.integers(0, 400, (2000, 3))
    mesh, soup = canonical_indexed(vertices, facets, 2), canonical_mesh(vertices[facets], 2)
    assert np.array_equal(mesh.vertices, soup.vertices)
    assert np.array_equal(mesh.facets, soup.facets)


def test_curve_visits_neighbouring_cells() -> None:
    """Centroids on a 16^3 lattice are visited in steps of one cell: the table is a true Hilbert curve."""
    n = 16
    cells = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    offsets = np.array([[0.25, 0, 0], [-0.25, 0.25, 0], [0, -0.25, 0]])
    corners = (cells + 0.5 + offsets).astype(np.float64)
    no_index = np.empty((0, 3), np.int32)
    order = kernels.facet_order(corners.reshape(-1, 3), no_index, len(corners), np.zeros(3), float(n), 1)
    assert (np.abs(np.diff(cells[order, 0], axis=0)).sum(axis=1) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e9])
def test_coordinates_out_of_range_are_refused(bad: float) -> None:
    corners = lattice_soup(0, 70_000, 9)
    corners[64_321, 1, 2] = bad
    with pytest.raises(BadCoordinates):
        canonical_mesh(corners, 2)
    with pytest.raises(BadCoordinates):
        canonical_indexed(corners[0].astype(float) + bad, np.array([[0, 1, 2]]), 1)


def test_the_limit_counts_in_millimetres() -> None:
    corners = np.array([[[0, 0, 0], [2e6, 0, 0], [0, 1, 0]]], np.float32)
    assert len(canonical_mesh(corners, 1, 25.4).vertices) == 3
    with pytest.raises(BadCoordinates):
        canonical_mesh(corners, 1, 1000.0)


def test_empty_meshes_and_indices_out_of_range_are_refused() -> None:
    with pytest.raises(EmptyModel):
        canonical_mesh(np.empty((0, 3, 3), np.float32), 1)
    for wrong in (-1, 3, 2**40):
        with pytest.raises(CorruptModel):
            canonical_indexed(np.eye(3), np.array([[0, 1, wrong]]), 1)
