"""Layers of rectangles for tests of kernels: bitmaps whose borders are segments with the solid on their left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.layers.contours import Contours, build_contours
from pricing_engine.kernels.layers.point_location import Layers
from pricing_engine.kernels.runtime.search_counters import work_array

Floats = NDArray[np.float64]
Cells = NDArray[np.bool_]
TOLERANCE = 1e-9
PLENTY = 1 << 30


class Built(NamedTuple):
    """Layers with their contours, and the ``work`` (chunks, 2) that it took to build them."""

    layers: Layers
    contours: Contours
    work: NDArray[np.int64]


def draw_cells(random: np.random.Generator, shape: tuple[int, int], filled: float) -> Cells:
    """Return a bitmap (rows, columns), empty at its border, in which no two cells touch at a corner alone."""
    cells = np.zeros(shape, bool)
    cells[1:-1, 1:-1] = random.random((shape[0] - 2, shape[1] - 2)) < filled
    while True:
        a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
        corner = np.argwhere((a == d) & (b == c) & (a != b))
        if not len(corner):
            return cells
        row, column = corner[0]
        cells[row : row + 2, column : column + 2] = False


def border(cells: Cells, place: tuple[float, float] = (0.0, 0.0), side: float = 1.0) -> Floats:
    """Return the segments (n, 4) of the border of a bitmap with cells of ``side`` mm, the solid on their left."""
    lines = []
    for row, column in np.argwhere(cells):
        corners = [(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)]
        for k, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
            if not cells[row + down, column + right]:
                lines.append([*corners[k], *corners[(k + 1) % 4]])
    placed: Floats = np.array(lines, np.float64).reshape(-1, 4) * side + np.tile(place, 2)
    return placed


def layers_of(segments: list[Floats]) -> Layers:
    """Return layers of ``segments`` (n, 4) each, without contours and strips."""
    start = np.concatenate([[0], np.cumsum([len(lines) for lines in segments])]).astype(np.int64)
    lines = np.ascontiguousarray(np.concatenate([*segments, np.empty((0, 4))]))
    count, total = len(segments), len(lines)
    return Layers(
        start, lines, np.zeros(total, np.int32), np.zeros(total + 2 * count, np.int32),
        np.empty(3 * total, np.int32), np.empty(3 * total), np.zeros(count), np.zeros(count),
    )  # fmt: skip


def build(segments: list[Floats], tolerant: bool = False, tolerance: float = TOLERANCE, budget: int = PLENTY) -> Built:
    """Build the contours of layers."""
    layers = layers_of(segments)
    total, count = len(layers.segments), len(segments)
    sample, number, solid, void = (np.zeros(total, np.int32) for _ in range(4))
    contours = Contours(np.zeros(total), sample, number, solid, void, np.zeros(count, np.int32))
    work = work_array(count, max(count, 1))
    build_contours(0, count, layers, tolerance, tolerant, contours, max(count, 1), budget, work)
    return Built(layers, contours, work)


def polygon(*points: tuple[float, float]) -> Floats:
    """Return the segments of a closed polygon."""
    corners = np.array(points, np.float64)
    return np.hstack([corners, np.roll(corners, -1, axis=0)])


def rectangle(left: float, bottom: float, right: float, top: float) -> Floats:
    """Return the segments of a rectangle, the solid inside."""
    return polygon((left, bottom), (right, bottom), (right, top), (left, top))
