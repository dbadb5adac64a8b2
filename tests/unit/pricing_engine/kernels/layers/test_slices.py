"""Slices: levels, segments, areas and perimeters of equally spaced planes, plane by plane and facet by facet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.layers.slices import (
    ChunkSums,
    Planes,
    count_segments,
    fill_segments,
    find_levels,
    sum_layers,
)
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, work_array
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.solid.boundary import CUT, INSIDE, UNCUT
from tests.naive.slices import area_and_perimeter, section
from tests.support.kernel_inputs import BOX, Floats, meshes, randoms, shells
from tests.support.meshes import welded

GRAIN = 5


def levels_of(mesh: Mesh, first: float, step: float, layers: int, tolerance: float = 0.0) -> NDArray[np.int32]:
    level = np.full(len(mesh.vertices), -1, np.int32)
    find_levels(0, len(level), mesh.vertices, first, step, tolerance, layers, level)
    return level


@settings(max_examples=50)
@given(
    meshes(1, 20),
    st.sampled_from([0.25, 0.1, 1 / 3, 7.0, 1e-3]),
    st.one_of(st.integers(-3, 1), st.floats(-2, 2)),
    st.integers(0, 40),
    st.sampled_from([0.0, 1e-9]),
)
def test_levels_count_the_planes_at_or_below(
    mesh: Mesh, step: float, place: float, layers: int, tolerance: float
) -> None:
    first = float(mesh.vertices[0, 2]) + place * step
    heights = np.array([first + k * step for k in range(layers)])
    expected = [int(np.count_nonzero(heights <= z + tolerance)) for z in mesh.vertices[:, 2]]
    assert levels_of(mesh, first, step, layers, tolerance).tolist() == expected


def sliced(
    mesh: Mesh, status: NDArray[np.int8], planes: Planes, layers: int, threads: int, begin: int, end: int
) -> tuple[ChunkSums, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Sums, segments of the layers ``begin`` to ``end``, where each of these begins, and the work."""
    level = levels_of(mesh, planes.first, planes.step, layers)
    chunks = chunk_count(mesh.facet_count, GRAIN)
    sums = ChunkSums(np.zeros((chunks, layers)), np.zeros((chunks, layers)), np.zeros((chunks, layers), np.int32))
    arguments = mesh.vertices, mesh.facets, status, level
    run_ranges(sum_layers, mesh.facet_count, GRAIN, threads, GRAIN, *arguments, planes, sums)
    work = work_array(mesh.facet_count, GRAIN)
    run_ranges(count_segments, mesh.facet_count, GRAIN, threads, GRAIN, mesh.facets, status, level, work)
    counts = sums.segments[:, begin:end].astype(np.int64)
    start = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
    cursor = start[:-1] + np.cumsum(counts, axis=0) - counts
    lines = np.full((int(start[-1]), 4), np.nan)
    run_ranges(fill_segments, mesh.facet_count, GRAIN, threads, GRAIN, *arguments, planes, begin, end, cursor, lines)
    return sums, lines, start, work


@settings(max_examples=40)
@given(st.one_of(meshes(1, 30, far=False), shells(1, 3).map(lambda parts: welded(*parts))), randoms(), st.data())
def test_layers_agree_with_the_naive_twin(mesh: Mesh, random: np.random.Generator, data: st.DataObject) -> None:
    low, high = mesh.box()
    layers = data.draw(st.integers(1, 12))
    step = max(float(high[2] - low[2]), 1e-3) / layers
    planes = Planes(
        float(low[2]) + data.draw(st.sampled_from([0.0, 0.5])) * step, step, *((low + high) / 2)[:2].tolist()
    )
    status = random.choice([INSIDE, UNCUT, UNCUT, CUT], mesh.facet_count).astype(np.int8)
    begin = data.draw(st.integers(0, layers))
    end = data.draw(st.integers(begin, layers))
    sums, lines, start, work = sliced(mesh, status, planes, layers, 1, begin, end)
    corners = mesh.vertices[mesh.facets[status == UNCUT]]
    corners = corners - [planes.centre_x, planes.centre_y, 0]
    size = float(np.abs(corners).max(initial=1e-9))
    for k in range(layers):
        expected = section(corners, planes.first + k * step)
        area, perimeter = area_and_perimeter(expected)
        assert sums.area[:, k].sum() / 2 == pytest.approx(area, rel=1e-9, abs=1e-9 * size**2)
        assert sums.perimeter[:, k].sum() == pytest.approx(perimeter, rel=1e-9, abs=1e-9 * size)
        assert sums.segments[:, k].sum() == len(expected)
        if begin <= k < end:
            found = lines[start[k - begin] : start[k - begin + 1]]
            np.testing.assert_allclose(found, expected, atol=1e-9 * size)  # in the order of the facets
    assert work[:, PAIRS].tolist() == sums.segments.sum(axis=1).tolist()
    assert not work[:, NODES].any()


@settings(max_examples=25)
@given(shells(1, 3), st.integers(1, 9))
def test_segments_of_a_closed_surface_close_to_the_last_bit(parts: list[Floats], layers: int) -> None:
    """Facets that share an edge agree on its crossings, planes through corners included."""
    mesh = welded(*parts)
    low, high = mesh.box()
    step = float(high[2] - low[2]) / layers
    status = np.full(mesh.facet_count, UNCUT, np.int8)
    _, lines, start, _ = sliced(mesh, status, Planes(float(low[2]), step, 0.0, 0.0), layers, 1, 0, layers)
    for k in range(layers):
        own = lines[start[k] : start[k + 1]] + 0.0
        assert sorted(map(tuple, own[:, :2].tolist())) == sorted(map(tuple, own[:, 2:].tolist()))


def test_a_box_has_its_area_and_perimeter_and_the_solid_on_the_left() -> None:
    mesh = welded(BOX * [4, 6, 2])
    status = np.full(12, UNCUT, np.int8)
    sums, lines, start, _ = sliced(mesh, status, Planes(-0.75, 0.5, 0.0, 0.0), 4, 1, 0, 4)
    assert sums.area.sum(axis=0) / 2 == pytest.approx([24] * 4)
    assert sums.perimeter.sum(axis=0) == pytest.approx([20] * 4)
    own = lines[start[1] : start[2]]
    left = own[:, 0] * (own[:, 3] - own[:, 1]) - own[:, 1] * (own[:, 2] - own[:, 0])
    assert (left > 0).all()


def test_threads_change_no_bit() -> None:
    random = np.random.default_rng(1)
    mesh = Mesh(random.normal(size=(60, 3)), random.integers(0, 60, (97, 3)).astype(np.int32))
    status = np.full(97, UNCUT, np.int8)
    planes = Planes(-2.0, 0.1, 0.0, 0.0)
    one = sliced(mesh, status, planes, 40, 1, 3, 33)
    for threads in (2, 7):
        again = sliced(mesh, status, planes, 40, threads, 3, 33)
        assert [x.tobytes() for x in again[0]] == [x.tobytes() for x in one[0]]
        assert again[1].tobytes() == one[1].tobytes()
