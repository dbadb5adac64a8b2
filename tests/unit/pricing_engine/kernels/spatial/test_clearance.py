"""Clearance (``spatial/clearance.py``): which points are free, where a ball travels, what it touches."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from numpy.typing import ArrayLike, NDArray

from pricing_engine.kernels.layers.ball_accessibility import SIDE, Grid, find_free, find_touched, flood
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.search_counters import work_array
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.kernels.spatial.clearance import Clearance
from tests.naive import reach as naive

Floats = NDArray[np.float64]
PLENTY = 1 << 40


def random_facets(random: np.random.Generator, kind: str) -> Floats:
    """Return facets (n, 3, 3), every fifth flat: ``lattice``, of whole numbers, has ties; ``loose`` is of any size."""
    count = int(random.choice([5, 40, 600])) + int(random.integers(0, 9))  # one to three levels of the tree
    if kind == "lattice":
        facets = random.integers(-7, 8, (count, 1, 3)) + random.integers(-1, 2, (count, 3, 3)).astype(float)
    else:
        sizes = random.choice([0.02, 0.2, 2], (count, 1, 1), p=[0.5, 0.4, 0.1])
        facets = random.normal(0, 4, (count, 1, 3)) + random.normal(0, 1, (count, 3, 3)) * sizes
    facets[::10, 2] = facets[::10, 0]
    facets[5::10] = facets[5::10, :1]
    in_order: Floats = facets[np.argsort(facets[:, 0, 0])]
    return in_order


def tree_of(facets: Floats) -> tuple[Bvh, Floats]:
    """Return the tree, and its facets (n, 3, 3) as it holds them, relative to its centre."""
    mesh = Mesh(facets.reshape(-1, 3), np.arange(3 * len(facets), dtype=np.int32).reshape(-1, 3))
    bvh = build_bvh(mesh, 1)
    return bvh, bvh.corners[:, : len(facets)].T.reshape(-1, 3, 3).astype(float)


def clearance_of(bvh: Bvh, radius: float) -> Clearance:
    return Clearance(bvh, radius, np.float32(bvh.diagonal * 2.0**-22), PLENTY)


def flooded(bvh: Bvh, origin: ArrayLike, spacing: float, shape: tuple[int, ...], radius: float) -> NDArray[np.bool_]:
    """Return ``reached`` (I, J, K) as booleans."""
    blocks = -(-np.array(shape) // SIDE)
    count = int(blocks.prod())
    free, reached, work = np.zeros(count, np.uint64), np.zeros(count, np.uint64), work_array(count, 7)
    for lo in range(0, count, 7):
        grid = Grid(np.array(origin), spacing, np.array(shape))
        find_free(lo, min(lo + 7, count), 7, grid, clearance_of(bvh, radius), free, work)
    flood(np.array(shape), free, reached)
    assert (work.sum(axis=1) > 0).all()
    bits = (reached[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(bool)
    padded = bits.reshape(*blocks, 2, 2, 2, 2, 2, 2).transpose(0, 3, 6, 1, 4, 7, 2, 5, 8).reshape(*(SIDE * blocks))
    inside = np.zeros_like(padded)
    inside[: shape[0], : shape[1], : shape[2]] = True
    assert not (padded & ~inside).any()
    return padded[: shape[0], : shape[1], : shape[2]]


@pytest.mark.parametrize("kind", ["lattice", "loose"])
@pytest.mark.parametrize("seed", range(8))
def test_free_samples_agree_with_the_naive_twin(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    bvh, facets = tree_of(random_facets(random, kind))
    radius = float(random.choice([0.5, 1.0, 2.0] if kind == "lattice" else [0.05, 0.2, 0.5]))
    count = int(random.integers(1, 150))
    if kind == "lattice":  # axes as normals, and points half a step apart: some lie at the radius exactly
        normals = np.eye(3)[random.integers(0, 3, count)] * random.choice([-1.0, 1.0], (count, 1))
        points = random.integers(-8, 9, (count, 3)) / 2
    else:
        normals = random.normal(size=(count, 3))
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        points = facets[random.integers(0, len(facets), count)].mean(axis=1)
    tolerance = float(random.choice([0.0, 0.002])) * radius
    touches, work = np.zeros(count, np.uint8), work_array(count, 64)
    everywhere, grid = np.full(1, ~np.uint64(0)), Grid(np.full(3, -1e3), 1e3, np.full(3, 4))
    clearance = clearance_of(bvh, radius - tolerance)
    for lo in range(0, count, 64):
        find_touched(lo, min(lo + 64, count), 64, points, normals, radius, grid, everywhere, clearance, touches, work)
    centres = points + radius * normals
    assert touches.tolist() == [naive.is_free(centre, facets, radius - tolerance) for centre in centres]


@pytest.mark.parametrize("kind", ["lattice", "loose"])
@pytest.mark.parametrize("seed", range(8))
def test_reached_points_agree_with_the_naive_twin(kind: str, seed: int) -> None:
    random = np.random.default_rng(100 + seed)
    bvh, facets = tree_of(random_facets(random, kind))
    shape, spacing = tuple(random.integers(1, 11, 3).tolist()), float(random.choice([0.5, 1.0]))
    origin = -spacing * (np.array(shape) // 2) if kind == "lattice" else random.normal(size=3) - 3
    radius = spacing * float(random.choice([0.5, 1.0, 2.0]))
    free = np.array(
        [naive.is_free(origin + spacing * np.array(at), facets, radius) for at in np.ndindex(shape)]
    ).reshape(shape)
    assert set(map(tuple, np.argwhere(flooded(bvh, origin, spacing, shape, radius)).tolist())) == naive.travel(free)


@pytest.mark.parametrize("seed", range(4))
def test_a_ball_travels_through_a_maze(seed: int) -> None:
    """Walls of single points: all paths of the words and between them."""
    random = np.random.default_rng(seed)
    shape = (9, 13, 10)
    free = random.random(shape) < 0.6
    at = np.argwhere(~free).astype(float)
    bvh, facets = tree_of(np.repeat(at[:, None], 3, axis=1))
    origin = facets[0, 0] - at[0]
    assert set(map(tuple, np.argwhere(flooded(bvh, origin, 1.0, shape, 0.5)).tolist())) == naive.travel(free)


def test_only_samples_whose_cell_was_reached_are_touched() -> None:
    bvh, _ = tree_of(np.full((1, 3, 3), 100.0))
    shape, count = np.array([6, 9, 5]), 500
    random = np.random.default_rng(1)
    reached = random.random(shape) < 0.1
    points = random.uniform(-1, 1, (count, 3)) + random.uniform(0, 1, (count, 3)) * shape
    blocks = -(-shape // SIDE)
    words = np.zeros(int(blocks.prod()), np.uint64)
    for i, j, k in np.argwhere(reached):
        octet, lane = (i % 4 // 2) * 4 + (j % 4 // 2) * 2 + k % 4 // 2, (i % 2) * 4 + (j % 2) * 2 + k % 2
        words[(i // 4 * blocks[1] + j // 4) * blocks[2] + k // 4] |= np.uint64(1 << int(8 * octet + lane))
    normals, touches, work = np.tile([0, 0, 1.0], (count, 1)), np.zeros(count, np.uint8), work_array(count, count)
    grid, clearance = Grid(np.zeros(3), 1.0, shape), clearance_of(bvh, 0.5)
    find_touched(0, count, count, points - [0, 0, 0.5], normals, 0.5, grid, words, clearance, touches, work)
    cells = np.floor(points).astype(int)
    expected = [
        any(reached[tuple(np.clip(cell + corner, 0, shape - 1))] for corner in np.ndindex(2, 2, 2)) for cell in cells
    ]
    assert touches.tolist() == expected


def test_the_distance_of_the_naive_twin_is_right() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        facets, point = random.normal(size=(7, 3, 3)), 2 * random.normal(size=3)
        closest = trimesh.triangles.closest_point(facets, np.tile(point, (7, 1)))
        found = [naive.squared_distance(point, *facet) for facet in facets]
        np.testing.assert_allclose(found, ((closest - point) ** 2).sum(axis=1), rtol=1e-9)
