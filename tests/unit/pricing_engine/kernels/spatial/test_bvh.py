"""The implicit tree: leaves of eight facets, boxes that hold all below them, levels one after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh, first_child
from tests.support.meshes import unwelded, welded
from tests.support.triangle_soups import lattice_facets

_COUNTS = st.integers(0, 20) | st.sampled_from([63, 64, 65, 511, 512, 513, 520, 700])


def _check_levels(bvh: Bvh, count: int) -> None:
    """Every box of a level is the union of its eight children, and levels are padded with empty boxes."""
    filled, starts = -(-count // WIDTH), bvh.level_start.tolist()
    ends = [*starts[1:], bvh.boxes.shape[1]]
    assert starts[0] == 0
    assert ends[-1] - starts[-1] <= WIDTH
    for level, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert end - start == -(-filled // WIDTH) * WIDTH
        boxes = bvh.boxes[:, start:end]
        assert (boxes[:3, filled:] == np.inf).all()
        assert (boxes[3:, filled:] == -np.inf).all()
        for box in range(filled if level else 0):
            first = first_child(bvh.level_start, start + box, level)
            assert first == starts[level - 1] + WIDTH * box
            children = bvh.boxes[:, first : first + WIDTH]
            assert np.array_equal(boxes[:3, box], children[:3].min(axis=1))
            assert np.array_equal(boxes[3:, box], children[3:].max(axis=1))
        filled = -(-filled // WIDTH)


@settings(max_examples=40)
@given(st.integers(0, 2**32), _COUNTS, st.sampled_from([(1.0, 0.0), (1e-3, 0.0), (0.1, 1e6), (1.0, -1e9)]))
def test_boxes_hold_the_facets_and_are_tight(seed: int, count: int, place: tuple[float, float]) -> None:
    size, offset = place
    mesh = welded(lattice_facets(np.random.default_rng(seed), count) * size + offset)
    bvh = build_bvh(mesh, 1)
    corners = mesh.vertices[mesh.facets]
    low, high = (corners.min(axis=(0, 1)), corners.max(axis=(0, 1))) if count else (np.zeros(3), np.zeros(3))
    assert np.array_equal(bvh.centre, (low + high) / 2)
    assert bvh.diagonal == pytest.approx(float(np.sqrt(((high - low) ** 2).sum())))
    relative = corners - bvh.centre
    assert bvh.corners.shape == (9, -(-count // WIDTH) * WIDTH)
    assert np.array_equal(bvh.corners[:, :count], relative.astype(np.float32).reshape(-1, 9).T)
    assert np.isnan(bvh.corners[:, count:]).all()
    slack = float(np.abs(high - low).max()) * 2.0**-21
    for leaf in range(-(-count // WIDTH)):
        points = relative[leaf * WIDTH : leaf * WIDTH + WIDTH].reshape(-1, 3)
        box = bvh.boxes[:, leaf].astype(np.float64)
        assert (box[:3] <= points.min(axis=0)).all()
        assert (box[3:] >= points.max(axis=0)).all()
        assert (box[:3] >= points.min(axis=0) - slack).all()
        assert (box[3:] <= points.max(axis=0) + slack).all()
    _check_levels(bvh, count)


def test_one_facet_and_one_point() -> None:
    bvh = build_bvh(Mesh(np.array([[5.0, 6, 7]]), np.zeros((1, 3), np.int32)), 1)
    assert bvh.boxes[:, 0].tolist() == [0] * 6
    assert bvh.level_start.tolist() == [0]
    assert (bvh.centre.tolist(), bvh.diagonal) == ([5, 6, 7], 0)


def test_many_chunks_are_the_same_on_any_threads() -> None:
    mesh = unwelded(np.random.default_rng(1).normal(size=(8 * 4096 + 77, 3, 3)))
    one = build_bvh(mesh, 1)
    _check_levels(one, mesh.facet_count)
    for threads in (2, 7):
        other = build_bvh(mesh, threads)
        assert other.boxes.tobytes() == one.boxes.tobytes()
        assert other.corners.tobytes() == one.corners.tobytes()
