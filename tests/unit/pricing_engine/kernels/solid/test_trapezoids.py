"""The sweep over segments in a facet: its trapezoids tile the facet, and each has the winding number of its points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.solid.segments import COS, SIN
from pricing_engine.kernels.solid.trapezoids import find_trapezoids, line_y, new_sweep, read_lines
from tests.support.kernel_inputs import Floats, randoms

PLENTY = 1 << 40
CORNERS = np.array([[0, 0], [COS, -SIN], [SIN, COS]])


def sweep(segments: Floats, flags: NDArray[np.int8], most: int = PLENTY, spare: int = 1) -> tuple[Floats, Floats, int]:
    """Trapezoids as spans, sides with winding numbers, and the units; arrays of ``spare`` rows grow."""
    count = len(segments)
    memory = new_sweep(count)
    steps = read_lines(0, count, segments, flags, memory)
    events = np.empty(4 * count + 6 if spare > 1 else 2 * count + 3)
    spans, sides = np.empty((spare, 2)), np.empty((spare, 3), np.int64)
    _, spans, sides, found, units = find_trapezoids(count, steps, memory, events, spans, sides, most)
    heights = np.array(
        [
            [line_y(memory.lines, side, x) for x in span for side in pair[:2]]
            for span, pair in zip(spans[:found], sides[:found], strict=True)
        ]
    ).reshape(-1, 4)
    return np.column_stack([spans[:found], heights]), sides[:found], int(units)


def draw_segments(random: np.random.Generator, count: int, lattice: bool) -> Floats:
    """Segments (n, 4) between points of the facet; on a lattice they share ends, abscissae and whole segments."""
    if lattice:
        weights = random.multinomial(4, [1 / 3] * 3, (count, 2)) / 4
    else:
        weights = random.dirichlet(np.ones(3), (count, 2))
    segments = (weights @ CORNERS).reshape(-1, 4)
    if not lattice:
        segments[random.random(count) < 0.2, :2] = segments[:1, :2]
    return np.ascontiguousarray(segments[segments[:, 0] != segments[:, 2]])


def naive_winding(x: float, y: float, segments: Floats, flags: NDArray[np.int8]) -> int:
    """Segments below the point, those to the right less those to the left; and the ends on the lower side before it."""
    total = 0
    for (x0, y0, x1, y1), flag in zip(segments, flags, strict=True):
        if min(x0, x1) < x < max(x0, x1) and y0 + (x - x0) / (x1 - x0) * (y1 - y0) < y:
            total += 1 if x0 < x1 else -1
        total += (-1 if flag & 1 and x0 < x else 0) + (1 if flag & 2 and x1 < x else 0)
    return total


def area(trapezoids: Floats) -> Floats:
    x0, x1, y00, y01, y10, y11 = trapezoids.T
    areas: Floats = (x1 - x0) * (y01 - y00 + y11 - y10) / 2
    return areas


def holding(x: float, y: float, trapezoids: Floats) -> NDArray[np.int64]:
    x0, x1, y00, y01, y10, y11 = trapezoids.T
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (x - x0) / (x1 - x0)
        return np.flatnonzero((x0 < x) & (x < x1) & (y00 + t * (y10 - y00) < y) & (y < y01 + t * (y11 - y01)))


@settings(max_examples=50)
@given(randoms(), st.integers(0, 24), st.booleans(), st.sampled_from([1, 500]))
def test_trapezoids_tile_the_facet_and_have_the_winding_number_of_their_points(
    random: np.random.Generator, count: int, lattice: bool, spare: int
) -> None:
    segments = draw_segments(random, count, lattice)
    flags = random.integers(0, 4, len(segments)).astype(np.int8)
    trapezoids, sides, units = sweep(segments, flags, PLENTY, spare)
    areas = area(trapezoids)
    assert areas.min() >= -1e-12
    assert areas.sum() == pytest.approx(0.5, rel=1e-9)
    assert units >= len(trapezoids)
    for x, y in random.dirichlet(np.ones(3), 60) @ CORNERS:
        held = holding(x, y, trapezoids)
        if len(held) == 0:  # on the line between two of them
            continue
        assert len(held) == 1
        assert sides[held[0], 2] == naive_winding(x, y, segments, flags)


@settings(max_examples=25)
@given(randoms(), st.integers(1, 24), st.booleans())
def test_steps_and_segments_are_read_from_left_to_right(random: np.random.Generator, count: int, lattice: bool) -> None:
    segments = draw_segments(random, count, lattice)
    flags = random.integers(0, 4, len(segments)).astype(np.int8)
    memory = new_sweep(len(segments) + 3)
    found = read_lines(0, len(segments), segments, flags, memory)
    starts, ends = segments[flags & 1 > 0, 0], segments[flags & 2 > 0, 2]
    expected = sorted([(x, -1.0) for x in starts] + [(x, 1.0) for x in ends])
    assert sorted(map(tuple, memory.steps[:found].tolist())) == expected
    assert (np.diff(memory.steps[:found, 0]) >= 0).all()
    lines = memory.lines[3 : 3 + len(segments)]
    assert (lines[:, 0] < lines[:, 2]).all()
    order = memory.order[: len(segments)] - 3
    assert sorted(order.tolist()) == list(range(len(segments)))
    assert (np.diff(lines[order, 0]) >= 0).all()
    assert memory.gain[3 : 3 + len(segments)].tolist() == np.where(segments[:, 0] < segments[:, 2], 1, -1).tolist()


def test_a_facet_without_segments_is_two_trapezoids() -> None:
    trapezoids, sides, _ = sweep(np.empty((0, 4)), np.empty(0, np.int8))
    assert area(trapezoids).sum() == pytest.approx(0.5)
    assert sides[:, 2].tolist() == [0, 0]  # below the left and the right upper side
    assert trapezoids[:, :2] == pytest.approx(np.array([[0, SIN], [SIN, COS]]))


def test_a_closed_chain_bounds_one_region_of_another_winding_number() -> None:
    ring = np.array([[0.3, 0.0], [0.5, -0.1], [0.6, 0.1], [0.4, 0.2]])
    segments = np.ascontiguousarray(np.hstack([ring, np.roll(ring, -1, axis=0)]))
    trapezoids, sides, _ = sweep(segments, np.zeros(4, np.int8))
    shoelace = np.sum(ring[:, 0] * np.roll(ring[:, 1], -1) - np.roll(ring[:, 0], -1) * ring[:, 1]) / 2
    inside = sides[:, 2] == 1
    assert area(trapezoids)[inside].sum() == pytest.approx(shoelace)
    assert set(sides[:, 2]) == {0, 1}


def test_units_beyond_the_limit_end_the_sweep() -> None:
    random = np.random.default_rng(1)
    segments = draw_segments(random, 60, False)
    flags = np.zeros(len(segments), np.int8)
    _, _, units = sweep(segments, flags)
    trapezoids, _, spent = sweep(segments, flags, units // 3)
    assert units // 3 < spent < units
    assert np.isfinite(trapezoids[:, 0]).all()
