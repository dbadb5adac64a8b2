"""Rays: which facets they cross, to the last tie; heights; the leaves that they meet; facets that need no test."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.solid.ray_crossings import (
    SHEAR_X,
    SHEAR_Y,
    crossing,
    height_above,
    may_cross8,
    next_leaf,
    normal_z,
    start_ray,
)
from pricing_engine.kernels.solid.winding import JITTER, STACK, general_position, ray_pad
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from tests.support.kernel_inputs import Floats, meshes, randoms, shells
from tests.support.meshes import welded


def naive_crossing(x: float, y: float, corners: Floats) -> int:
    """Edges up less edges down that the half line from (x, y) towards +x crosses, in rational numbers."""
    total = 0
    for i in range(3):
        (xi, yi), (xj, yj) = ([Fraction(float(c)) for c in corners[k, :2]] for k in (i, (i + 1) % 3))
        if (yj > y) != (yi > y) and xi + (Fraction(y) - yi) / (yj - yi) * (xj - xi) > x:
            total += 1 if yj > yi else -1
    return total


@settings(max_examples=50)
@given(randoms(), st.integers(3, 12))
def test_crossings_are_exact_at_every_tie(random: np.random.Generator, count: int) -> None:
    moved = random.integers(-3, 4, (count, 3)).astype(np.float64)
    facets = random.integers(0, count, (20, 3)).astype(np.int32)
    for x, y in random.integers(-7, 8, (10, 2)) / 2:
        found = [crossing(x, y, moved, facets, f) for f in range(20)]
        assert found == [naive_crossing(x, y, moved[facet]) for facet in facets]
        turned, cycled = facets[:, ::-1].copy(), np.roll(facets, 1, axis=1)
        assert [crossing(x, y, moved, turned, f) for f in range(20)] == [-sign for sign in found]
        assert [crossing(x, y, moved, cycled, f) for f in range(20)] == found
    up = [normal_z(moved, facets, f) for f in range(20)]
    corners = moved[facets]
    assert up == np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].tolist()


@settings(max_examples=25)
@given(shells(), randoms())
def test_crossings_of_closed_surfaces_sum_to_zero_through_corners_and_edges_too(
    parts: list[Floats], random: np.random.Generator
) -> None:
    mesh = welded(*parts)
    moved = general_position(mesh, build_bvh(mesh, 1), 0.0, 1)
    ends = moved[random.integers(0, len(moved), (12, 2)), :2]
    for x, y in np.concatenate([ends[:, 0], ends.mean(axis=1)]):
        assert sum(crossing(x, y, moved, mesh.facets, f) for f in range(mesh.facet_count)) == 0


@settings(max_examples=50)
@given(randoms())
def test_heights_are_those_of_the_plane(random: np.random.Generator) -> None:
    moved, facets = random.normal(size=(3, 3)), np.array([[0, 1, 2]], np.int32)
    weights = random.normal(size=3)
    x, y, z = weights / weights.sum() @ moved
    if abs(normal_z(moved, facets, 0)) < 1e-2 or abs(weights.sum()) < 0.1:
        return
    for below in (-3.0, 0.0, 0.5):
        assert abs(height_above(x, y, z - below, moved, facets, 0) - below) < 1e-9


def visited(place: Floats, up: bool, bvh: Bvh) -> tuple[list[int], int]:
    """Leaves in the order of the descent, and how many boxes were opened."""
    stack, total = np.empty((STACK, 2), np.int64), 0
    leaves: list[int] = []
    x, y, z = place.tolist()
    depth = start_ray(x, y, z, up, bvh.boxes, bvh.level_start, stack)
    while True:
        leaf, depth, opened = next_leaf(x, y, z, up, bvh.boxes, bvh.level_start, stack, depth)
        total += opened
        if leaf < 0:
            return leaves, total
        leaves.append(leaf)


def met(place: Floats, up: bool, boxes: Floats, margin: float) -> NDArray[np.bool_]:
    """Which boxes (6, n) the ray of a sheared point meets, all widened by ``margin``."""
    origin = place + np.array([SHEAR_X, SHEAR_Y, 0]) * place[2]
    direction = np.array([SHEAR_X, SHEAR_Y, 1.0])[:, None]
    low = (boxes[:3] - margin - origin[:, None]) / direction
    high = (boxes[3:] + margin - origin[:, None]) / direction
    near, far = low.max(axis=0), high.min(axis=0)
    hits: NDArray[np.bool_] = (near <= far) & ((far >= 0) if up else (near <= 0))
    return hits


def signs(place: Floats, moved: Floats, facets: Ints) -> NDArray[np.int64]:
    return np.array([crossing(place[0], place[1], moved, facets, f) for f in range(len(facets))], np.int64)


@settings(max_examples=50)
@given(meshes(1, 150), randoms(), st.booleans())
def test_the_leaves_hold_all_facets_that_the_ray_crosses(mesh: Mesh, random: np.random.Generator, up: bool) -> None:
    bvh = build_bvh(mesh, 1)
    moved = general_position(mesh, bvh, JITTER, 1)
    margin = 1e-5 * bvh.diagonal
    leaves_there = -(-mesh.facet_count // WIDTH)
    for _ in range(4):
        place = moved[mesh.facets[random.integers(mesh.facet_count)]].mean(axis=0)
        place[2] += random.normal() * 0.1 * bvh.diagonal
        leaves, opened = visited(place, up, bvh)
        assert len(set(leaves)) == len(leaves) <= opened
        crossed = np.flatnonzero(signs(place, moved, mesh.facets))
        x, y, z = place.tolist()
        height = np.array([height_above(x, y, z, moved, mesh.facets, f) for f in crossed])
        ahead = crossed[(height > margin) if up else (height < -margin)]
        assert set(ahead // WIDTH) <= set(leaves)
        touched = met(place, up, bvh.boxes[:, :leaves_there].astype(np.float64), margin)
        assert set(leaves) <= set(np.flatnonzero(touched))


@settings(max_examples=50)
@given(meshes(1, 40), randoms())
def test_facets_that_need_no_test_are_not_crossed(mesh: Mesh, random: np.random.Generator) -> None:
    bvh = build_bvh(mesh, 1)
    moved, pad = general_position(mesh, bvh, JITTER, 1), ray_pad(bvh)
    low, high = moved[mesh.facets].min(axis=1), moved[mesh.facets].max(axis=1)
    place = moved[random.integers(len(moved))] + random.choice([0, 0.1], 3) * bvh.diagonal
    crossed = signs(place, moved, mesh.facets) != 0
    beside = ((place < low - 4 * pad) | (place > high + 4 * pad))[:, :2].any(axis=1)
    for base in range(0, mesh.facet_count, WIDTH):
        mask = may_cross8(place[0], place[1], pad, bvh.corners, base)
        marked = [bool(mask >> k & 1) for k in range(min(WIDTH, mesh.facet_count - base))]
        assert mask < 1 << len(marked)  # the padding is never crossed
        assert not (crossed[base : base + WIDTH] & ~np.array(marked)).any()
        assert not (beside[base : base + WIDTH] & np.array(marked)).any()
