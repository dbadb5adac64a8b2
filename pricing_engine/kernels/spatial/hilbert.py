"""The Hilbert curve as a table of states, after Hamilton & Rau-Chaplin, "Compact Hilbert indices", 2008."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _hilbert_table() -> NDArray[np.int16]:
    """Row ``state * 8 + octant`` (octant = x | y << 1 | z << 2) holds ``next state << 3 | key digit``."""
    table = np.empty(24 * 8, np.int16)
    for state in range(24):
        entry, turn = state // 3, state % 3 + 1
        for octant in range(8):
            local = octant ^ entry
            local = (local >> turn | local << (3 - turn)) & 7
            digit = local ^ local >> 1 ^ local >> 2  # inverse Gray code
            start = 2 * ((digit - 1) // 2) if digit else 0
            start ^= start >> 1
            start = (start << turn | start >> (3 - turn)) & 7
            odd = digit if digit % 2 else max(digit - 1, 0)
            trailing_ones = ((odd + 1) & ~odd).bit_length() - 1
            table[state * 8 + octant] = ((entry ^ start) * 3 + (turn + trailing_ones) % 3) << 3 | digit
    return table


def _three_levels(table: NDArray[np.int16]) -> NDArray[np.int16]:
    """Row ``state << 9 | x << 6 | y << 3 | z`` (three bits each) holds ``next state << 9 | three key digits``."""
    state, x, y, z = np.unravel_index(np.arange(24 * 512), (24, 8, 8, 8))
    digits = np.zeros_like(state)
    for level in (2, 1, 0):
        entry = table[state << 3 | x >> level & 1 | (y >> level & 1) << 1 | (z >> level & 1) << 2]
        state, digits = entry >> 3, digits << 3 | entry & 7
    both: NDArray[np.int16] = (state << 9 | digits).astype(np.int16)
    return both


HILBERT = _three_levels(_hilbert_table())
