"""Segments joined to contours: by equal ends, by ends within the tolerance, and by the nearest where one is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.layers.contour_links import label_segments, new_labels
from pricing_engine.kernels.layers.contours import Contours
from tests.support.kernel_inputs import Floats, randoms
from tests.support.layer_inputs import layers_of, polygon, rectangle

TOLERANCE = 1e-6


def label(lines: Floats, tolerant: bool) -> tuple[list[int], Contours, int]:
    """Contour of each segment of the second of two layers, the contours, and how many."""
    layers = layers_of([lines, lines])
    count = len(lines)
    area, ints = np.full(2 * count, np.nan), [np.full(2 * count, -9, np.int32) for _ in range(4)]
    contours = Contours(area, ints[0], ints[1], ints[2], ints[3], np.zeros(2, np.int32))
    found = label_segments(count, 2 * count, TOLERANCE, tolerant, layers, new_labels(count + 3), contours)
    return layers.contour[count:].tolist(), contours, found


def naive_labels(lines: Floats, joined: NDArray[np.bool_]) -> list[int]:
    """Numbers by first appearance of segments (n) that are ``joined`` (n, n), through others too."""
    reach = joined | joined.T | np.eye(len(lines), dtype=bool)
    for k in range(len(lines)):
        reach |= reach[:, [k]] & reach[[k]]
    first = reach.argmax(axis=1)
    labels: list[int] = np.unique(first, return_inverse=True)[1].tolist()
    return labels


def rings(random: np.random.Generator, count: int) -> Floats:
    """Closed polygons on a lattice, some with corners in common."""
    parts = [polygon(*random.integers(0, 6, (int(random.integers(1, 6)), 2))) for _ in range(count)]
    lines = np.concatenate(parts)
    return lines[random.permutation(len(lines))]


@settings(max_examples=50)
@given(randoms(), st.integers(1, 8), st.booleans())
def test_rings_with_equal_corners_are_one_contour(random: np.random.Generator, count: int, tolerant: bool) -> None:
    lines = rings(random, count)
    ends = lines.reshape(-1, 2, 2)
    if tolerant:
        lines = lines + random.uniform(-0.3, 0.3, lines.shape) * TOLERANCE
    found, contours, number = label(lines, tolerant)
    same = (ends[:, None, :, None] == ends[None, :, None]).all(axis=4).any(axis=(2, 3))
    assert found == naive_labels(lines, same)
    assert number == max(found) + 1
    own = lines
    doubled = own[:, 0] * own[:, 3] - own[:, 2] * own[:, 1]
    begin = len(lines)
    for c in range(number):
        members = [s for s, at in enumerate(found) if at == c]
        assert contours.count[begin + c] == len(members)
        assert contours.area[begin + c] == pytest.approx(doubled[members].sum(), abs=1e-12)
        least = min(tuple(own[s, :2]) for s in members)
        assert tuple(own[contours.sample[begin + c] - begin, :2]) == least
    assert np.isnan(contours.area[:begin]).all()


def test_minus_zero_is_zero() -> None:
    lines = rectangle(0, 0, 1, 1)
    lines[3, 2:] = -0.0
    assert label(lines, False)[0] == [0] * 4


def test_ends_farther_apart_than_the_tolerance_are_separate() -> None:
    one, two = rectangle(0, 0, 1, 1), rectangle(1 + 3 * TOLERANCE, 0, 2, 1)
    assert label(np.concatenate([one, two]), True)[0] == [0] * 4 + [1] * 4
    near = rectangle(1 + 0.5 * TOLERANCE, 0, 2, 1)
    assert label(np.concatenate([one, near]), True)[0] == [0] * 8
    assert label(np.concatenate([one, near]), False)[0] == [0] * 4 + [1] * 4


@settings(max_examples=25)
@given(st.floats(0.01, 0.4), st.integers(0, 3))
def test_a_torn_ring_is_joined_where_it_is_nearest(gap: float, at: int) -> None:
    """One corner of a ring is torn apart: the loose end joins the loose start beside it, not another ring."""
    ring = rectangle(0, 0, 4, 4)
    ring[at, 2:] += gap * np.array([-1, -1])
    found, _, number = label(np.concatenate([ring, rectangle(9, 9, 10, 10)]), False)
    assert found == [0] * 4 + [1] * 4
    assert number == 2


def test_loose_ends_beyond_many_are_one_contour() -> None:
    shreds = np.array([[3.0 * k, 0, 3.0 * k + 1, 1] for k in range(100)])
    assert label(shreds, False)[2] == 1
    assert label(shreds[:60], False)[0] == list(range(60))  # each is nearest to itself
    near = np.array([[0, 0, 3.0, 0], [3.5, 0, 9, 0]])
    assert label(near, False)[0] == [0, 0]  # the end of the first is nearest to the start of the second
