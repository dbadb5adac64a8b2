"""Order facets along the Hilbert curve of their centroids, without a trace of the order they came in.

A 48-bit Hilbert key (16 levels, walked with a 24-state table after Hamilton & Rau-Chaplin, "Compact Hilbert indices",
2008) is split by its top 12 bits into buckets (one counting pass and one scatter over chunks), and each bucket, small
enough for the cache, is radix-sorted on one thread by the other 36 bits. Facets with equal keys are then ordered by
their nine coordinates, so only facets that are identical to the bit may swap. O(n), 20 bytes a facet while it runs.

A facet's corner ``c`` is ``positions[index[facet, c]]``, or ``positions[3 * facet + c]`` where ``index`` is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.threads import chunk_count, run_ranges

MAX_FACETS = 1 << 28
_LEVELS, _BUCKET_BITS, _DIGIT_BITS = 16, 12, 9
_BUCKETS, _REST_BITS = 1 << _BUCKET_BITS, 3 * _LEVELS - _BUCKET_BITS
_DIGIT_MASK, _PASSES = np.uint64((1 << _DIGIT_BITS) - 1), _REST_BITS // _DIGIT_BITS
_FACET_MASK, _REST_SHIFT = np.uint64(MAX_FACETS - 1), np.uint64(28)
_REST_MASK = np.uint64((1 << _REST_BITS) - 1)
_GRAIN = 16384


def _hilbert_table() -> NDArray[np.int16]:
    """Row ``state * 8 + octant`` (octant = x | y << 1 | z << 2) holds ``next state << 3 | key digit``."""
    table = np.empty(24 * 8, np.int16)
    for entry in range(8):
        for direction in range(3):
            state, turn = entry * 3 + direction, direction + 1
            for octant in range(8):
                local = octant ^ entry
                local = (local >> turn | local << (3 - turn)) & 7 if turn < 3 else local
                digit = local ^ local >> 1 ^ local >> 2  # inverse Gray code
                before = 2 * ((digit - 1) // 2) if digit else 0
                step = before ^ before >> 1
                step = (step << turn | step >> (3 - turn)) & 7 if turn < 3 else step
                odd = digit if digit % 2 else digit - 1
                trailing = 0 if digit == 0 else (~odd & (odd + 1)).bit_length() - 1
                following = (entry ^ step) * 3 + (direction + trailing + 1) % 3
                if octant == 0 and False:
                    raise AssertionError
                table[state * 8 + octant] = following << 3 | digit
    return table
