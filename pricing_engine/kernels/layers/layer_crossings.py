"""Where contours of neighbouring layers cross.

A crossing changes nothing between contours that are known to meet, and most of a contour lies near those alone. So a
grid over the lower layer stores in each cell which class of contours passes there, and only segments of the upper layer
that enter a cell of another class, or whose component has no support yet, are compared with the segments of the strips
that they cross. Cells are marked with a margin of one where a segment runs through several rows and columns of them, so
that rounding can hide no crossing. O(segments + cells) where few segments share a strip; the work is bounded.
"""

from __future__ import annotations

import math

import numpy as np

from pricing_engine.kernels.layers.point_location import CROWDED, begins_before
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.union_find import find, join

MAX_SIDE = 128
_EMPTY, _MIXED = -1, -2
_CELLS_PER_SEGMENT = 8
_FEW = 64  # segments in one cell: they are long, and pass many cells of a finer grid


@inlined
def _sides(segments, s, t):
    """How far the ends of segment t lie from the line of s, signed, times the length of s."""
    dx, dy = segments[s, 2] - segments[s, 0], segments[s, 3] - segments[s, 1]
    a = dx * (segments[t, 1] - segments[s, 1]) - dy * (segments[t, 0] - segments[s, 0])
    b = dx * (segments[t, 3] - segments[s, 1]) - dy * (segments[t, 2] - segments[s, 0])
    return a, b


@inlined
def _clear(a, b, segments, s, tolerance):
    """Whether ends at the sides a and b of segment s are on either side of it, by more than the tolerance."""
    dx, dy = segments[s, 2] - segments[s, 0], segments[s, 3] - segments[s, 1]
    length = math.sqrt(dx * dx + dy * dy)
    return min(a, b) / length < -tolerance and max(a, b) / length > tolerance


@inlined
def _cross(segments, s, t, tolerance):
    """Whether the ends of each segment lie on either side of the other, by more than the tolerance."""
    a, b = _sides(segments, s, t)
    crossing = False
    if (a > 0.0) != (b > 0.0):
        c, d = _sides(segments, t, s)
        if (c > 0.0) != (d > 0.0):
            crossing = _clear(a, b, segments, s, tolerance) and _clear(c, d, segments, t, tolerance)
    return crossing


@inlined
def _cell(at, low, scale, side):
    return int(min(max((at - low) * scale, 0.0), side - 1.0))


@inlined
def _columns(x0, y0, x1, y1, row, low_x, low_y, scale_x, scale_y, side):
    """First and last column of the cells of a row that the segment may pass; all beyond the grid is in its rim."""
    bottom = low_y + row / scale_y if row > 0 else -np.inf
    top = low_y + (row + 1) / scale_y if row < side - 1 else np.inf
    one = x0 + min(max((bottom - y0) / (y1 - y0), 0.0), 1.0) * (x1 - x0)
    two = x0 + min(max((top - y0) / (y1 - y0), 0.0), 1.0) * (x1 - x0)
    return _cell(min(one, two), low_x, scale_x, side) - 1, _cell(max(one, two), low_x, scale_x, side) + 1


@kernel
def _mark_cells(begin, end, segments, contour, roots, cells):
    """Write the class of the contours that pass each cell; returns the grid's side, place and scale, and the work."""
    side = 1
    while end - begin > _FEW and side < MAX_SIDE and side * side < _CELLS_PER_SEGMENT * (end - begin):
        side *= 2
    cells[: side * side] = _EMPTY
    low_x = low_y = np.inf
    high_x = high_y = -np.inf
    for s in range(begin, end):
        low_x, high_x = min(low_x, segments[s, 0], segments[s, 2]), max(high_x, segments[s, 0], segments[s, 2])
        low_y, high_y = min(low_y, segments[s, 1], segments[s, 3]), max(high_y, segments[s, 1], segments[s, 3])
    scale_x = side / (high_x - low_x) if high_x > low_x else 1.0
    scale_y = side / (high_y - low_y) if high_y > low_y else 1.0
    work = 0
    for s in range(begin, end):
        x0, y0, x1, y1 = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
        left, right = _cell(min(x0, x1), low_x, scale_x, side), _cell(max(x0, x1), low_x, scale_x, side)
        bottom, top = _cell(min(y0, y1), low_y, scale_y, side), _cell(max(y0, y1), low_y, scale_y, side)
        root = roots[1 + contour[s]]
        if right - left <= 1 and top - bottom <= 1:  # most: four cells at most, marked without a branch
            work += 4
            for at in (bottom * side + left, bottom * side + right, top * side + left, top * side + right):
                cells[at] = root if (cells[at] == _EMPTY) | (cells[at] == root) else np.int32(_MIXED)
            continue
        for row in range(bottom, top + 1):
            first, last = left, right
            if right - left > 1 and top - bottom > 1:
                first, last = _columns(x0, y0, x1, y1, row, low_x, low_y, scale_x, scale_y, side)
                first, last = max(first, left), min(last, right)
            work += last - first + 1
            for at in range(row * side + first, row * side + last + 1):
                if cells[at] != root:
                    cells[at] = root if cells[at] == _EMPTY else _MIXED
    return side, low_x, low_y, scale_x, scale_y, work


@kernel
def meet(k, tolerance, layers, solid, supported, parent, lower, upper, budget, cells, tests):
    """Crossings of the contours of layers k + 1 and k: support, and connection of the voids.

    ``lower``, ``upper``: their numbers of contours. ``solid``: component of each contour; sets ``supported`` and joins
    voids in ``parent``, both as in :func:`layer_overlap.overlap_layers`. ``cells``: (MAX_SIDE**2,) int32, scratch.
    ``tests`` grows by the cells and rows visited, and the segments tested; ends past ``budget`` of both.
    """
    start, segments, contour, strip = layers.start, layers.segments, layers.contour, layers.strip
    items, right, low_y, per_y = layers.items, layers.right, layers.low_y, layers.per_y
    roots = np.empty(1 + lower + upper, np.int32)
    for node in range(len(roots)):
        roots[node] = find(parent, node)
    side, grid_x, grid_y, scale_x, scale_y, work = _mark_cells(start[k], start[k + 1], segments, contour, roots, cells)
    base, rows, pairs = start[k] + 2 * k, start[k + 1] - start[k] + 1, 0
    for s in range(start[k + 1], start[k + 2]):
        if tests[NODES] + tests[PAIRS] + work + pairs > budget:
            break
        c = contour[s]
        component = start[k + 1] + solid[start[k + 1] + c]
        x0, y0, x1, y1 = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
        from_x, to_x, bottom, top = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        left, last = _cell(from_x, grid_x, scale_x, side), _cell(to_x, grid_x, scale_x, side)
        low, high = _cell(bottom, grid_y, scale_y, side), _cell(top, grid_y, scale_y, side)
        own = roots[1 + lower + c] if supported[component] == 1 else np.int32(_EMPTY)
        one, two, three, four = low * side + left, low * side + last, high * side + left, high * side + last
        alone = (
            ((cells[one] == _EMPTY) | (cells[one] == own)) & ((cells[two] == _EMPTY) | (cells[two] == own))
            & ((cells[three] == _EMPTY) | (cells[three] == own)) & ((cells[four] == _EMPTY) | (cells[four] == own))
        )  # fmt: skip
        work += 4
        for row in range(low, high + 1 if last - left > 1 or high - low > 1 else low):
            one, two = left, last
            if last - left > 1 and high - low > 1:
                one, two = _columns(x0, y0, x1, y1, row, grid_x, grid_y, scale_x, scale_y, side)
                one, two = max(one, left), min(two, last)
            work += two - one + 1
            for at in range(row * side + one, row * side + two + 1):
                alone = alone and (cells[at] == _EMPTY or cells[at] == own)
        if alone:
            continue
        first = max(0, int(np.floor((bottom - low_y[k]) * per_y[k])))
        final = min(rows - 1, int(np.floor((top - low_y[k]) * per_y[k])))
        work += max(0, final - first + 1)
        for row in range(first, final + 1):
            begin, end = 3 * start[k] + strip[base + row], 3 * start[k] + strip[base + row + 1]
            crowded = end - begin > CROWDED
            if crowded:  # none after the last that begins left of the segment's right end
                end = begins_before(np.nextafter(to_x, np.inf), begin, end, segments, items)
            for entry in range(end - 1, begin - 1, -1):
                if crowded and right[entry] < from_x:
                    break
                pairs += 1
                t = items[entry]
                one, two = segments[t, 0], segments[t, 2]
                beside = (max(one, two) < from_x) | (min(one, two) > to_x)  # one branch: it is hardly ever mispredicted
                if beside or roots[1 + contour[t]] == own:
                    continue
                one, two = segments[t, 1], segments[t, 3]
                if max(one, two) < bottom or min(one, two) > top or not _cross(segments, s, t, tolerance):
                    continue
                supported[component] = 1
                join(parent, 1 + lower + c, 1 + contour[t])
                own = roots[1 + lower + c]
    tests[NODES] += work
    tests[PAIRS] += pairs
