"""Where a ball fits, travels and touches: bit by bit against the naive twins, ties and grids of any shape included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.layers.ball_accessibility import SIDE, Grid, find_free, find_touched, flood
from pricing_engine.kernels.runtime.search_counters import work_array
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.kernels.spatial.clearance import Clearance
from tests.naive.reach import is_free, travel
from tests.support.kernel_inputs import BALL, Floats, randoms, triangles
from tests.support.meshes import unwelded

PLENTY = 1 << 40
Bits = NDArray[np.uint64]
SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def bit_of(at: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Block and bit of a grid point: octets of 2 x 2 x 2 in blocks of 4 x 4 x 4."""
    blocks = [-(-size // SIDE) for size in shape]
    (i, j, k), inner = (x // SIDE for x in at), [x % SIDE for x in at]
    bit = sum((x // 2) << (5 - axis) | (x % 2) << (2 - axis) for axis, x in enumerate(inner))
    return (i * blocks[1] + j) * blocks[2] + k, bit


def packed(grid: NDArray[np.bool_]) -> Bits:
    words = [0] * int(np.prod([-(-size // SIDE) for size in grid.shape]))
    for at in np.argwhere(grid).tolist():
        block, bit = bit_of(tuple(at), grid.shape)
        words[block] |= 1 << bit
    return np.array(words, np.uint64)


def clearance_of(bvh: Bvh, radius: float, budget: int = PLENTY) -> Clearance:
    return Clearance(bvh, radius, np.float32(bvh.diagonal * 2.0**-22), budget)


def as_held(bvh: Bvh, count: int) -> Floats:
    """The triangles as the tree holds them."""
    held: Floats = bvh.corners[:, :count].T.reshape(-1, 3, 3).astype(np.float64)
    return held


@settings(max_examples=50)
@given(SHAPES, st.floats(0, 1), randoms())
def test_the_flood_reaches_what_the_naive_twin_reaches(
    shape: tuple[int, int, int], share: float, random: np.random.Generator
) -> None:
    free = random.random(shape) < share
    words = packed(free)
    reached = np.zeros_like(words)
    flood(np.array(shape), words, reached)
    expected = np.zeros(shape, bool)
    expected[tuple(np.array(list(travel(free))).T)] = True
    assert reached.tolist() == packed(expected).tolist()


@settings(max_examples=25)
@given(SHAPES, triangles(1, 12, far=False), st.sampled_from([0.5, 1.0, 2.0]))
def test_free_points_are_those_with_no_facet_nearer(
    shape: tuple[int, int, int], corners: Floats, radius: float
) -> None:
    bvh = build_bvh(unwelded(corners), 1)
    held = as_held(bvh, len(corners))
    spacing = max(bvh.diagonal, 1e-3) / 8
    origin = np.array([-3.0, -2.5, -1.25]) * spacing
    clearance = clearance_of(bvh, radius * spacing)
    blocks = int(np.prod([-(-size // SIDE) for size in shape]))
    free, work = np.zeros(blocks, np.uint64), work_array(blocks, blocks)
    find_free(0, blocks, blocks, Grid(origin, spacing, np.array(shape)), clearance, free, work)
    expected = np.zeros(shape, bool)
    for at in np.ndindex(shape):
        expected[at] = is_free(origin + spacing * np.array(at), held, radius * spacing)
    assert free.tolist() == packed(expected).tolist()
    assert work.sum() > 0


@settings(max_examples=25)
@given(triangles(1, 12, far=False), st.integers(1, 30), randoms())
def test_samples_are_touched_where_the_ball_fits_and_arrives(
    corners: Floats, count: int, random: np.random.Generator
) -> None:
    bvh = build_bvh(unwelded(corners), 1)
    held, size = as_held(bvh, len(corners)), max(bvh.diagonal, 1e-3)
    radius, shape, spacing = 0.1 * size, (6, 5, 7), 0.3 * size
    origin = np.full(3, -0.7 * size)
    reached = random.random(shape) < 0.3
    normals = random.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = random.uniform(-1, 1, (count, 3)) * size
    touches, work = np.zeros(count, np.uint8), work_array(count, count)
    grid, clearance = Grid(origin, spacing, np.array(shape)), clearance_of(bvh, radius * 0.99)
    find_touched(0, count, count, points, normals, radius, grid, packed(reached), clearance, touches, work)
    for i, centre in enumerate(points + radius * normals):
        cell = np.floor((centre - origin) / spacing).astype(int)
        ends = np.array(shape) - 1
        arrives = any(reached[tuple(np.clip(cell + corner, 0, ends))] for corner in np.ndindex(2, 2, 2))
        assert touches[i] == (arrives and is_free(centre, held, radius * 0.99))


def test_beyond_the_budget_nothing_more_is_tested() -> None:
    bvh = build_bvh(unwelded(BALL), 1)
    shape = (12, 12, 12)
    free, work = np.zeros(27, np.uint64), work_array(27, 27)
    grid = Grid(np.full(3, -3.0), 0.5, np.array(shape))
    find_free(0, 27, 27, grid, clearance_of(bvh, 0.4), free, work)
    ended, spent = np.zeros(27, np.uint64), work_array(27, 27)
    find_free(0, 27, 27, grid, clearance_of(bvh, 0.4, 0), ended, spent)
    assert 0 < spent.sum() < work.sum()
    assert not ended[1:].any()
    assert free[1:].any()
