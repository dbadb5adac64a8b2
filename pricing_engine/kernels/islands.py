"""The contours of each layer: which segments form one, what lies inside what, and a search structure for points.

Segments (x0, y0, x1, y1), solid on the left, are joined by union-find over coincident end points (a hash grid per
layer). A contour with positive area is an outer one, others are holes. The leftmost point of a contour sees, straight
to its left, the contour that bounds the same component: of the solid for a hole, of the void for an outer contour
(nothing there: the outside). That gives the components of both without sorting or nesting trees.

Segments are joined in O(n); :mod:`strips` answers what lies to the left of a point. Layer k of a block owns segments
``start[k] .. start[k + 1]``.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.strips import bucket_segments, locate
from pricing_engine.kernels.work import PAIRS


@inlined
def find(parent, node):
    """Root of ``node``, halving the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@inlined
def join(parent, a, b):
    """Unite two classes; the smaller number stays root."""
    a, b = find(parent, a), find(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@inlined
def _slot(cell_x, cell_y, mask):
    """Where the search for a cell begins in a table of ``mask`` + 1 slots."""
    key = np.uint64(cell_x) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(cell_y) * np.uint64(0xC2B2AE3D27D4EB4F)
    key ^= key >> np.uint64(29)
    key *= np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((key ^ (key >> np.uint64(32))) & np.uint64(mask))


@kernel
def _point_number(x, y, tolerance, tolerant, table, px, py, known):
    """Number of the point at (x, y), or ``known`` after entering it as a new one."""
    mask = len(table) - 1
    if tolerant:
        cell_x, cell_y = np.int64(np.floor(x / tolerance)), np.int64(np.floor(y / tolerance))
    else:  # by their bits: any number of points may share a cell
        cell_x, cell_y = np.float64(x + 0.0).view(np.int64), np.float64(y + 0.0).view(np.int64)
    slot = _slot(cell_x, cell_y, mask)
    while table[slot] >= 0:
        point = table[slot]
        if px[point] == x and py[point] == y:
            return point
        slot = (slot + 1) & mask
    free = slot
    if tolerant:
        for across in range(-1, 2):
            for along in range(-1, 2):
                slot = _slot(cell_x + across, cell_y + along, mask)
                while table[slot] >= 0:
                    point = table[slot]
                    if abs(px[point] - x) <= tolerance and abs(py[point] - y) <= tolerance:
                        return point
                    slot = (slot + 1) & mask
    table[free] = known
    px[known], py[known] = x, y
    return known


@kernel
def _label(begin, end, tolerance, tolerant, segments, contour, area, sample, count):
    """Number the contours of segments begin .. end from 0; writes their twice-area, leftmost segment and size."""
    n = end - begin
    size = 8
    while size < 4 * n:
        size *= 2
    table = np.full(size, -1, np.int32)
    px, py = np.empty(2 * n), np.empty(2 * n)
    parent, balance = np.arange(2 * n).astype(np.int32), np.zeros(2 * n, np.int8)
    first = np.empty(n, np.int32)
    known = 0
    for s in range(begin, end):
        a = _point_number(segments[s, 0], segments[s, 1], tolerance, tolerant, table, px, py, known)
        known = max(known, a + 1)
        b = _point_number(segments[s, 2], segments[s, 3], tolerance, tolerant, table, px, py, known)
        known = max(known, b + 1)
        balance[a] += 1
        balance[b] -= 1
        first[s - begin] = a
        join(parent, a, b)
    loose = np.flatnonzero(balance[:known])
    for i in range(1, len(loose) if len(loose) > 128 else 0):  # no closed surface: take its shreds for one contour
        join(parent, loose[0], loose[i])
    for i in range(len(loose) if len(loose) <= 128 else 0):  # where rounding tore one, the nearest loose ends meet
        nearest, best = -1, np.inf
        for j in range(len(loose)):
            distance = abs(px[loose[i]] - px[loose[j]]) + abs(py[loose[i]] - py[loose[j]])
            if balance[loose[i]] * balance[loose[j]] < 0 and distance < best:
                nearest, best = loose[j], distance
        if nearest >= 0:
            join(parent, loose[i], nearest)
    number = np.full(known, -1, np.int32)
    contours = 0
    for s in range(begin, end):
        root = find(parent, first[s - begin])
        if number[root] < 0:
            number[root] = contours
            area[begin + contours], sample[begin + contours], count[begin + contours] = 0.0, s, 0
            contours += 1
        at = begin + number[root]
        contour[s] = number[root]
        count[at] += 1
        area[at] += segments[s, 0] * segments[s, 3] - segments[s, 2] * segments[s, 1]
        best = sample[at]
        x, y = segments[s, 0], segments[s, 1]
        if x < segments[best, 0] or (x == segments[best, 0] and y < segments[best, 1]):
            sample[at] = s
    return contours


@kernel
def build_contours(
    lo, hi, start, segments, tolerance, tolerant, contour, area, sample, count, solid, void, contours, strip, items,
    right, low_y, per_y, grain, most, work,
):  # fmt: skip
    """Contours of layers lo .. hi.

    Per contour, from ``start[layer]`` on: twice its ``area``, its leftmost segment ``sample``, its segments' ``count``,
    and the component it bounds on either side, named by one of its contours: ``solid`` and ``void`` (-1, outside).

    ``work`` (chunks, 2): segments tested; it ends with more than ``most`` a segment of the range, and the
    layers left are not done.
    """
    tests = 0
    most = most * max(1, start[hi] - start[lo])
    for layer in range(lo, hi):
        begin, end = start[layer], start[layer + 1]
        if begin == end or tests > most:
            continue
        number = _label(begin, end, tolerance, tolerant, segments, contour, area, sample, count)
        contours[layer] = number
        bucket_segments(layer, begin, end, segments, strip, items, right, low_y, per_y)
        inner = np.arange(number).astype(np.int32)
        outer = np.arange(number + 1).astype(np.int32)  # number 0 is the outside
        for c in range(number):
            x, y = segments[sample[begin + c], 0], segments[sample[begin + c], 1]
            _, nearest, read = locate(
                layer, x, y, c, tolerance, start, segments, contour, strip, items, right, low_y, per_y
            )
            tests += read
            if area[begin + c] > 0.0:
                join(outer, c + 1, nearest + 1)
            elif nearest >= 0:
                join(inner, c, nearest)
        for c in range(number):
            solid[begin + c] = find(inner, c)
            void[begin + c] = find(outer, c + 1) - 1
    work[lo // grain, PAIRS] = tests
