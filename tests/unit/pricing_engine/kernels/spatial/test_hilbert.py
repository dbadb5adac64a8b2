"""The table of the Hilbert curve: three levels a row are those of the naive twin, and the curve has no gap."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.spatial.hilbert import HILBERT
from tests.naive import hilbert as naive


def test_rows_are_three_steps_of_the_naive_twin() -> None:
    assert HILBERT.shape == (24 * 512,)
    assert HILBERT.dtype == np.int16
    steps = {(state, octant): naive.step(state // 3, state % 3, octant) for state in range(24) for octant in range(8)}
    for row, found in enumerate(HILBERT.tolist()):
        state, x, y, z = row >> 9, row >> 6 & 7, row >> 3 & 7, row & 7
        digits = 0
        for level in (2, 1, 0):
            octant = x >> level & 1 | (y >> level & 1) << 1 | (z >> level & 1) << 2
            digit, entry, direction = steps[state, octant]
            state, digits = 3 * entry + direction, digits << 3 | digit
        assert found == state << 9 | digits


def _cells(state: int, levels: int) -> np.ndarray:
    """Cells (8**levels, 3) in the order of the curve that starts in ``state``; ``levels`` a multiple of three."""
    side = 1 << levels
    x, y, z = (axis.ravel() for axis in np.meshgrid(*[np.arange(side)] * 3, indexing="ij"))
    states, keys = np.full(len(x), state), np.zeros(len(x), np.int64)
    for level in range(levels - 3, -1, -3):
        row = states << 9 | (x >> level & 7) << 6 | (y >> level & 7) << 3 | (z >> level & 7)
        states, keys = HILBERT[row].astype(np.int64) >> 9, keys << 9 | HILBERT[row].astype(np.int64) & 511
    assert np.array_equal(np.sort(keys), np.arange(side**3))
    cells: np.ndarray = np.stack([x, y, z], axis=1)[np.argsort(keys)]
    return cells


def test_each_state_is_a_curve_in_steps_of_one_cell() -> None:
    for state in range(24):
        assert (np.abs(np.diff(_cells(state, 3), axis=0)).sum(axis=1) == 1).all()


def test_curves_join_across_rows_of_the_table() -> None:
    for state in (0, 1, 23):
        cells = _cells(state, 6)
        assert (np.abs(np.diff(cells, axis=0)).sum(axis=1) == 1).all()


def test_two_levels_of_octant_0_lead_from_state_1_to_state_0() -> None:
    """The 16 levels of a facet's key are walked as 18."""
    assert naive.key((0, 0, 0), 2) == 0
    entry, direction = divmod(1, 3)
    for _ in range(2):
        digit, entry, direction = naive.step(entry, direction, 0)
        assert digit == 0
    assert (entry, direction) == (0, 0)
    curve = _cells(1, 6)[: 16**3]
    assert [naive.key(cell, 4) for cell in curve.tolist()] == list(range(16**3))
