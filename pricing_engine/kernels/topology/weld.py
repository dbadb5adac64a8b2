"""Weld vertices with bitwise equal positions, on any number of threads, with the same numbers every time.

Facets are in canonical order, so most corners at a vertex lie in one chunk of facets. Each chunk welds its own corners
in a hash table that fits the cache and writes its distinct positions as *entries*. Entries of different chunks are
then merged by partitions of their hash: each partition takes its entries in chunk order, so the first one is the
*owner* and the numbering by first appearance needs no sort. O(n) expected.

Chunk ``i`` owns rows ``3 * i * GRAIN ...`` of the entry arrays. Rows that no entry uses are never touched, so the
system never backs them with memory: a closed mesh costs about 14 bytes a facet here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.allocation import sparse_empty
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import prefetch
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges

GRAIN = 8192
_TABLE = 1 << 15  # slots of two bytes, for at most 3 * GRAIN entries: 64 KiB stay in the cache
_AHEAD = 16  # facets
_K1, _K2, _K3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


def weld_corners(
    positions: NDArray[Any], index: NDArray[np.int32], order: NDArray[np.int32], scale: float, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices (V, 3), times ``scale``, and facets (F, 3) in ``order``; corners as in ``kernels.order``."""
    facet_count = len(order)
    chunks = chunk_count(facet_count, GRAIN)
    partitions = min(max(8, 1 << (facet_count >> 16).bit_length()), 256)
    facets = np.empty((facet_count, 3), np.int32)
    entries = sparse_empty((3 * facet_count, 3), positions.dtype)
    by_partition = sparse_empty(3 * facet_count, np.int32)
    segments = np.zeros((chunks, partitions + 1), np.int32)
    run_ranges(
        _weld_chunk, facet_count, GRAIN, threads, positions, index, order, facets, entries, by_partition, segments
    )
    owner = sparse_empty(3 * facet_count, np.int32)
    owned = np.zeros((partitions, chunks), np.int32)
    run_ranges(_merge, partitions, 1, threads, segments, entries, by_partition, owner, owned)
    del by_partition
    number_start = np.concatenate((np.zeros(1, np.int64), np.cumsum(owned.sum(axis=0, dtype=np.int64))))
    vertices = np.empty((int(number_start[-1]), 3), np.float64)
    number = sparse_empty(3 * facet_count, np.int32)
    run_ranges(_number, chunks, 1, threads, segments, number_start, owner, entries, scale, number, vertices)
    del entries
    run_ranges(_relabel, facet_count, GRAIN, threads, owner, number, facets)
    return vertices, facets


@inlined
def _hash(x, y, z):
    """64 bits of which the high ones are good; the three products don't wait for each other."""
    h = np.float64(x).view(np.uint64) * _K1 ^ np.float64(y).view(np.uint64) * _K2
    h += np.float64(z).view(np.uint64) * _K3
    return (h ^ h >> np.uint64(32)) * _K1


@kernel
def _weld_chunk(lo, hi, positions, index, order, facets, entries, by_partition, segments):
    """Unsigned numbers index without a check for negative ones, which would be a third of the time."""
    chunk, base, last = lo // GRAIN, np.uint64(3 * lo), np.uint64(3 * lo - 1)
    partitions = segments.shape[1] - 1
    table = np.zeros(_TABLE, np.int16)  # entry within the chunk, plus one
    partition_of = np.empty(3 * GRAIN, np.uint8)
    top, one = np.uint64(_TABLE - 1), np.uint64(1)
    zero = positions.dtype.type(0)  # adding it turns -0.0 into 0.0
    end = base  # of the entries so far
    for i in range(np.uint64(lo), np.uint64(hi)):
        facet = np.uint64(order[i])
        if len(index) == 0:  # the order in the file may be any: prefetch corners that lie anywhere
            ahead = np.uint64(3) * np.uint64(order[min(i + np.uint64(_AHEAD), np.uint64(hi) - one)])
            prefetch(positions, ahead)
            prefetch(positions, ahead + np.uint64(2))
        for corner in range(3):
            c = np.uint64(corner)
            p = np.uint64(index[facet, c]) if len(index) > 0 else np.uint64(3) * facet + c
            x, y, z = positions[p, 0] + zero, positions[p, 1] + zero, positions[p, 2] + zero
            h = _hash(x, y, z)
            slot = h >> np.uint64(49)
            while True:
                entry = last + np.uint64(table[slot])
                if entry == last:
                    entry = end
                    entries[entry, 0], entries[entry, 1], entries[entry, 2] = x, y, z
                    partition = np.int64(h >> np.uint64(32)) & (partitions - 1)
                    partition_of[entry - base] = partition
                    segments[chunk, partition + 1] += 1
                    end += one
                    table[slot] = end - base
                    break
                if entries[entry, 0] == x and entries[entry, 1] == y and entries[entry, 2] == z:
                    break
                slot = (slot + one) & top
            facets[i, c] = entry
    for p in range(partitions):
        segments[chunk, p + 1] += segments[chunk, p]
    cursor = segments[chunk].copy()
    for entry in range(base, end):
        partition = np.uint64(partition_of[entry - base])
        by_partition[base + np.uint64(cursor[partition])] = entry
        cursor[partition] += 1


@kernel
def _merge(first, last, segments, entries, by_partition, owner, owned):
    for partition in range(first, last):
        total = 0
        for chunk in range(len(segments)):
            total += segments[chunk, partition + 1] - segments[chunk, partition]
        size = 16
        while size < 2 * total:
            size *= 2
        table = np.full(size, -1, np.int32)
        top = np.uint64(size - 1)
        for chunk in range(len(segments)):
            base = 3 * GRAIN * chunk
            for row in range(base + segments[chunk, partition], base + segments[chunk, partition + 1]):
                entry = np.uint64(by_partition[row])
                x, y, z = entries[entry, 0], entries[entry, 1], entries[entry, 2]
                slot = (_hash(x, y, z) >> np.uint64(40)) & top
                while True:
                    other = np.uint64(table[slot])
                    if table[slot] < 0:
                        table[slot] = entry
                        owner[entry] = entry
                        owned[partition, chunk] += 1
                        break
                    if entries[other, 0] == x and entries[other, 1] == y and entries[other, 2] == z:
                        owner[entry] = other
                        break
                    slot = (slot + np.uint64(1)) & top


@kernel
def _number(first, last, segments, number_start, owner, entries, scale, number, vertices):
    for chunk in range(first, last):
        base, vertex = 3 * GRAIN * chunk, number_start[chunk]
        for entry in range(base, base + segments[chunk, segments.shape[1] - 1]):
            if owner[entry] == entry:
                for axis in range(3):
                    vertices[vertex, axis] = np.float64(entries[entry, axis]) * scale
                number[entry] = vertex
                vertex += 1


@kernel
def _relabel(lo, hi, owner, number, facets):
    for i in range(np.uint64(lo), np.uint64(hi)):
        for corner in range(np.uint64(3)):
            facets[i, corner] = number[np.uint64(owner[np.uint64(facets[i, corner])])]
