"""The quick scan: the sum of area vectors and the overhang along each axis, facet by facet, on any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.orientation.quick_scan import quick_scan
from tests.naive.orientation import overhanging
from tests.support.kernel_inputs import BOX, Floats, meshes, normals_of, shells
from tests.support.meshes import welded

DIRECTIONS = np.array([[[-1.0, 0, 0], [1, 0, 0]], [[0, -1, 0], [0, 1, 0]], [[0, 0, -1], [0, 0, 1]]])


@settings(max_examples=50)
@given(meshes(0, 30), st.sampled_from([0.0, 0.1, 1.0]))
def test_agrees_with_the_naive_twin(mesh: Mesh, rest: float) -> None:
    low, high = mesh.box()
    rest *= float((high - low).max())
    corners = mesh.vertices[mesh.facets]
    double = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(double, axis=1) / 2
    found = quick_scan(mesh, low, high, rest, OVERHANG_COSINE, 1)
    assert found.area_vector == pytest.approx(double.sum(axis=0) / 2, abs=1e-9 * (area.sum() + 1e-12))
    along = normals_of(corners) @ DIRECTIONS.reshape(6, 3).T
    for d, down in enumerate(DIRECTIONS.reshape(6, 3)):
        platform = (corners.reshape(-1, 3) @ down).max(initial=-np.inf)
        off = (platform - corners @ down).max(axis=1, initial=-np.inf) - rest
        size = float(np.abs(corners).max(initial=1))
        if (np.abs(along[:, d] - OVERHANG_COSINE) < 1e-9).any() or (np.abs(off) < 1e-12 * size).any():
            off = np.where(np.abs(off) < 1e-12 * size, 0, off)
        expected = area[(along[:, d] > OVERHANG_COSINE) & (off > 0)].sum()
        assert found.overhang.ravel()[d] == pytest.approx(expected, rel=1e-9, abs=1e-9 * (area.sum() + 1e-12))


@settings(max_examples=25)
@given(shells(1, 3))
def test_closed_surfaces_have_no_area_vector_and_holes_have_theirs(parts: list[Floats]) -> None:
    mesh = welded(*parts)
    low, high = mesh.box()
    area = float((high - low).max()) ** 2
    assert np.abs(quick_scan(mesh, low, high, 0.0, OVERHANG_COSINE, 1).area_vector).max() < 1e-12 * area * 100
    a, b, c = mesh.vertices[mesh.facets[0]]
    holed = Mesh(mesh.vertices, mesh.facets[1:].copy())
    vector = quick_scan(holed, low, high, 0.0, OVERHANG_COSINE, 1).area_vector
    assert vector == pytest.approx(-np.cross(b - a, c - a) / 2, abs=1e-10 * area)


def test_a_box_rests_on_each_side_and_a_table_top_overhangs() -> None:
    box = welded(BOX)
    assert not quick_scan(box, *box.box(), 1e-6, OVERHANG_COSINE, 1).overhang.any()
    table = welded(BOX, BOX * [4, 3, 1] + [0, 0, 2])
    found = quick_scan(table, *table.box(), 1e-6, OVERHANG_COSINE, 1).overhang
    assert found[2] == pytest.approx([12, 1])  # -z down: the top's lower side; +z down: that of the box
    assert found[0] == pytest.approx([1, 1])
    assert found[1] == pytest.approx([1, 1])


def test_the_twin_of_the_search_has_the_same_overhang() -> None:
    table = welded(BOX, BOX * [4, 3, 1] + [0, 0, 2])
    layer = 0.1
    found = quick_scan(table, *table.box(), layer / 2 + 4e-6, OVERHANG_COSINE, 1).overhang
    for axis, side in np.ndindex(3, 2):
        areas, chosen = overhanging(table.vertices[table.facets], DIRECTIONS[axis, side], layer, 4.0)
        assert found[axis, side] == pytest.approx(areas[chosen].sum())


def test_threads_change_no_bit() -> None:
    random = np.random.default_rng(0)
    mesh = Mesh(random.normal(size=(300, 3)), random.integers(0, 300, (40_000, 3)).astype(np.int32))
    one = quick_scan(mesh, *mesh.box(), 0.3, OVERHANG_COSINE, 1)
    for threads in (2, 7):
        again = quick_scan(mesh, *mesh.box(), 0.3, OVERHANG_COSINE, threads)
        assert again.overhang.tobytes() == one.overhang.tobytes()
        assert again.area_vector.tobytes() == one.area_vector.tobytes()
