"""Points in the order of cells: keys along a Morton curve, a stable sort, columns and labels in one order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.spatial.cell_order import CELLS, SIDE, cell_keys, reorder, sort_cells


def _interleaved(x: int, y: int, z: int) -> int:
    return sum((x >> bit & 1) << 3 * bit | (y >> bit & 1) << 3 * bit + 1 | (z >> bit & 1) << 3 * bit + 2
               for bit in range(6))  # fmt: skip


def test_every_cell_has_its_key() -> None:
    cells = np.stack(np.unravel_index(np.arange(CELLS), (SIDE, SIDE, SIDE))).astype(np.float32)
    keys = np.empty(CELLS, np.int32)
    cell_keys(0, CELLS, cells + np.float32(0.5), np.zeros(3, np.float32), np.float32(1), keys)
    assert np.array_equal(np.sort(keys), np.arange(CELLS))
    some = np.random.default_rng(1).integers(0, CELLS, 500)
    assert [_interleaved(*cell) for cell in cells[:, some].T.astype(int).tolist()] == keys[some].tolist()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([3, 6]), st.sampled_from([1.0, 1e-20, 1e6]))
def test_points_fall_into_the_cells_of_their_box(seed: int, count: int, rows: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    points = (rng.integers(-4, 5, (rows, count)) * size).astype(np.float32)
    low, high = points[:3].min(axis=1), points[:3].max(axis=1)
    scale = np.float32((SIDE - 0.01) / max(float((high - low).max()), 1e-30))
    keys = np.full(count + 2, -7, np.int32)
    first = int(rng.integers(0, count + 1))
    cell_keys(first, count, points, low, scale, keys)
    assert (keys[:first] == -7).all()
    assert (keys[count:] == -7).all()
    cells = ((points[:3] - low[:, None]) * scale).astype(int)
    assert keys[first:count].tolist() == [_interleaved(*cell) for cell in cells.T.tolist()[first:]]
    assert (cells < SIDE).all()


@settings(max_examples=25)
@given(st.lists(st.integers(0, CELLS - 1) | st.sampled_from([0, 5, CELLS - 1]), max_size=60))
def test_sorting_is_stable(keys: list[int]) -> None:
    order = np.empty(len(keys), np.int32)
    sort_cells(np.array(keys, np.int32), order)
    assert order.tolist() == sorted(range(len(keys)), key=lambda i: keys[i])


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_columns_and_labels_move_together(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    columns, labels = rng.random((6, count + 8)).astype(np.float32), rng.integers(0, 99, count).astype(np.int32)
    order = rng.permutation(count).astype(np.int32)
    moved, moved_labels = np.full_like(columns, -1), np.full_like(labels, -1)
    middle = count // 3
    for lo, hi in ((middle, count), (0, middle)):
        reorder(lo, hi, columns, labels, order, moved, moved_labels)
    assert np.array_equal(moved[:, :count], columns[:, order])
    assert np.array_equal(moved_labels, labels[order])
    assert (moved[:, count:] == -1).all()
