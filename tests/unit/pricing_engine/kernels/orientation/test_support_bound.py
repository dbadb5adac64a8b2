"""Lower bounds of support volumes: ranges, clusters, their sums, and floors that no volume undercuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.orientation.support_bound import (
    cluster_moments,
    cluster_samples,
    height_ranges,
    lower_bounds,
)
from pricing_engine.kernels.runtime.search_counters import NODES, work_array
from tests.support.kernel_inputs import BOX, Floats, randoms, shells
from tests.support.meshes import welded
from tests.support.support_cases import COSINE, Case, case_of, measure, unit, views

Singles = NDArray[np.float32]


@settings(max_examples=40)
@given(randoms(), st.integers(0, 30), st.integers(1, 5), st.sampled_from([1.0, 1e5]))
def test_ranges_are_those_of_the_products(random: np.random.Generator, count: int, number: int, far: float) -> None:
    vertices, centre = random.normal(size=(count, 3)) + far, np.full(3, far)
    directions = unit(random, number)
    least, most = np.full((3, number), np.inf), np.full((3, number), -np.inf)
    for lo in range(0, count, 10):
        height_ranges(lo, min(lo + 10, count), 10, vertices, centre, np.ascontiguousarray(directions.T), least, most)
    along = (vertices - centre) @ directions.T
    for part in range(3):
        held = along[part * 10 : part * 10 + 10]
        np.testing.assert_allclose(least[part], held.min(axis=0, initial=np.inf), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(most[part], held.max(axis=0, initial=-np.inf), rtol=1e-12, atol=1e-12)


def clusters(case: Case, width: int, limit: float, capacity: int) -> tuple[NDArray[np.int32], Singles] | None:
    surface = case.surface
    begins, boxes = np.empty(capacity + 1, np.int32), np.empty((6, capacity), np.float32)
    reach, pad = np.float32(0.67 / 64 * case.size), np.float32(1e-6 * case.size)
    found = cluster_samples(
        width, np.float32(limit), surface.corners, surface.samples, surface.owner, reach, pad, begins, boxes
    )
    return None if found < 0 else (begins[: found + 1], np.ascontiguousarray(boxes[:, :found]))


@settings(max_examples=20)
@given(shells(1, 3), st.integers(1, 64), st.floats(0.02, 2))
def test_clusters_are_runs_of_few_samples_whose_boxes_hold_their_triangles(
    parts: list[Floats], width: int, share: float
) -> None:
    case = case_of(welded(*parts))
    count, limit = len(case.surface.owner), share * case.size
    runs = clusters(case, width, limit, count + 1)
    assert runs is not None
    begins, boxes = runs
    assert begins[0] == 0
    assert begins[-1] == count
    lengths = np.diff(begins)
    assert lengths.min() >= 1
    assert lengths.max() <= width
    samples = case.surface.samples[:3, :count]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    assert ((boxes[:3, owner] <= samples) & (samples <= boxes[3:, owner])).all()
    sides = (boxes[3:] - boxes[:3]).max(axis=0)
    assert (sides[lengths > 1] <= limit * (1 + 1e-6)).all()
    # as long as they may be: the next sample does not fit
    corners = case.surface.corners.T.reshape(-1, 3, 3)[case.surface.owner]
    reach, pad = 0.67 / 64 * case.size, 1e-6 * case.size
    low = np.maximum(corners.min(axis=1), samples.T - reach) - pad
    high = np.minimum(corners.max(axis=1), samples.T + reach) + pad
    for c in range(len(lengths) - 1):
        after = begins[c + 1]
        joined = np.maximum(high[after], boxes[3:, c]) - np.minimum(low[after], boxes[:3, c])
        assert lengths[c] == width or joined.max() > limit * (1 - 1e-5)
    assert clusters(case, width, limit, len(lengths) - 1) is None


def sums(case: Case, begins: NDArray[np.int32], directions: Floats, rest: Singles) -> tuple[Singles, Singles, Singles]:
    count = len(begins) - 1
    weights, moments, facing = (np.full((len(directions), count), np.nan, np.float32) for _ in range(3))
    down = np.ascontiguousarray(directions.T, np.float32)
    cluster_moments(0, count, begins, case.surface.samples, down, rest, COSINE, weights, moments, facing)
    return weights, moments, facing


@settings(max_examples=20)
@given(shells(1, 3), randoms(), st.integers(4, 40))
def test_sums_agree_with_the_naive_twin(parts: list[Floats], random: np.random.Generator, width: int) -> None:
    case, directions = case_of(welded(*parts)), unit(random, 3)
    count = len(case.surface.owner)
    runs = clusters(case, width, case.size, count + 1)
    assert runs is not None
    rest = views(case, directions)[2]
    weights, moments, facing = sums(case, runs[0], directions, rest)
    samples = case.surface.samples[:, :count].astype(np.float64)
    area, height = samples[3:6].T @ directions.T, -(samples[:3].T @ directions.T)
    limit = np.float64(COSINE) * samples[6][:, None]
    doubtful = (np.abs(area - limit) < 1e-5 * samples[6][:, None]) | (np.abs(height - rest) < 1e-5 * case.size)
    counted = area * ((area > limit) & (height > rest))
    total = samples[6].sum()
    starts = runs[0][:-1]
    clear = np.add.reduceat(doubtful, starts, axis=0).T == 0
    for found, terms, unit_of in ((weights, counted, total), (moments, counted * height, total * case.size)):
        expected = np.add.reduceat(terms, starts, axis=0).T
        np.testing.assert_allclose(found[clear], expected[clear], atol=1e-5 * unit_of)
    least = np.minimum(np.minimum.reduceat(area, starts, axis=0).T, 0)
    np.testing.assert_allclose(facing, least, atol=1e-5 * total)


def bounds(case: Case, directions: Floats, width: int, threads_share: int = 1) -> tuple[Floats, Floats]:
    """The bounds of :func:`lower_bounds`, and those of the twin."""
    runs = clusters(case, width, case.size / 4, len(case.surface.owner) + 1)
    assert runs is not None
    around, platform, rest = views(case, directions)
    weights, moments, facing = sums(case, runs[0], directions, rest)
    found, work = np.full(len(directions), np.nan), work_array(len(directions), 1)
    slack, touch = 5e-6 * case.size, np.float32(2e-6 * case.size)
    for lo in range(0, len(directions), threads_share):
        hi = min(lo + threads_share, len(directions))
        lower_bounds(lo, hi, around, platform, runs[1], weights, moments, facing, slack, touch, found, work)
    assert (work[:, NODES] >= 0).all()
    expected = [
        naive_bound(around[d], platform[d], runs[1], weights[d], moments[d], facing[d], slack, float(touch))
        for d in range(len(directions))
    ]
    return found, np.array(expected)


def naive_bound(
    frame: Singles, platform: float, boxes: Singles, weights: Singles, moments: Singles, facing: Singles,
    slack: float, touch: float,
) -> float:  # fmt: skip
    """Every cluster against every other that faces up."""
    middle, radius = (boxes[:3] + boxes[3:]) / 2, (boxes[3:] - boxes[:3]) / 2
    spans = []
    for axis in (frame[:3], frame[3:6], -frame[6:]):
        at, reach = axis @ middle, np.abs(axis) @ radius
        spans.append((at - reach, at + reach))
    total = 0.0
    for c in np.flatnonzero(weights > 0):
        below = facing < 0
        for low, high in spans[:2]:
            below &= (low <= high[c]) & (high >= low[c])
        below &= spans[2][0] <= spans[2][1][c] + touch
        floor = max(float(platform), float(spans[2][1][below].max(initial=-np.inf)))
        total += max(0.0, float(moments[c]) - floor * float(weights[c]) - slack * float(weights[c]))
    return total


@settings(max_examples=8)
@given(shells(1, 2), randoms(), st.integers(16, 64))
def test_bounds_agree_with_every_pair_of_clusters_and_never_exceed_the_volume(
    parts: list[Floats], random: np.random.Generator, width: int
) -> None:
    case, directions = case_of(welded(*parts)), unit(random, 3)
    found, expected = bounds(case, directions, width)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * case.size**3)
    volumes = measure(case, directions)
    assert (found >= 0).all()
    assert (found <= volumes + 1e-6 * case.size**3).all()
    assert np.array_equal(bounds(case, directions, width, 4)[0], found)


def test_a_plate_high_above_the_platform_is_bounded_closely() -> None:
    case = case_of(welded(BOX * [1, 1, 8] + [0, 0, 4], BOX * [9, 9, 1] + [0, 0, 8.5]))
    down = np.array([[0.0, 0, -1]])
    found, _ = bounds(case, down, 64)
    volume = measure(case, down)[0]
    assert volume == pytest.approx(80 * 8, rel=0.02)
    assert 0.6 * volume < found[0] <= volume
