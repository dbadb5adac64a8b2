"""Order facets along the Hilbert curve of their centroids, independently of the order in the file.

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

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.spatial.hilbert import HILBERT

MAX_FACETS = 1 << 28
_LEVELS, _BUCKET_BITS, _DIGIT_BITS = 16, 12, 9
_BUCKETS, _REST_BITS = 1 << _BUCKET_BITS, 3 * _LEVELS - _BUCKET_BITS
_DIGIT_MASK, _PASSES = np.uint64((1 << _DIGIT_BITS) - 1), _REST_BITS // _DIGIT_BITS
_FACET_MASK, _REST_SHIFT = np.uint64(MAX_FACETS - 1), np.uint64(28)
_REST_MASK = np.uint64((1 << _REST_BITS) - 1)
_GRAIN = 16384
_FIRST_STATE = 1  # two levels of octant 0 lead from it to state 0: the 16 levels are walked as 18


def facet_order(
    positions: NDArray[Any],
    index: NDArray[np.int32],
    facet_count: int,
    lo: NDArray[np.float64],
    extent: float,
    threads: int,
) -> NDArray[np.int32]:
    """Facet numbers (F,) in canonical order; the curve fills the cube with corner ``lo`` and edge ``extent``."""
    chunks = chunk_count(facet_count, _GRAIN)
    keys = np.empty(facet_count, np.uint64)
    slots = np.zeros((chunks, _BUCKETS), np.int32)
    scale = (2.0**_LEVELS - 1) / extent if extent > 0 else 0.0
    run_ranges(_facet_keys, facet_count, _GRAIN, threads, positions, index, lo, scale, HILBERT, keys, slots)
    bucket_start = np.empty(_BUCKETS + 1, np.int64)
    _place_buckets(slots, bucket_start)
    packed = np.empty(facet_count, np.uint64)
    run_ranges(_scatter, facet_count, _GRAIN, threads, keys, slots, packed)
    del keys
    order = np.empty(facet_count, np.int32)
    filled = np.flatnonzero(np.diff(bucket_start))
    run_ranges(_sort_buckets, len(filled), 8, threads, filled, bucket_start, positions, index, packed, order)
    return order


@kernel
def _facet_keys(first, last, positions, index, lo, scale, table, keys, slots):
    third, top, chunk = scale / 3.0, 2.0**_LEVELS - 1, first // _GRAIN
    seven = np.uint64(7)
    for facet in range(np.uint64(first), np.uint64(last)):
        a = np.uint64(3) * facet
        b, c = a + np.uint64(1), a + np.uint64(2)
        if len(index) > 0:
            a, b, c = np.uint64(index[facet, 0]), np.uint64(index[facet, 1]), np.uint64(index[facet, 2])
        x = (np.float64(positions[a, 0]) - lo[0]) + (positions[b, 0] - lo[0]) + (positions[c, 0] - lo[0])
        y = (np.float64(positions[a, 1]) - lo[1]) + (positions[b, 1] - lo[1]) + (positions[c, 1] - lo[1])
        z = (np.float64(positions[a, 2]) - lo[2]) + (positions[b, 2] - lo[2]) + (positions[c, 2] - lo[2])
        i, j, k = np.uint64(min(x * third, top)), np.uint64(min(y * third, top)), np.uint64(min(z * third, top))
        key, state = np.uint64(0), np.uint64(_FIRST_STATE)
        for step in range(_LEVELS // 3, -1, -1):
            level = np.uint64(3 * step)
            cell = (i >> level & seven) << np.uint64(6) | (j >> level & seven) << np.uint64(3) | (k >> level & seven)
            entry = np.uint64(table[state << np.uint64(9) | cell])
            key = key << np.uint64(9) | (entry & np.uint64(511))
            state = entry >> np.uint64(9)
        keys[facet] = key
        slots[chunk, key >> np.uint64(_REST_BITS)] += 1


@kernel
def _place_buckets(slots, bucket_start):
    """Turn the counts of each chunk and bucket into the places where the chunk's share of the bucket begins."""
    bucket_start[:] = 0
    for chunk in range(len(slots)):
        for bucket in range(_BUCKETS):
            count = slots[chunk, bucket]
            slots[chunk, bucket] = bucket_start[bucket + 1]
            bucket_start[bucket + 1] += count
    for bucket in range(_BUCKETS):
        bucket_start[bucket + 1] += bucket_start[bucket]
    for chunk in range(len(slots)):
        for bucket in range(_BUCKETS):
            slots[chunk, bucket] += bucket_start[bucket]


@kernel
def _scatter(first, last, keys, slots, packed):
    chunk = first // _GRAIN
    for facet in range(first, last):
        key = keys[facet]
        bucket = np.int64(key >> np.uint64(_REST_BITS))
        packed[slots[chunk, bucket]] = (key & _REST_MASK) << _REST_SHIFT | np.uint64(facet)
        slots[chunk, bucket] += 1


@kernel
def _sort_buckets(first, last, filled, bucket_start, positions, index, packed, order):
    largest = 0
    for bucket in filled[first:last]:
        largest = max(largest, bucket_start[bucket + 1] - bucket_start[bucket])
    other = np.empty(largest, np.uint64)
    slots = np.empty((_PASSES, 1 << _DIGIT_BITS), np.int64)
    for bucket in filled[first:last]:
        start, end = bucket_start[bucket], bucket_start[bucket + 1]
        if end - start > 48:
            _radix_sort(start, end, packed, other, slots)
        else:
            for i in range(start + 1, end):
                value, j = packed[i], i
                while j > start and packed[j - 1] > value:
                    packed[j] = packed[j - 1]
                    j -= 1
                packed[j] = value
        for i in range(start, end):
            order[i] = packed[i] & _FACET_MASK
        i = start
        while i < end:
            j = i + 1
            while j < end and packed[j] >> _REST_SHIFT == packed[i] >> _REST_SHIFT:
                j += 1
            if j - i > 1:
                _heap_sort(i, j, positions, index, order)
            i = j


@kernel
def _radix_sort(start, end, packed, other, slots):
    """Least significant digit first; the even number of passes ends in ``packed``."""
    slots[:] = 0
    for i in range(start, end):
        rest = packed[i] >> _REST_SHIFT
        for p in range(_PASSES):
            slots[p, np.int64(rest >> np.uint64(_DIGIT_BITS * p) & _DIGIT_MASK)] += 1
    for p in range(_PASSES):
        total = start if p % 2 else 0
        for digit in range(1 << _DIGIT_BITS):
            slots[p, digit], total = total, total + slots[p, digit]
    for p in range(0, _PASSES, 2):
        for i in range(start, end):
            value = packed[i]
            digit = np.int64(value >> np.uint64(28 + _DIGIT_BITS * p) & _DIGIT_MASK)
            other[slots[p, digit]] = value
            slots[p, digit] += 1
        for i in range(end - start):
            value = other[i]
            digit = np.int64(value >> np.uint64(28 + _DIGIT_BITS * (p + 1)) & _DIGIT_MASK)
            packed[slots[p + 1, digit]] = value
            slots[p + 1, digit] += 1


@inlined
def _before(f, g, positions, index):
    for corner in range(3):
        a, b = 3 * np.int64(f) + corner, 3 * np.int64(g) + corner
        if len(index) > 0:
            a, b = np.int64(index[f, corner]), np.int64(index[g, corner])
        for axis in range(3):
            if positions[a, axis] != positions[b, axis]:
                return positions[a, axis] < positions[b, axis]
    return False


@kernel
def _heap_sort(start, end, positions, index, order):
    """Order facets with equal keys by their coordinates: in place, n log n even if all facets coincide."""
    count = end - start
    for step in range(count // 2 - 1, -count, -1):
        size, root = count, step
        if step < 0:
            size, root = count + step, 0
            order[start], order[start + size] = order[start + size], order[start]
        while 2 * root + 1 < size:
            child = 2 * root + 1
            if child + 1 < size and _before(order[start + child], order[start + child + 1], positions, index):
                child += 1
            if not _before(order[start + root], order[start + child], positions, index):
                break
            order[start + root], order[start + child] = order[start + child], order[start + root]
            root = child
