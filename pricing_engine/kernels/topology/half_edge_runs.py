"""Count and link the edges of a block, whatever they are, by runs of equal half-edges in sorted lists.

The general case of the pairing in :mod:`kernels.topology.edge_matching`, for blocks where an edge is used more than
twice, by one facet twice or by duplicates. Half-edges are collected by lower vertex, and each short list is ordered
by (higher vertex, third vertex): O(n log d) for d facets at a vertex.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel

GRAIN = 4096  # facets of a block
EDGES, BOUNDARY, NON_MANIFOLD, UNBALANCED, DUPLICATES, DEGENERATE = range(6)
_SHORT_LIST = 24


@kernel
def sort_and_match(block, facets, vertex_start, incoming, incoming_start, links, tallies):
    """Match all half-edges of a block, whatever they are, by sorting them."""
    v0, v1 = np.int64(vertex_start[block]), np.int64(vertex_start[block + 1])
    lo = GRAIN * block
    own = min(lo + GRAIN, len(facets)) - lo
    total = own + incoming_start[block + 1] - incoming_start[block]
    list_start = np.zeros(v1 - v0 + 2, np.int64)
    keys, members = np.empty(3 * total, np.int64), np.empty(3 * total, np.int32)
    for filling in range(2):
        if filling:
            for v in range(1, v1 - v0 + 2):
                list_start[v] += list_start[v - 1]
        for i in range(total):
            facet = np.int64(lo + i if i < own else incoming[incoming_start[block] + i - own])
            for corner in range(3):
                after = corner + 1 if corner < 2 else 0
                a, b = np.int64(facets[facet, corner]), np.int64(facets[facet, after])
                low = min(a, b)
                if low < v0 or low >= v1:
                    continue
                if filling:
                    place = list_start[low - v0 + 1]
                    keys[place] = max(a, b) << 32 | np.int64(facets[facet, 3 - corner - after])
                    members[place] = 3 * facet + corner
                    list_start[low - v0 + 1] += 1
                else:
                    list_start[low - v0 + 2] += 1
    for v in range(v1 - v0):
        start, end = list_start[v], list_start[v + 1]
        sort_list(start, end, keys, members)
        read_runs(start, end, v0 + v, block, keys, members, facets, links, tallies)


@kernel
def sort_list(start, end, keys, members):
    """By key, then half-edge: insertion for the usual handful, heap sort for the hub of a fan."""
    if end - start <= _SHORT_LIST:
        for i in range(start + 1, end):
            key, member, j = keys[i], members[i], i
            while j > start and (keys[j - 1] > key or (keys[j - 1] == key and members[j - 1] > member)):
                keys[j], members[j] = keys[j - 1], members[j - 1]
                j -= 1
            keys[j], members[j] = key, member
        return
    count = end - start
    for step in range(count // 2 - 1, -count, -1):
        size, root = count, start + step
        if step < 0:
            size, root = count + step, start
            keys[start], keys[start + size] = keys[start + size], keys[start]
            members[start], members[start + size] = members[start + size], members[start]
        while 2 * (root - start) + 1 < size:
            child = 2 * root - start + 1
            last = child + 1
            if last < start + size and (
                keys[child] < keys[last] or (keys[child] == keys[last] and members[child] < members[last])
            ):
                child = last
            if keys[root] > keys[child] or (keys[root] == keys[child] and members[root] > members[child]):
                break
            keys[root], keys[child] = keys[child], keys[root]
            members[root], members[child] = members[child], members[root]
            root = child


@inlined
def read_runs(start, end, low, block, keys, members, facets, links, tallies):
    """Count and link the edges at ``low``: how often used, which way, by which facets with the same third vertex."""
    i = start
    while i < end:
        high, j, balance, alike = keys[i] >> 32, i, 0, 1
        while j < end and keys[j] >> 32 == high:
            half = members[j]
            balance += 1 if facets[half // 3, half % 3] == low else -1
            if j > i and keys[j] == keys[j - 1] and keys[j] & 0xFFFFFFFF >= high:
                if half // 3 != members[j - 1] // 3:
                    tallies[block, DUPLICATES] += 2 if alike == 1 else 1
                    alike += 1
            else:
                alike = 1
            j += 1
        tallies[block, EDGES] += 1
        if j - i == 1:
            tallies[block, BOUNDARY] += 1
            links[members[i] // 3, members[i] % 3] = -1
        else:
            tallies[block, UNBALANCED] += balance != 0 and low != high
            if j - i == 2:
                f, g = members[i] // 3, members[i + 1] // 3
                links[members[i] // 3, members[i] % 3] = g if f != g else -1
                links[members[i + 1] // 3, members[i + 1] % 3] = f if f != g else -1
            else:
                tallies[block, NON_MANIFOLD] += 1
                for k in range(i, j):
                    links[members[k] // 3, members[k] % 3] = -2 - members[k + 1 if k + 1 < j else i] // 3
        i = j
