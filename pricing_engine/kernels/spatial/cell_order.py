"""Points in the order of the cells of a grid, by a counting sort: O(points + cells), stable within a cell.

The cells, 64 a side, lie along a Morton curve (Morton, "A computer oriented geodetic data base", IBM 1966).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel

SIDE = 64
CELLS = SIDE**3


@inlined
def _spread(x):
    """Spread the six bits of ``x``, two zeros between any two."""
    x = (x | x << 8) & 0x300F
    x = (x | x << 4) & 0x30C3
    return (x | x << 2) & 0x9249


@kernel
def cell_keys(lo, hi, points, low, scale, keys):
    """``keys`` (n,) int32: the cell of each column of ``points`` (3 or more, n) float32, at least ``low`` (3,)."""
    for i in range(lo, hi):
        x, y, z = (
            np.int32((points[0, i] - low[0]) * scale),
            np.int32((points[1, i] - low[1]) * scale),
            np.int32((points[2, i] - low[2]) * scale),
        )
        keys[i] = _spread(x) | _spread(y) << 1 | _spread(z) << 2


@kernel
def sort_cells(keys, order):
    """``order`` (n,) int32: the columns by their ``keys``."""
    begins = np.zeros(CELLS + 1, np.int32)
    for i in range(len(keys)):
        begins[keys[i] + 1] += 1
    for cell in range(CELLS):
        begins[cell + 1] += begins[cell]
    for i in range(len(keys)):
        order[begins[keys[i]]] = i
        begins[keys[i]] += 1


@kernel
def reorder(lo, hi, columns, labels, order, sorted_columns, sorted_labels):
    """Columns ``lo .. hi`` of ``sorted_columns`` and ``sorted_labels``: those of ``order`` of the others."""
    for row in range(columns.shape[0]):
        for i in range(lo, hi):
            sorted_columns[row, i] = columns[row, order[i]]
    for i in range(lo, hi):
        sorted_labels[i] = labels[order[i]]
