"""The samples that need support: boxes of blocks, tests of blocks that leave nothing out, and the samples found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.analysis.directions import frames
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.support_samples import (
    BLOCK,
    block_boxes,
    extent,
    fill_normal_boxes,
    max_along,
    meets,
    overhanging,
    rests,
    strip,
)
from tests.support.kernel_inputs import meshes, randoms
from tests.support.support_cases import COSINE, case_of, unit

Singles = NDArray[np.float32]


@settings(max_examples=40)
@given(randoms(), st.integers(0, 150), st.sampled_from([3, 9]))
def test_boxes_hold_the_points_of_their_block(random: np.random.Generator, count: int, rows: int) -> None:
    points = random.integers(-3, 4, (rows, count)).astype(np.float32)
    points[:, random.random(count) < 0.2] = np.nan
    blocks = -(-count // BLOCK)
    boxes = np.full((6, blocks), np.nan, np.float32)
    block_boxes(0, blocks, points, rows, boxes)
    for block in range(blocks):
        held = points[:, block * BLOCK : block * BLOCK + BLOCK].reshape(-1, 3, min(BLOCK, count - block * BLOCK))
        for axis in range(3):
            own = held[:, axis][~np.isnan(held[:, axis])]
            assert boxes[[axis, 3 + axis], block].tolist() == [own.min(initial=np.inf), own.max(initial=-np.inf)]


@settings(max_examples=40)
@given(randoms(), st.integers(0, 150), st.floats(0, 1))
def test_boxes_of_normals_leave_out_what_has_no_area(random: np.random.Generator, count: int, share: float) -> None:
    vectors = random.normal(size=(3, count)).astype(np.float32)
    areas = np.vstack([vectors, np.linalg.norm(vectors, axis=0)]).astype(np.float32)
    areas[:, random.random(count) < share] = 0
    blocks = -(-count // BLOCK)
    boxes = np.full((6, blocks), np.nan, np.float32)
    fill_normal_boxes(0, blocks, areas, boxes)
    for block in range(blocks):
        held = areas[:, block * BLOCK : block * BLOCK + BLOCK]
        own = held[:3, held[3] > 0] / held[3, held[3] > 0]
        expected = [*own.min(axis=1), *own.max(axis=1)] if own.size else [0.0] * 6
        assert boxes[:, block].tolist() == expected


@settings(max_examples=40)
@given(randoms())
def test_no_point_of_a_box_lies_farther_along_than_the_bounds(random: np.random.Generator) -> None:
    low = random.normal(size=3)
    boxes = np.concatenate([low, low + random.exponential(size=3)]).astype(np.float32)[:, None]
    axis = unit(random, 1)[0].astype(np.float32)
    points = boxes[:3, 0] + np.array(list(np.ndindex(3, 3, 3))) / 2 * (boxes[3:, 0] - boxes[:3, 0])
    along = points @ axis
    x, y, z = axis
    assert max_along(boxes, 0, x, y, z) == pytest.approx(along.max(), abs=1e-5)
    middle, radius = extent(boxes, 0, x, y, z)
    assert (np.abs(along - middle) <= radius + 1e-5).all()
    near, far = np.sort(np.abs(random.normal(size=2))).astype(np.float32)
    distance = np.abs(along)
    if ((distance >= near + 1e-5) & (distance <= far - 1e-5)).any():
        assert meets(boxes, 0, x, y, z, near, far)
    if abs(middle) + radius < near or abs(middle) - radius > far:
        assert not meets(boxes, 0, x, y, z, near, far)


@settings(max_examples=40)
@given(randoms())
def test_a_segment_widens_a_strip_by_its_part_within(random: np.random.Generator) -> None:
    pu, pv, qu, qv = random.integers(-4, 5, 4).astype(np.float32)
    below, above = np.sort(random.normal(0, 2, 2)).astype(np.float32)
    near, far = strip(pu, pv, qu, qv, below, above, np.float32(np.inf), np.float32(-np.inf))
    t = np.linspace(0, 1, 1001)
    u, v = pu + t * (qu - pu), pv + t * (qv - pv)
    within = u[(v >= below) & (v <= above)]
    if not len(within):
        assert near > far or far - near < 0.02 * 8
        return
    assert near <= within.min() + 1e-4
    assert far >= within.max() - 1e-4
    assert within.min() - near < 0.02 * 8
    assert far - within.max() < 0.02 * 8


@settings(max_examples=30)
@given(meshes(1, 15, far=False), randoms(), st.floats(0, 0.5), st.floats(0, 2))
def test_the_samples_found_are_those_that_overhang_in_the_band(
    mesh: Mesh, random: np.random.Generator, near_share: float, width: float
) -> None:
    surface, arrays, size = case_of(mesh)
    count = len(surface.owner)
    if size == 0 or count == 0:
        return
    frame = frames(unit(random, 1))[0].astype(np.float32)
    u, v, down = (frame[k : k + 3].astype(np.float64) for k in (0, 3, 6))
    samples, corners = surface.samples[:, :count].astype(np.float64), surface.corners.astype(np.float64)
    height = -(samples[:3].T @ down)
    rest = np.float32(height.min() + 0.1 * size)
    near, far = np.float32(near_share * size), np.float32((near_share + width) * size)
    found = overhanging(frame, rest, near, far, arrays, COSINE, np.float32(size * 1e-7), np.empty(64, np.float32))
    weight, across = samples[3:6].T @ down, samples[:3].T @ v
    triangles = corners.T.reshape(-1, 3, 3)[surface.owner]
    resting = (height <= rest) & (-(triangles @ down) <= rest).all(axis=1)
    band = (np.abs(across) >= near) & (np.abs(across) < far)
    chosen = (weight > COSINE * samples[6]) & band & ~resting
    slack = 1e-5 * size
    undecided = (
        (np.abs(weight - COSINE * samples[6]) <= 1e-5 * samples[6])
        | (np.abs(np.abs(across) - near) < slack)
        | (np.abs(np.abs(across) - far) < slack)
        | (np.abs(-(triangles @ down) - rest) < slack).any(axis=1)
    )
    expected = np.stack([samples[:3].T @ u, across, height, weight])
    sure, most = chosen & ~undecided, chosen | undecided
    assert sure.sum() <= found.shape[1] <= most.sum()
    if sure.sum() == most.sum():
        scale = np.array([size, size, size, samples[6].max() + 1e-30])[:, None]
        np.testing.assert_allclose(found / scale, expected[:, sure] / scale, atol=1e-5)


def test_a_triangle_rests_where_all_of_its_corners_are_low() -> None:
    corners = np.array([[0, 0, 1, 1, 0, 1.5, 0, 1, 2]], np.float32).T
    for limit, expected in ((1.9, False), (2.0, True)):
        assert rests(corners, 0, np.float32(0), np.float32(0), np.float32(-1), np.float32(limit)) == expected
