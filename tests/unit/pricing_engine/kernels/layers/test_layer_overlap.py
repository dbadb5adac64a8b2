"""Overlaps of neighbouring layers: supported components, connected voids and points in voids, against bitmaps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from pricing_engine.kernels.layers.layer_overlap import Overlaps, find_voids, join_pairs, overlap_layers
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, work_array
from tests.support.kernel_inputs import Floats, randoms
from tests.support.layer_inputs import PLENTY, TOLERANCE, Built, Cells, border, build, draw_cells, rectangle


class Overlapped(NamedTuple):
    built: Built
    overlaps: Overlaps
    work: NDArray[np.int64]


def overlap(segments: list[Floats], budget: int = PLENTY) -> Overlapped:
    built = build(segments)
    total, pairs = len(built.layers.segments), len(segments) - 1
    overlaps = Overlaps(np.zeros(total, np.int8), np.zeros(total, np.int32), np.zeros(total, np.int32))
    work = work_array(pairs, max(pairs, 1))
    overlap_layers(
        0, pairs, 100 * TOLERANCE, TOLERANCE, built.layers, built.contours, overlaps, max(pairs, 1), budget, work
    )
    return Overlapped(built, overlaps, work)


def beside(built: Built, k: int, contour: int, side: int, offset: Floats) -> tuple[int, int]:
    """A fine cell (row, column) left (1) or right (-1) of a contour; cells of a quarter millimetre."""
    layers = built.layers
    own = layers.contour[layers.start[k] : layers.start[k + 1]]
    segment = layers.segments[int(layers.start[k]) + int(np.flatnonzero(own == contour)[0])]
    middle, along = (segment[:2] + segment[2:]) / 2, segment[2:] - segment[:2]
    place = middle + side * np.array([-along[1], along[0]]) / np.linalg.norm(along) / 16 + offset
    column, row = np.floor(4 * place).astype(int)
    return int(row), int(column)


def fine(cells: Cells, shift: tuple[int, int], shape: tuple[int, int]) -> Cells:
    """The bitmap in cells of a quarter millimetre, moved by ``shift`` of them (columns, rows)."""
    placed = np.zeros(shape, bool)
    grown = cells.repeat(4, axis=0).repeat(4, axis=1)
    placed[4 + shift[1] : 4 + shift[1] + grown.shape[0], 4 + shift[0] : 4 + shift[0] + grown.shape[1]] = grown
    return placed


@settings(max_examples=40)
@given(randoms(), st.tuples(st.integers(0, 3), st.integers(0, 3)), st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)))
def test_support_and_voids_are_those_of_the_bitmaps(
    random: np.random.Generator, shift: tuple[int, int], filled: tuple[float, float]
) -> None:
    lower, upper = (draw_cells(random, (7, 9), share) for share in filled)
    built, overlaps, _ = overlap([border(lower), border(upper, (shift[0] / 4, shift[1] / 4))])
    shape = 4 * (7 + 3), 4 * (9 + 3)
    below, above = fine(lower, (0, 0), shape), fine(upper, shift, shape)
    offset = np.array([1.0, 1.0])
    start, number = built.layers.start, built.contours.number
    solid = ndimage.label(above)[0]
    components = built.contours.solid[start[1] : start[1] + number[1]]
    for c in range(int(number[1])):
        own = solid == solid[beside(built, 1, c, 1, offset)]
        assert overlaps.supported[start[1] + components[c]] == (own & below).any()
    voids, _ = ndimage.label(np.stack([~below, ~above]))  # voids meet where both are void
    names = {0: int(voids[0, 0, 0])}
    for k, first in ((0, 1), (1, 1 + int(number[0]))):
        for c in range(int(number[k])):
            names[first + c] = int(voids[(k, *beside(built, k, c, -1, offset))])
    least = {name: min(at for at in names if names[at] == name) for name in names.values()}
    found = [*overlaps.above[start[0] : start[0] + number[0]], *overlaps.below[start[1] : start[1] + number[1]]]
    assert found == [least[names[at]] for at in range(1, len(names))]


@pytest.mark.parametrize(
    ("upper", "supported"),
    [
        (rectangle(1, 1, 2, 2), 1),  # inside
        (rectangle(-1, -1, 5, 5), 1),  # around
        (rectangle(3, 3, 6, 6), 1),  # across a corner
        (rectangle(1, -2, 2, 6), 1),  # across, without a corner inside
        (rectangle(0, 0, 4, 4), 1),  # the same
        (rectangle(4, 0, 8, 4), 0),  # a wall in common
        (rectangle(4, 4, 8, 8), 0),  # a corner in common
        (rectangle(6, 0, 8, 4), 0),
    ],
)
def test_a_square_is_supported_where_it_overlaps(upper: Floats, supported: int) -> None:
    result = overlap([rectangle(0, 0, 4, 4), upper])
    assert result.overlaps.supported[4] == supported


def test_layers_without_segments_support_nothing() -> None:
    empty = np.empty((0, 4))
    result = overlap([empty, rectangle(0, 0, 1, 1), empty, rectangle(0, 0, 1, 1)])
    assert not result.overlaps.supported.any()
    assert not result.overlaps.below.any()


def test_beyond_the_budget_layers_are_left_out() -> None:
    square = np.concatenate([rectangle(0, 0, 4, 4), rectangle(1, 1, 3, 3)[::-1][:, [2, 3, 0, 1]]])
    result = overlap([square] * 6)
    ended = overlap([square] * 6, 0)
    begins = result.built.layers.start[1:6]
    assert result.overlaps.supported[begins].tolist() == [1] * 5
    assert ended.overlaps.supported[begins].tolist() == [1, 0, 0, 0, 0]
    assert ended.work[0, [NODES, PAIRS]].sum() < result.work[0].sum()


@settings(max_examples=30)
@given(randoms(), st.floats(0.1, 0.9))
def test_voids_of_points_are_the_contour_to_their_left(random: np.random.Generator, filled: float) -> None:
    cells = draw_cells(random, (7, 9), filled)
    built = build([border(cells), np.empty((0, 4))])
    rows, columns = random.integers(0, 7, 30), random.integers(0, 9, 30)
    points, layer = np.column_stack([columns + 0.5, rows + 0.5]), random.integers(0, 2, 30)
    found, work = np.full(30, -1, np.int32), work_array(30, 30)
    find_voids(0, 30, TOLERANCE, points, layer, built.layers, built.contours.number, found, 30, PLENTY, work)
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        expected = -1
        if layer[i] == 0 and not cells[row, column] and cells[row, :column].any():
            right = int(np.flatnonzero(cells[row, :column]).max()) + 1
            lines = built.layers.segments
            wall = (lines[:, [0, 2]] == right).all(axis=1) & (lines[:, [1, 3]].mean(axis=1) == row + 0.5)
            expected = int(built.layers.contour[np.flatnonzero(wall)[0]])
        assert found[i] == expected
    if cells.any() and (layer == 0).any():
        ended = np.full(30, -1, np.int32)
        find_voids(0, 30, TOLERANCE, points, layer, built.layers, built.contours.number, ended, 30, 0, work)
        tested = np.flatnonzero(ended >= 0)
        assert (ended[tested] == found[tested]).all()


@settings(max_examples=40)
@given(st.integers(1, 20), randoms())
def test_pairs_join_to_the_smallest_number_of_their_set(count: int, random: np.random.Generator) -> None:
    pairs = random.integers(0, count, (2, int(random.integers(0, 20)))).astype(np.int64)
    parent = np.arange(count, dtype=np.int32)
    join_pairs(parent, pairs)
    while not np.array_equal(parent, parent[parent]):
        parent = parent[parent]
    sets = np.arange(count)
    for a, b in pairs.T:
        one, two = sets[a], sets[b]
        sets[(sets == one) | (sets == two)] = min(one, two)
    assert parent.tolist() == sets.tolist()
