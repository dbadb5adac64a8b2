"""Which segments of a layer form one contour: union-find over coincident end points, by a hash table.

Where all segments are of uncut facets, ends that coincide are equal to the bit, and are hashed by their bits. Where
pieces of cut facets meet, ends within a tolerance are one: these are hashed by cells of a grid, so much wider than the
tolerance that most ends need one cell to be searched. O(n): a cell holds at most some 300 distinct points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.union_find import find, join

_CELL = 16.0  # tolerances: an end in eight lies so near to a side of its cell that two must be searched
_MAX_LOOSE = 128  # ends without a counterpart that are paired with the nearest


class Labels(NamedTuple):
    """Working memory for layers of at most n segments: the points' hash table, places, classes and balance.

    ``balance``: segments that begin at each point, less those that end there. ``first``: where each segment begins.
    """

    table: Any
    px: Any
    py: Any
    parent: Any
    balance: Any
    first: Any
    number: Any


@kernel
def new_labels(most):
    """Memory for layers of up to ``most`` segments."""
    n = 2 * most
    return Labels(
        np.empty(_table_size(most), np.int32), np.empty(n), np.empty(n), np.empty(n, np.int32), np.empty(n, np.int32),
        np.empty(most, np.int32), np.empty(n, np.int32),
    )  # fmt: skip


@inlined
def _table_size(segments):
    size = 8
    while size < 4 * segments:
        size *= 2
    return size


@inlined
def _slot(cell_x, cell_y, mask):
    """Where the search for a cell begins in a table of ``mask`` + 1 slots."""
    key = np.uint64(cell_x) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(cell_y) * np.uint64(0xC2B2AE3D27D4EB4F)
    key ^= key >> np.uint64(29)
    key *= np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((key ^ (key >> np.uint64(32))) & np.uint64(mask))


@inlined
def _find_equal(x, y, slot, mask, table, px, py):
    """Return the slot, from ``slot`` on, of the point at (x, y), or the free one where it would have been found."""
    while table[slot] >= 0 and not (px[table[slot]] == x and py[table[slot]] == y):
        slot = (slot + 1) & mask
    return slot


@inlined
def _find_near(x, y, tolerance, scale, mask, table, px, py):
    """Find a point within ``tolerance`` of (x, y) in x and y, or -1; ``scale``: cells a mm.

    Of several, the one with the least numbers of the cells of one tolerance that it lies in.
    """
    near, reach = -1, 1.001 * tolerance
    near_x = near_y = np.inf
    from_y, to_y = np.int64(np.floor((y - reach) * scale)), np.int64(np.floor((y + reach) * scale))
    for across in range(np.int64(np.floor((x - reach) * scale)), np.int64(np.floor((x + reach) * scale)) + 1):
        for along in range(from_y, to_y + 1):
            slot = _slot(across, along, mask)
            while table[slot] >= 0:
                point = table[slot]
                if abs(px[point] - x) <= tolerance and abs(py[point] - y) <= tolerance:
                    fine_x, fine_y = np.floor(px[point] / tolerance), np.floor(py[point] / tolerance)
                    if fine_x < near_x or (fine_x == near_x and fine_y < near_y):
                        near, near_x, near_y = point, fine_x, fine_y
                slot = (slot + 1) & mask
    return near


@kernel
def _join_ends(begin, end, tolerance, tolerant, segments, labels):
    """Join the ends of segments begin .. end; returns the number of points."""
    table, px, py, parent, balance = labels.table, labels.px, labels.py, labels.parent, labels.balance
    size = _table_size(end - begin)
    mask, points = size - 1, 0
    scale = 1.0 / (_CELL * tolerance)
    table[:size] = -1
    for point in range(2 * (end - begin)):
        parent[point], balance[point] = point, 0
    for s in range(begin, end):
        start = 0
        for side in range(2):
            x, y = segments[s, 2 * side], segments[s, 2 * side + 1]
            if tolerant:
                slot = _slot(np.int64(np.floor(x * scale)), np.int64(np.floor(y * scale)), mask)
            else:
                slot = _slot(np.float64(x + 0.0).view(np.int64), np.float64(y + 0.0).view(np.int64), mask)
            slot = _find_equal(x, y, slot, mask, table, px, py)
            point = table[slot]
            if point < 0 and tolerant:
                point = _find_near(x, y, tolerance, scale, mask, table, px, py)
            if point < 0:
                point = table[slot] = points
                px[points], py[points] = x, y
                points += 1
            if side == 0:
                start = labels.first[s - begin] = point
                balance[point] += 1
            else:
                balance[point] -= 1
                join(parent, start, point)
    return points


@kernel
def _join_loose(points, labels):
    """Join points where more segments begin than end, or fewer: where rounding tore a contour, the nearest ones.

    Where they are many, the layer is of no closed surface, and its shreds count as one contour.
    """
    px, py, parent, balance = labels.px, labels.py, labels.parent, labels.balance
    count = 0
    for point in range(points):
        count += balance[point] != 0
    if count == 0:
        return
    loose = np.flatnonzero(balance[:points])
    if count > _MAX_LOOSE:
        for i in range(1, count):
            join(parent, loose[0], loose[i])
        return
    for i in range(count):
        nearest, best = -1, np.inf
        for j in range(count):
            distance = abs(px[loose[i]] - px[loose[j]]) + abs(py[loose[i]] - py[loose[j]])
            if balance[loose[i]] * balance[loose[j]] < 0 and distance < best:
                nearest, best = loose[j], distance
        if nearest >= 0:
            join(parent, loose[i], nearest)


@kernel
def label_segments(begin, end, tolerance, tolerant, layers, labels, contours):
    """Label the contours of segments begin .. end from 0; set their area, sample and count; return how many."""
    segments, contour, (area, sample, count, _, _, _) = layers.segments, layers.contour, contours
    points = _join_ends(begin, end, tolerance, tolerant, segments, labels)
    _join_loose(points, labels)
    parent, first, number = labels.parent, labels.first, labels.number
    for point in range(points):
        number[point] = -1
    found = 0
    for s in range(begin, end):
        root = find(parent, first[s - begin])
        if number[root] < 0:
            number[root] = found
            area[begin + found], sample[begin + found], count[begin + found] = 0.0, s, 0
            found += 1
        at = begin + number[root]
        contour[s] = number[root]
        count[at] += 1
        area[at] += segments[s, 0] * segments[s, 3] - segments[s, 2] * segments[s, 1]
        best = sample[at]
        x, y = segments[s, 0], segments[s, 1]
        if x < segments[best, 0] or (x == segments[best, 0] and y < segments[best, 1]):
            sample[at] = s
    return found
