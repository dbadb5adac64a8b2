"""The part of a cut facet that bounds the solid, from the trapezoids between the segments that other facets leave.

Neighbouring trapezoids' winding numbers follow from one another (:mod:`kernels.solid.trapezoids`), so one ray
a facet settles all: it starts in the largest trapezoid.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.solid.boundary import CUT, INSIDE, WHOLE
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
    """The point at (x, y) of the plane of facet a, b, c."""
    v, w = COS * x - SIN * y, SIN * x + COS * y
    ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
    return (
        ax + v * (vertices[b, 0] - ax) + w * (vertices[c, 0] - ax),
        ay + v * (vertices[b, 1] - ay) + w * (vertices[c, 1] - ay),
        az + v * (vertices[b, 2] - az) + w * (vertices[c, 2] - az),
    )


@inlined
def _put(piece, x0, y0, x1, y1, x2, y2, vertices, a, b, c):
    piece[0, 0], piece[0, 1], piece[0, 2] = _place(x0, y0, vertices, a, b, c)
    piece[1, 0], piece[1, 1], piece[1, 2] = _place(x1, y1, vertices, a, b, c)
    piece[2, 0], piece[2, 1], piece[2, 2] = _place(x2, y2, vertices, a, b, c)


@kernel
def cut_facets(
    lo, hi, cut, start, segments, flags, moved, facets, corners, boxes, level_start, pad, vertices, most, status
):
    """Boundary pieces (n, 3, 3) and their facets (n,) of the facets ``cut[lo:hi]``; ``status`` gets their kind.

    And the boxes opened and units spent, boxes included; beyond ``most`` units facets are left out.
    ``start`` (len(cut) + 1,) delimits the facets' rows in ``segments`` and ``flags``; ``vertices`` (V, 3) are those
    that the pieces refer to, ``moved`` those in general position.
    """
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
            start[k + 1] - start[k], steps, sweep, events, spans, sides, most - spent
        )
        spent += units
        if spent > most:
            break
        heights, areas, best = _measure(found, lines, spans, sides, heights, areas)
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        x = 0.5 * (spans[best, 0] + spans[best, 1])
        y = 0.5 * (line_y(lines, sides[best, 0], x) + line_y(lines, sides[best, 1], x))
        px, py, pz = _place(x, y, moved, a, b, c)
        above, opened = winding_above(px, py, pz, f, moved, facets, corners, boxes, level_start, pad, stack)
        nodes, spent = nodes + opened, spent + 2 * opened
        base = above - sides[best, 2]
        if normal_z(moved, facets, f) <= 0:
            base -= 1
        bounding = inner = 0
        for i in range(found):
            if areas[i] > _SLIVER:
                if base + sides[i, 2] == 0:
                    bounding += 1
                else:
                    inner += 1
        status[f] = CUT if bounding > 0 and inner > 0 else (WHOLE if bounding > 0 else INSIDE)
        if status[f] != CUT:
            continue
        for i in range(found):
            if base + sides[i, 2] != 0 or areas[i] <= _SLIVER:
                continue
            if count + 2 > len(pieces):
                more_pieces, more_owner = np.empty((2 * len(pieces), 3, 3)), np.empty(2 * len(pieces), np.int32)
                more_pieces[:count], more_owner[:count] = pieces[:count], owner[:count]
                pieces, owner = more_pieces, more_owner
            x0, x1, y00, y01, y10, y11 = (
                spans[i, 0],
                spans[i, 1],
                heights[i, 0],
                heights[i, 1],
                heights[i, 2],
                heights[i, 3],
            )
            if y11 != y10:
                _put(pieces[count], x0, y00, x1, y10, x1, y11, vertices, a, b, c)
                owner[count] = f
                count += 1
            if y01 != y00:
                _put(pieces[count], x0, y00, x1, y11, x0, y01, vertices, a, b, c)
                owner[count] = f
                count += 1
    return pieces[:count], owner[:count], nodes, spent
