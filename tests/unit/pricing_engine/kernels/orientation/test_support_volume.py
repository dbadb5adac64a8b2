"""Support volumes: sample by sample against every triangle below, bands that sum up, closed forms, a spent budget."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.orientation.support_samples import overhanging
from pricing_engine.kernels.runtime.budget import UNMEASURED
from tests.support.kernel_inputs import BOX, Floats, randoms, shells
from tests.support.meshes import welded
from tests.support.support_cases import COSINE, Case, case_of, measure, unit, views

DOWN = np.array([[0.0, 0, -1]])


def naive_volume(case: Case, direction: Floats) -> tuple[float, float]:
    """The volume, and what of it rounding at the edges of triangles may change."""
    around, platform, rest = views(case, direction[None])
    touch = np.float32(case.size * 1e-7)
    lanes = np.empty(200, np.float32)
    chosen = overhanging(
        around[0], rest[0], np.float32(0), np.float32(np.inf), case.arrays, COSINE, touch, lanes
    ).astype(np.float64)
    corners = case.surface.corners[:, : case.surface.owner.max() + 1].T.reshape(-1, 3, 3).astype(np.float64)
    u, v, down = (around[0, k : k + 3].astype(np.float64) for k in (0, 3, 6))
    x, y, height = corners @ u, corners @ v, -(corners @ down)
    double = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    up = np.flatnonzero(double < -1e-9 * case.size**2)
    x, y, height, double = x[up], y[up], height[up], double[up, None]
    total = doubtful = 0.0
    for px, py, top, weight in chosen.T:
        parts = [
            (x[:, (k + 1) % 3] - px) * (y[:, (k + 2) % 3] - py) - (y[:, (k + 1) % 3] - py) * (x[:, (k + 2) % 3] - px)
            for k in range(3)
        ]
        weights = np.stack(parts, axis=1) / double
        at = (weights * height).sum(axis=1)
        below = (weights >= 0).all(axis=1) & (at <= top + 1e-6 * case.size)
        edge = (np.abs(weights.min(axis=1)) < 1e-4) | (np.abs(at - top) < 1e-4 * case.size)
        floor = min(at[below].max(initial=platform[0]), top)
        total += weight * (top - floor)
        if (edge & (at <= top + 1e-4 * case.size) & (weights.min(axis=1) > -1e-4)).any():
            doubtful += weight * (top - platform[0])
    return total, doubtful


@settings(max_examples=5)
@given(shells(1, 2), randoms())
def test_agrees_with_every_triangle_below_every_sample(parts: list[Floats], random: np.random.Generator) -> None:
    case = case_of(welded(*[part + random.normal(0, 1e-3, 3) for part in parts]))
    directions = unit(random, 1)
    for direction, found in zip(directions, measure(case, directions), strict=True):
        expected, doubtful = naive_volume(case, direction)
        assert abs(found - expected) <= doubtful + 1e-5 * case.size**3


@settings(max_examples=20)
@given(shells(1, 4), randoms(), st.floats(0.05, 0.9))
def test_bands_sum_up_to_the_volume_exactly(parts: list[Floats], random: np.random.Generator, cut: float) -> None:
    case, directions = case_of(welded(*parts)), unit(random, 4)
    every = measure(case, directions)
    bands = [0.0, cut / 3 * case.size, cut * case.size, np.inf]
    found = [measure(case, directions, near, far) for near, far in pairwise(bands)]
    assert (np.min(found, axis=0) >= 0).all()
    assert np.sum(found, axis=0).tolist() == every.tolist()
    assert measure(case, directions, threads=3).tobytes() == every.tobytes()
    spent = measure(case, directions, budget=0)
    assert ((spent == UNMEASURED) | (spent == every)).all()


def test_a_plate_above_the_platform_has_its_closed_form() -> None:
    foot, plate = BOX * [1, 1, 3] + [0, 0, 1.5], BOX * [6, 4, 1] + [0, 0, 3.5]
    table = case_of(welded(foot, plate))
    assert measure(table, DOWN)[0] == pytest.approx((24 - 1) * 3, rel=0.02)
    shelf = case_of(welded(foot, plate, BOX * [2, 2, 1] + [1.8, 0.9, 0.5]))
    assert measure(shelf, DOWN)[0] == pytest.approx((24 - 1) * 3 - 4, rel=0.03)
    assert measure(case_of(welded(BOX)), np.concatenate([np.eye(3), -np.eye(3)])).tolist() == [0.0] * 6


def test_a_spent_budget_leaves_the_direction_unmeasured() -> None:
    case = case_of(welded(BOX * [1, 1, 3] + [0, 0, 1.5], BOX * [6, 4, 1] + [0, 0, 4], BOX * [8, 8, 0.5]))
    assert measure(case, DOWN)[0] > 0
    assert measure(case, DOWN, budget=0)[0] == UNMEASURED


def test_degenerate_facets_change_nothing() -> None:
    flat = np.array([[[0.0, 0, 0], [3, 0, 0], [1, 0, 0]], [[0.5, 0.5, 0.5]] * 3])
    upper = BOX + np.array([3, 0, 2])
    plain, mixed = case_of(welded(BOX, upper)), case_of(welded(BOX, upper, flat + np.array([0, 0, 0.2])))
    assert measure(mixed, DOWN)[0] == pytest.approx(measure(plain, DOWN)[0], rel=1e-9)
