"""The part of a cut facet that bounds the solid, from the trapezoids between the segments that other facets leave.

Neighbouring trapezoids' winding numbers follow from one another (:mod:`kernels.solid.trapezoids`), so one ray
a facet settles all: it starts in the largest trapezoid. The cost is that of the sweep and of one ray a facet; both are
counted in units and bounded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.vec3 import edge, point
from pricing_engine.kernels.solid.boundary import CUT, INSIDE, UNCUT
from pricing_engine.kernels.solid.ray_crossings import normal_z
from pricing_engine.kernels.solid.segments import COS, SIN
from pricing_engine.kernels.solid.trapezoids import find_trapezoids, line_y, new_sweep, read_lines
from pricing_engine.kernels.solid.winding import STACK, winding_above

_SLIVER = 1e-13  # trapezoids of less area (facet: 0.5) are left out


@kernel
def _measure(count, lines, spans, sides, heights, areas):
    """``heights`` (count, 4): ordinates bottom and top at the left, then at the right; ``areas``; the largest's index.

    Fills these arrays, or longer ones where they are too short.
    """
    if count > len(areas):
        heights, areas = np.empty((len(spans), 4)), np.empty(len(spans))
    best, largest = 0, -1.0
    for i in range(count):
        x0, x1, bottom, top = spans[i, 0], spans[i, 1], sides[i, 0], sides[i, 1]
        heights[i, 0], heights[i, 1] = line_y(lines, bottom, x0), line_y(lines, top, x0)
        heights[i, 2], heights[i, 3] = line_y(lines, bottom, x1), line_y(lines, top, x1)
        areas[i] = 0.5 * (x1 - x0) * (heights[i, 1] - heights[i, 0] + heights[i, 3] - heights[i, 2])
        if areas[i] > largest:
            best, largest = i, areas[i]
    return heights, areas, best


@inlined
def _place(x, y, vertices, a, b, c):
    """Return the point at (x, y) of the plane of facet a, b, c."""
    v, w = COS * x - SIN * y, SIN * x + COS * y
    origin, one, two = point(vertices, a), edge(vertices, a, b), edge(vertices, a, c)
    return (
        origin[0] + v * one[0] + w * two[0],
        origin[1] + v * one[1] + w * two[1],
        origin[2] + v * one[2] + w * two[2],
    )


class Cuts(NamedTuple):
    """The segments in the facets ``facet`` (n,).

    Rows ``start[k] .. start[k + 1]`` of ``segments`` and ``flags`` (:mod:`kernels.solid.segments`) for the k-th.
    """

    facet: Any
    start: Any
    segments: Any
    flags: Any


@inlined
def _put(piece, x0, y0, x1, y1, x2, y2, vertices, a, b, c):
    piece[0, 0], piece[0, 1], piece[0, 2] = _place(x0, y0, vertices, a, b, c)
    piece[1, 0], piece[1, 1], piece[1, 2] = _place(x1, y1, vertices, a, b, c)
    piece[2, 0], piece[2, 1], piece[2, 2] = _place(x2, y2, vertices, a, b, c)


@inlined
def _count_bounding(found, areas, sides, base):
    """How many of the trapezoids bound the solid, and how many do not, slivers apart."""
    bounding = inner = 0
    for i in range(found):
        if areas[i] > _SLIVER:
            if base + sides[i, 2] == 0:
                bounding += 1
            else:
                inner += 1
    return bounding, inner


@inlined
def _put_trapezoid(pieces, owner, count, f, span, height, vertices, facets):
    """Append the one or two triangles of a trapezoid of facet f; returns the number of pieces."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    x0, x1 = span[0], span[1]
    y00, y01, y10, y11 = height[0], height[1], height[2], height[3]
    if y11 != y10:
        _put(pieces[count], x0, y00, x1, y10, x1, y11, vertices, a, b, c)
        owner[count] = f
        count += 1
    if y01 != y00:
        _put(pieces[count], x0, y00, x1, y11, x0, y01, vertices, a, b, c)
        owner[count] = f
        count += 1
    return count


@kernel
def cut_facets(lo, hi, cuts, moved, facets, vertices, bvh, pad, budget, status):
    """Boundary pieces (n, 3, 3) and their facets (n,) of the facets ``cuts.facet[lo:hi]``; sets their ``status``.

    And the boxes opened and units spent, boxes included; beyond ``budget`` units facets are left out. ``vertices``
    (V, 3) are those that the pieces refer to, ``moved`` those in general position; ``pad``: :func:`winding.ray_pad`.
    """
    cut, start, segments, flags = cuts
    pieces, owner = np.empty((16, 3, 3)), np.empty(16, np.int32)
    stack = np.empty((STACK, 2), np.int64)
    longest = 0
    for k in range(lo, hi):
        longest = max(longest, start[k + 1] - start[k])
    sweep, events = new_sweep(longest), np.empty(4 * longest + 6)
    spans, sides = np.empty((4 * longest + 12, 2)), np.empty((4 * longest + 12, 3), np.int64)
    heights, areas = np.empty((len(spans), 4)), np.empty(len(spans))
    lines = sweep.lines
    count = nodes = spent = 0
    for k in range(lo, hi):
        f = cut[k]
        steps = read_lines(start[k], start[k + 1], segments, flags, sweep)
        events, spans, sides, found, units = find_trapezoids(
            start[k + 1] - start[k], steps, sweep, events, spans, sides, budget - spent
        )
        spent += units
        if spent > budget:
            break
        heights, areas, best = _measure(found, lines, spans, sides, heights, areas)
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        x = 0.5 * (spans[best, 0] + spans[best, 1])
        y = 0.5 * (line_y(lines, sides[best, 0], x) + line_y(lines, sides[best, 1], x))
        px, py, pz = _place(x, y, moved, a, b, c)
        above, opened = winding_above(px, py, pz, f, moved, facets, bvh, pad, stack)
        nodes, spent = nodes + opened, spent + 2 * opened
        base = above - sides[best, 2]
        if normal_z(moved, facets, f) <= 0:
            base -= 1
        bounding, inner = _count_bounding(found, areas, sides, base)
        status[f] = CUT if bounding > 0 and inner > 0 else (UNCUT if bounding > 0 else INSIDE)
        if status[f] != CUT:
            continue
        for i in range(found):
            if base + sides[i, 2] != 0 or areas[i] <= _SLIVER:
                continue
            if count + 2 > len(pieces):
                more_pieces, more_owner = np.empty((2 * len(pieces), 3, 3)), np.empty(2 * len(pieces), np.int32)
                more_pieces[:count], more_owner[:count] = pieces[:count], owner[:count]
                pieces, owner = more_pieces, more_owner
            count = _put_trapezoid(pieces, owner, count, f, spans[i], heights[i], vertices, facets)
    return pieces[:count], owner[:count], nodes, spent
