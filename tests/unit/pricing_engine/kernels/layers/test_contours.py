"""Contours of layers: which bound one component of the solid, which one of the void, against labelled bitmaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from pricing_engine.kernels.runtime.search_counters import PAIRS
from tests.support.kernel_inputs import Floats, randoms
from tests.support.layer_inputs import Built, Cells, border, build, draw_cells, rectangle


def either_side(built: Built, k: int, contour: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The cells (row, column) left and right of a contour's first segment: of the solid and of the void."""
    layers = built.layers
    segment = layers.segments[int(np.flatnonzero(layers.contour[layers.start[k] : layers.start[k + 1]] == contour)[0])
                              + layers.start[k]]  # fmt: skip
    middle, along = (segment[:2] + segment[2:]) / 2, segment[2:] - segment[:2]
    left = np.array([-along[1], along[0]]) / 2
    (x0, y0), (x1, y1) = np.floor(middle + left).astype(int), np.floor(middle - left).astype(int)
    return (int(y0), int(x0)), (int(y1), int(x1))


def named(labels: list[int]) -> list[int]:
    """Each label replaced by the first position where it occurs."""
    return [labels.index(label) for label in labels]


def check(built: Built, k: int, cells: Cells) -> None:
    begin, number = built.layers.start[k], int(built.contours.number[k])
    solid_of, void_of = (ndimage.label(part)[0] for part in (cells, ~cells))
    solid, void = built.contours.solid[begin : begin + number], built.contours.void[begin : begin + number]
    sides = [either_side(built, k, c) for c in range(number)]
    inside, outside = [int(solid_of[left]) for left, _ in sides], [int(void_of[right]) for _, right in sides]
    assert min(inside, default=1) > 0
    assert solid.tolist() == named(inside)
    names = named(outside)
    assert void.tolist() == [-1 if label == void_of[0, 0] else names[c] for c, label in enumerate(outside)]
    area: NDArray[np.float64] = built.contours.area[begin : begin + number]
    assert area.sum() / 2 == pytest.approx(cells.sum())
    count = built.contours.count[begin : begin + number]
    assert count.sum() == built.layers.start[k + 1] - begin


@settings(max_examples=40)
@given(randoms(), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4), st.booleans())
def test_components_are_those_of_the_bitmap(random: np.random.Generator, filled: list[float], tolerant: bool) -> None:
    layers = [draw_cells(random, (9, 12), share) for share in filled]
    lines = [border(cells) for cells in layers]
    built = build([each[random.permutation(len(each))] for each in lines], tolerant)
    for k, cells in enumerate(layers):
        check(built, k, cells)


def nested(depth: int) -> Floats:
    """Rectangles within one another, the solid and the void by turns."""
    parts = []
    for k in range(depth):
        ring = rectangle(k, k, 20 - k, 20 - k)
        parts.append(ring if k % 2 == 0 else ring[::-1][:, [2, 3, 0, 1]])
    return np.concatenate(parts)


@pytest.mark.parametrize("depth", range(1, 8))
def test_nested_rings_belong_to_the_ring_around_them(depth: int) -> None:
    contours = build([nested(depth)]).contours
    assert contours.number.tolist() == [depth]
    assert contours.solid[:depth].tolist() == [k - k % 2 for k in range(depth)]
    assert contours.void[:depth].tolist() == [-1 if k == 0 else (k if k % 2 else k - 1) for k in range(depth)]
    assert (np.sign(contours.area[:depth]) == [1 if k % 2 == 0 else -1 for k in range(depth)]).all()


def test_a_layer_without_segments_has_no_contours() -> None:
    built = build([np.empty((0, 4)), rectangle(0, 0, 1, 1), np.empty((0, 4))])
    assert built.contours.number.tolist() == [0, 1, 0]


def test_beyond_the_budget_layers_are_left_out() -> None:
    lines = [nested(6) for _ in range(5)]
    assert build(lines).contours.number.tolist() == [6] * 5
    ended = build(lines, budget=0)
    assert ended.contours.number.tolist() == [6, 0, 0, 0, 0]
    assert ended.work[0, PAIRS] > 0
