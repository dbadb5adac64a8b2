"""Crossings between layers: support and connected voids, against every pair of segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.layers.layer_crossings import MAX_SIDE, meet
from pricing_engine.kernels.layers.layer_overlap import join_pairs
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from tests.support.kernel_inputs import Floats, randoms
from tests.support.layer_inputs import PLENTY, TOLERANCE, Built, border, build, draw_cells, polygon, rectangle


class Met(NamedTuple):
    supported: list[int]
    sets: list[int]
    tests: NDArray[np.int64]


def cross(
    built: Built, budget: int = PLENTY, tolerance: float = TOLERANCE, joined: Sequence[tuple[int, int]] = ()
) -> Met:
    """Compare layers 0 and 1; ``supported`` by contour of the upper layer, ``sets``: the root of each contour.

    ``joined``: a contour each of the lower and the upper layer that are known to meet; all is supported then.
    """
    number, start = built.contours.number, built.layers.start
    lower, upper = int(number[0]), int(number[1])
    parent = np.arange(1 + lower + upper).astype(np.int32)
    supported, tests = np.zeros(len(built.layers.segments), np.int8), np.zeros(2, np.int64)
    cells = np.empty(MAX_SIDE * MAX_SIDE, np.int32)
    solid = built.contours.solid
    for one, two in joined:
        join_pairs(parent, np.array([[1 + one], [1 + lower + two]]))
        supported[start[1] + solid[start[1] : start[1] + upper]] = 1
    meet(0, tolerance, built.layers, solid, supported, parent, lower, upper, budget, cells, tests)
    while not np.array_equal(parent, parent[parent]):
        parent = parent[parent]
    own = supported[start[1] : start[1] + upper]
    components = solid[start[1] : start[1] + upper]
    assert not own[components != np.arange(upper)].any()  # at components alone
    return Met(own[components].tolist(), parent.tolist(), tests)


def sides(one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """How far (n, m) both ends of segments ``two`` (m, 4) lie left of the lines of segments ``one`` (n, 4)."""
    along = one[:, None, 2:] - one[:, None, :2]
    x, y = (along / np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-300)).transpose(2, 0, 1)
    start, end = (two[None, :, k : k + 2] - one[:, None, :2] for k in (0, 2))
    return x * start[..., 1] - y * start[..., 0], x * end[..., 1] - y * end[..., 0]


def crossings(one: Floats, two: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Whether (n, m) the ends of each segment lie on either side of the other, by more than the tolerance."""
    a, b = sides(one, two)
    c, d = (side.T for side in sides(two, one))
    least, most = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    both: NDArray[np.bool_] = (least < -tolerance) & (most > tolerance)
    return both


def naive_cross(built: Built, tolerance: float = TOLERANCE, joined: Sequence[tuple[int, int]] = ()) -> Met:
    start, lines, contour = built.layers.start, built.layers.segments, built.layers.contour
    lower, upper = (int(n) for n in built.contours.number)
    supported, sets = np.zeros(upper, np.int64), np.arange(1 + lower + upper)
    solid = built.contours.solid[start[1] : start[1] + upper]
    met = crossings(lines[start[1] : start[2]], lines[start[0] : start[1]], tolerance)
    pairs = [(int(contour[t]), int(contour[s])) for s, t in np.argwhere(met) + np.array([start[1], start[0]])]
    supported[:] = len(joined) > 0
    for below, above in [*joined, *pairs]:
        supported[solid == solid[above]] = 1
        one, two = sets[1 + lower + above], sets[1 + below]
        sets[(sets == one) | (sets == two)] = min(one, two)
    return Met(supported.tolist(), sets.tolist(), np.zeros(2, np.int64))


def star(random: np.random.Generator, corners: int) -> Floats:
    """A polygon around a random place, of arms of any length."""
    angle = np.sort(random.random(corners)) * 2 * np.pi
    arms = random.uniform(0.2, 3, corners)
    place = random.normal(0, 2, 2)
    return polygon(*zip(place[0] + arms * np.cos(angle), place[1] + arms * np.sin(angle), strict=True))


@settings(max_examples=40)
@given(randoms(), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(3, 20))
def test_stars_agree_with_every_pair_of_segments(
    random: np.random.Generator, counts: tuple[int, int], corners: int
) -> None:
    built = build([np.concatenate([star(random, corners) for _ in range(count)]) for count in counts])
    found, expected = cross(built), naive_cross(built)
    assert (found.supported, found.sets) == (expected.supported, expected.sets)
    assert found.tests.min() >= 0


@settings(max_examples=25)
@given(randoms(), st.sampled_from([(0.0, 0.0), (0.5, 0.0), (0.5, 0.25), (1.0, 1.0)]))
def test_bitmaps_that_share_lines_agree_with_every_pair_of_segments(
    random: np.random.Generator, place: tuple[float, float]
) -> None:
    """Walls that coincide, and ends on walls, cross nothing."""
    lower, upper = (border(draw_cells(random, (8, 9), 0.6)) for _ in range(2))
    built = build([lower, upper + np.tile(place, 2)])
    if not len(lower) or not len(upper):
        return
    found, expected = cross(built), naive_cross(built)
    assert (found.supported, found.sets) == (expected.supported, expected.sets)


@settings(max_examples=40)
@given(randoms(), st.tuples(st.integers(2, 6), st.integers(2, 5)), st.integers(20, 40))
def test_crossings_of_contours_that_are_known_to_meet_hide_no_other(
    random: np.random.Generator, counts: tuple[int, int], corners: int
) -> None:
    built = build([np.concatenate([star(random, corners) for _ in range(count)]) for count in counts])
    joined = [(int(random.integers(counts[0])), int(random.integers(counts[1]))) for _ in range(3)]
    found, expected = cross(built, joined=joined), naive_cross(built, joined=joined)
    assert (found.supported, found.sets) == (expected.supported, expected.sets)


def test_a_crossing_must_be_clear_by_the_tolerance() -> None:
    for depth, supported in ((0.5e-3, 0), (3e-3, 1)):
        built = build([rectangle(0, 0, 4, 4), rectangle(4 - depth, 1, 6, 3)], True, 1e-3)
        assert cross(built, tolerance=1e-3).supported == [supported]


def test_many_bars_over_many_bars() -> None:
    """Two grids of long bars: all of them cross, in crowded strips and in cells of several rows and columns."""
    bars = np.concatenate([rectangle(3 * k, 0, 3 * k + 1, 200) for k in range(60)])
    across = bars[:, [1, 0, 3, 2]][:, [2, 3, 0, 1]]
    built = build([bars, across + np.array([0, 0.5, 0, 0.5])])
    found = cross(built)
    assert found.supported == [1] * 60
    assert found.sets == [0] + [1] * 120
    spent = cross(built, budget=1)
    assert sum(spent.supported) < 60
    assert spent.tests[NODES] < found.tests[NODES]
    assert spent.tests[PAIRS] <= found.tests[PAIRS]
