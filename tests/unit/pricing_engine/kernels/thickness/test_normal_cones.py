"""Cones and slabs of the boxes: no facet that faces a direction or that a sphere meets is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import uncounted
from pricing_engine.kernels.runtime.simd import splat8, store8
from pricing_engine.kernels.runtime.vec3 import splat3
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from pricing_engine.kernels.thickness.normal_cones import (
    FACING,
    HIGH,
    KEY,
    LANE_DIRECTION,
    LANE_MIDDLE,
    LANE_RADIUS,
    LANE_SQUARE,
    LOW,
    OFFSET,
    ROWS,
    build_normal_cones,
    lanes16,
    siblings8,
)
from tests.naive.thickness import closest_points
from tests.support.kernel_inputs import BALL, Floats, meshes, normals_of, randoms, triangles
from tests.support.meshes import unwelded, welded

Walls = NDArray[np.float32]


def levels(bvh: Bvh) -> list[tuple[int, int, int]]:
    """First box, end and facets a box of each level."""
    ends = [*bvh.level_start[1:].tolist(), bvh.boxes.shape[1]]
    return [
        (start, end, WIDTH ** (level + 1))
        for level, (start, end) in enumerate(zip(bvh.level_start.tolist(), ends, strict=True))
    ]


def by_box(walls: Walls) -> Walls:
    """Rows (boxes, ROWS)."""
    columns: Walls = walls.reshape(len(walls), ROWS, WIDTH).transpose(0, 2, 1).reshape(-1, ROWS)
    return columns


def facing_normals(corners: Floats, size: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Outward normals, and which facets have enough area to have one for certain."""
    edges = corners[:, [1, 2]] - corners[:, :1]
    double = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return normals_of(corners), double > 1e-9 * size * np.linalg.norm(edges, axis=2).max(axis=1, initial=0)


@settings(max_examples=40)
@given(triangles(1, 150), randoms())
def test_keys_and_offsets_leave_no_facet_out(corners: Floats, random: np.random.Generator) -> None:
    mesh = welded(corners)
    bvh = build_bvh(mesh, 1)
    boxes = by_box(build_normal_cones(mesh, bvh, 1)).astype(np.float64)
    normals, firm = facing_normals(corners, bvh.diagonal)
    local = corners - bvh.centre
    directions = random.normal(size=(40, 3))
    directions = np.concatenate([directions, normals[firm]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    facing = normals @ directions.T > FACING
    for start, end, span in levels(bvh):
        for box in range(end - start):
            held = slice(box * span, box * span + span)
            axis, key, offset = boxes[start + box, :3], boxes[start + box, KEY], boxes[start + box, OFFSET]
            some = firm[held].any()
            assert (axis @ directions.T > key)[facing[held][firm[held]].any(axis=0)].all()
            if some:
                assert (local[held] @ axis).min() >= offset - 1e-12 * bvh.diagonal
                low, high = boxes[start + box, LOW:HIGH], boxes[start + box, HIGH:]
                assert (low <= bvh.boxes[:3, start + box]).all()
                assert (high >= bvh.boxes[3:, start + box]).all()
            elif len(normals[held]) == 0:
                assert key > 3  # an empty box faces nothing


@settings(max_examples=25)
@given(triangles(1, 30, flat=False, far=False))
def test_the_cone_of_one_normal_is_as_narrow_as_65_degrees(corners: Floats) -> None:
    """Copies of one triangle along its plane: the slab is flat and the key that of the angle."""
    normal = normals_of(corners[:1])[0]
    shift = corners[0, 1] - corners[0, 0]
    mesh = unwelded(corners[0] + np.arange(len(corners))[:, None, None] * shift)
    bvh = build_bvh(mesh, 1)
    boxes = by_box(build_normal_cones(mesh, bvh, 1))
    for start, end, span in levels(bvh):
        for box in range(start, end):
            if (box - start) * span < len(corners):
                assert boxes[box, :3] == pytest.approx(normal, abs=1e-4)
                assert boxes[box, KEY] == pytest.approx(FACING, abs=1e-3)
                height = (corners[0, 0] - bvh.centre) @ normal
                assert boxes[box, OFFSET] == pytest.approx(height, abs=1e-4 * bvh.diagonal)


# as compiled functions call them
_SPLAT8: Any = splat8
_STORE8: Any = store8


@uncounted
def _siblings(walls: Any, group: Any, m: Any, angle: Any, c: Any, square: Any, out: Any) -> Any:
    mask, near = siblings8(walls, group, splat3(m), _SPLAT8(angle), splat3(c), _SPLAT8(square))
    _STORE8(out, 0, near)
    return mask


@settings(max_examples=40)
@given(meshes(1, 100, flat=False, far=False), randoms())
def test_boxes_that_hold_a_facing_facet_in_reach_are_found(mesh: Mesh, random: np.random.Generator) -> None:
    bvh = build_bvh(mesh, 1)
    walls = build_normal_cones(mesh, bvh, 1)
    corners = mesh.vertices[mesh.facets] - bvh.centre
    normals = normals_of(corners)
    middle = (corners.mean(axis=1)[random.integers(len(corners))] + random.normal(size=3) * 0.2 * bvh.diagonal).astype(
        np.float32
    )
    direction = random.normal(size=3)
    direction = (direction / np.linalg.norm(direction)).astype(np.float32)
    radius = np.float32(random.uniform(0, 0.5) * bvh.diagonal)
    distance = np.linalg.norm(
        closest_points(corners, np.tile(middle.astype(np.float64), (len(corners), 1))) - middle, axis=1
    )
    faces = normals @ direction.astype(np.float64) > FACING + 1e-4
    lanes = np.zeros((8, 16), np.float32)
    lanes[LANE_RADIUS], lanes[LANE_SQUARE] = -1e30, -1
    lane = int(random.integers(16))
    lanes[LANE_DIRECTION : LANE_DIRECTION + 3, lane] = direction
    lanes[LANE_MIDDLE : LANE_MIDDLE + 3, lane] = middle
    lanes[LANE_RADIUS, lane], lanes[LANE_SQUARE, lane] = radius, radius * radius
    out = np.empty(WIDTH, np.float32)
    for start, end, span in levels(bvh):
        for group in range(start // WIDTH, end // WIDTH):
            mask = _siblings(walls, group, tuple(direction), np.float32(1e-6), tuple(middle), radius * radius, out)
            for side in range(WIDTH):
                first = (group * WIDTH + side - start) * span
                held = slice(first, first + span)
                within = distance[held].min(initial=np.inf)
                meant = bool((faces[held] & (distance[held] < radius * (1 - 1e-4))).any())
                found = lanes16(walls, group, side, lanes)
                assert not meant or mask >> side & 1
                assert found == 1 << lane or (found == 0 and not meant)
                if mask >> side & 1:
                    assert out[side] <= radius * radius
                    assert np.sqrt(max(out[side], 0)) <= within * (1 + 1e-4) + 1e-4 * bvh.diagonal


def test_threads_change_no_bit() -> None:
    random = np.random.default_rng(2)
    corners = random.normal(0, 5, (70_000, 1, 3)) + random.normal(0, 0.3, (70_000, 3, 3))
    mesh = unwelded(corners[np.argsort(corners[:, 0, 0])])
    bvh = build_bvh(mesh, 2)
    one = build_normal_cones(mesh, bvh, 1)
    for threads in (2, 7):
        assert build_normal_cones(mesh, bvh, threads).tobytes() == one.tobytes()


def test_the_lowest_leaf_of_a_ball_faces_down_and_never_up() -> None:
    mesh = welded(BALL[np.argsort(BALL.mean(axis=1)[:, 2])])
    boxes = by_box(build_normal_cones(mesh, build_bvh(mesh, 1), 1))
    leaves = boxes[: -(-len(BALL) // WIDTH)]
    key, down = leaves[0, KEY], -leaves[0, 2]
    assert down > 0.9
    assert -down < key < down
