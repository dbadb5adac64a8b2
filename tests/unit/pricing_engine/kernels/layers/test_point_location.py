"""Points in a layer: winding number and nearest contour to the left, in strips with few, many and very many of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.layers.point_location import CROWDED, begins_before, bucket_segments, locate
from tests.support.kernel_inputs import Floats, randoms
from tests.support.layer_inputs import TOLERANCE, border, build, draw_cells, layers_of, rectangle


def naive_locate(x: float, y: float, skip: int, lines: Floats, contour: Floats) -> tuple[int, int]:
    """Winding number, and the contour of the nearest segment to the left (the first of those as near), or -1."""
    winding, best, near = 0, -np.inf, -1
    for (x0, y0, x1, y1), own in zip(lines, contour, strict=True):
        if (y0 <= y) != (y1 <= y) and own != skip:
            at = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            if at < x:
                winding += 1 if y1 < y0 else -1
                if at > best:
                    best, near = at, int(own)
    return winding, near


def loose_lines(random: np.random.Generator, count: int, lattice: bool) -> Floats:
    lines = random.integers(-4, 5, (count, 4)) / 2 if lattice else random.normal(size=(count, 4))
    if count:
        lines[random.random(count) < 0.1] = lines[0]
    return lines


@settings(max_examples=50)
@given(randoms(), st.integers(1, 30), st.booleans(), st.integers(1, 3))
def test_agrees_with_the_naive_twin(random: np.random.Generator, count: int, lattice: bool, number: int) -> None:
    """Any segments, closed or not; level ones, equal ones, and points at the height of their ends."""
    blocks = [loose_lines(random, count, lattice) for _ in range(number)]
    layers = layers_of(blocks)
    layers.contour[:] = random.integers(0, 4, len(layers.contour))
    for layer in range(number):
        bucket_segments(layer, layers)
    for _ in range(20):
        layer = int(random.integers(number))
        x, y = random.integers(-5, 6, 2) / 2 if lattice else random.normal(size=2) * 1.2
        skip = int(random.integers(-1, 4))
        own = layers.contour[layers.start[layer] : layers.start[layer + 1]]
        winding, near, read = locate(layer, x, y, skip, TOLERANCE, layers)
        assert (winding, near) == naive_locate(x, y, skip, blocks[layer], own)
        assert 0 <= read <= count


@settings(max_examples=15)
@given(randoms(), st.sampled_from([100, 1200]), st.booleans())
def test_crowded_strips_find_the_same_of_a_solid(random: np.random.Generator, count: int, gapless: bool) -> None:
    """Rectangles side by side, as high as the strip: their walls are sorted, and searched from the nearest on."""
    width = 1.0 if gapless else 0.5
    gaps = random.uniform(-0.3, 0.3, (count // 2, 2)) * TOLERANCE  # walls so near count as one
    walls = np.concatenate([rectangle(k + a, 0, k + width + b, 1 + k % 3) for k, (a, b) in enumerate(gaps)])
    built = build([walls[random.permutation(len(walls))]])
    layers = built.layers
    strips = np.diff(layers.strip[: len(walls) + 2])
    assert strips.max() > CROWDED
    for _ in range(6):
        x, y = random.uniform(-1, count // 2 + 1), random.uniform(-0.2, 3.2)
        winding, near, _ = locate(0, x, y, -1, TOLERANCE, layers)
        solid = naive_locate(x, y, -1, layers.segments, layers.contour)
        if strips.max() <= 1024:
            assert (winding, near) == solid
        else:
            assert winding == solid[0]
            assert (near >= 0) == (solid[1] >= 0)


@settings(max_examples=25)
@given(randoms(), st.integers(0, 80))
def test_the_first_entries_that_begin_left_are_counted(random: np.random.Generator, count: int) -> None:
    lines = loose_lines(random, count, True)
    items = np.argsort(np.minimum(lines[:, 0], lines[:, 2]), kind="stable").astype(np.int32)
    left = np.sort(np.minimum(lines[:, 0], lines[:, 2]))
    for x in (-2.0, 0.0, 0.25, 9.0):
        assert begins_before(x, 0, count, lines, items) == np.count_nonzero(left < x)


@settings(max_examples=25)
@given(randoms(), st.integers(1, 150), st.booleans())
def test_strips_hold_every_segment_in_each_of_their_rows(
    random: np.random.Generator, count: int, lattice: bool
) -> None:
    lines = loose_lines(random, count, lattice)
    layers = layers_of([lines[:0], lines])
    bucket_segments(1, layers)
    low, scale = layers.low_y[1], layers.per_y[1]
    assert low == lines[:, [1, 3]].min()
    strip = layers.strip[2 : 2 + count + 2]
    assert strip[0] == 0
    assert strip[-1] <= 3 * count
    for row in range(count + 1):
        held = layers.items[strip[row] : strip[row + 1]]
        rows = np.floor((np.sort(lines[:, [1, 3]], axis=1) - low) * scale).astype(int)
        meant = np.flatnonzero((np.minimum(rows[:, 0], count) <= row) & (row <= np.minimum(rows[:, 1], count)))
        assert sorted(held) == meant.tolist()
        if len(held) > CROWDED:
            left = np.minimum(lines[held, 0], lines[held, 2])
            assert (np.diff(left) >= 0).all()
            farthest = np.maximum.accumulate(np.maximum(lines[held, 0], lines[held, 2]))
            assert layers.right[strip[row] : strip[row + 1]].tolist() == farthest.tolist()


@settings(max_examples=15)
@given(randoms())
def test_points_of_cells_are_in_the_solid_of_their_bitmap(random: np.random.Generator) -> None:
    cells = draw_cells(random, (9, 11), 0.6)
    if not cells.any():
        return
    layers = build([border(cells)]).layers
    for row, column in np.ndindex(cells.shape):
        winding, _, _ = locate(0, column + 0.5, row + 0.5, -1, TOLERANCE, layers)
        assert winding == cells[row, column]


@pytest.mark.parametrize("y", [-1.0, 0.0, 1.0, 1.5])
def test_nothing_lies_left_of_points_below_and_above_all_segments(y: float) -> None:
    layers = build([rectangle(0, 0, 1, 1)]).layers
    winding, near, _ = locate(0, 0.5, y, -1, TOLERANCE, layers)
    assert (winding, near) == ((1, 0) if y == 0 else (0, -1))
