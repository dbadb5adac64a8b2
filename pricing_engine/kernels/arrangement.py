"""The part of a cut facet that bounds the solid, by a sweep over the segments that other facets leave in it.

Between the sorted abscissae of all segment ends and segment-segment crossings (a slab) the segments that span are
ordered from bottom to top, and the winding number just outside of the facet changes by one at each. At its lower side
it changes where segments end on that side, so one ray a facet settles all: it starts in the largest trapezoid.
Trapezoids between the same two lines in neighbouring slabs are one. O((k + x) a + k log k) for k segments with x pairs
that overlap in abscissa and at most a of them over one abscissa. That can be k**3 steps, so they are counted
(``units``, some 10 ns each) and a facet is left where they pass a limit.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.boundary import CUT, INSIDE, WHOLE
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.rays import normal_z
from pricing_engine.kernels.segments import COS, SIN
from pricing_engine.kernels.winding import STACK, winding_above

_BOTTOM, _TOP_LEFT, _TOP_RIGHT = 0, 1, 2  # the facet's sides ab, ac, cb are the first three lines
_CROSSING_UNITS, _TRAPEZOID_UNITS = 8, 128  # what memory they take counts too
_SLIVER = 1e-13  # trapezoids of less area (facet: 0.5) are left out
_X, _RIGHT = 0, 1


@inlined
def _line_y(lines, i, x):
    x0, x1 = lines[i, 0], lines[i, 2]
    t = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return lines[i, 1] * (1 - t) + lines[i, 3] * t


@kernel
def _read_lines(first, last, segments, flags):
    """Lines (3 + k, 4) from left to right, what the winding number gains above each, and its steps along ab."""
    lines = np.empty((3 + last - first, 4))
    gain = np.zeros(3 + last - first, np.int64)
    lines[0] = np.array((0.0, 0.0, COS, -SIN))
    lines[1] = np.array((0.0, 0.0, SIN, COS))
    lines[2] = np.array((SIN, COS, COS, -SIN))
    steps = np.empty((2 * (last - first), 2))
    step_count = 0
    for s in range(first, last):
        i = 3 + s - first
        start, end = (0, 2) if segments[s, 0] < segments[s, 2] else (2, 0)
        lines[i, 0], lines[i, 1] = segments[s, start], segments[s, start + 1]
        lines[i, 2], lines[i, 3] = segments[s, end], segments[s, end + 1]
        gain[i] = 1 if start == 0 else -1
        if flags[s] & 1:
            steps[step_count, 0], steps[step_count, 1] = segments[s, 0], -1
            step_count += 1
        if flags[s] & 2:
            steps[step_count, 0], steps[step_count, 1] = segments[s, 2], 1
            step_count += 1
    return lines, gain, steps[np.argsort(steps[:step_count, 0])]


@kernel
def _events(lines, order, most):
    """Sorted abscissae of all line ends and crossings, and the units spent; ``order``: segments by their left ends."""
    count = 2 * len(order) + 3
    events = np.empty(2 * count)
    events[0], events[1], events[2] = 0.0, SIN, COS
    for k in range(len(order)):
        events[3 + 2 * k], events[4 + 2 * k] = lines[order[k], 0], lines[order[k], 2]
    active = np.empty(len(order), np.int64)
    active_count = units = 0
    for k in range(len(order)):
        i = order[k]
        units += active_count
        if units > most:
            break
        kept = 0
        px, py = lines[i, 0], lines[i, 1]
        dx, dy = lines[i, 2] - px, lines[i, 3] - py
        for n in range(active_count):
            j = active[n]
            if lines[j, 2] <= px:
                continue
            active[kept] = j
            kept += 1
            qx, qy = lines[j, 0], lines[j, 1]
            ex, ey = lines[j, 2] - qx, lines[j, 3] - qy
            one, two = dx * (qy - py) - dy * (qx - px), dx * (lines[j, 3] - py) - dy * (lines[j, 2] - px)
            if (one > 0) == (two > 0):
                continue
            if (ex * (py - qy) - ey * (px - qx) > 0) == (ex * (lines[i, 3] - qy) - ey * (lines[i, 2] - qx) > 0):
                continue
            if count == len(events):
                more = np.empty(2 * count)
                more[:count] = events
                events = more
            events[count] = qx + ex * (one / (one - two))
            count += 1
            units += _CROSSING_UNITS
        active[kept] = i
        active_count = kept + 1
    events = events[:count]
    events.sort()
    return events, units


@kernel
def _trapezoids(lines, gain, steps, most):
    """All trapezoids: ``spans`` (n, 2) from, to; ``sides`` (n, 3) bottom line, top line, winding relative to a.

    And the units spent; beyond ``most`` some trapezoids are missing.
    """
    order = 3 + np.argsort(lines[3:, 0])
    events, units = _events(lines, order, most)
    spans, sides = np.empty((4 * len(lines), 2)), np.empty((4 * len(lines), 3), np.int64)
    count = 0
    active, height = np.empty(len(lines), np.int64), np.empty(len(lines))
    slot = np.full(len(lines), -1, np.int64)  # the open trapezoid above each line
    seen = np.full(len(lines), -1, np.int64)  # the last slab in which there was one
    open_now, open_next = np.empty(len(lines), np.int64), np.empty(len(lines), np.int64)
    open_count = active_count = next_line = next_step = base = 0
    for slab in range(len(events)):
        x0 = events[slab]
        x1 = events[slab + 1] if slab + 1 < len(events) else x0
        x = 0.5 * (x0 + x1)
        closing = slab + 1 == len(events)
        units += active_count + 1
        if units > most:
            break
        if not closing and x1 - x0 <= 1e-15:
            continue
        kept = 0
        for n in range(active_count):
            if lines[active[n], 2] > x:
                active[kept] = active[n]
                kept += 1
        active_count = kept
        while next_line < len(order) and lines[order[next_line], 0] < x:
            if lines[order[next_line], 2] > x:
                active[active_count] = order[next_line]
                active_count += 1
            next_line += 1
        while next_step < len(steps) and steps[next_step, 0] < x:
            base += int(steps[next_step, 1])
            next_step += 1
        for n in range(active_count):
            line, y = active[n], _line_y(lines, active[n], x)
            m = n
            while m > 0 and height[m - 1] > y:
                height[m], active[m] = height[m - 1], active[m - 1]
                m -= 1
                units += 1
            height[m], active[m] = y, line
        next_count = 0
        winding, bottom = base, _BOTTOM
        for n in range(0 if closing else active_count + 1):
            top = active[n] if n < active_count else (_TOP_LEFT if x < SIN else _TOP_RIGHT)
            old = slot[bottom]
            if old < 0 or sides[old, 1] != top or sides[old, 2] != winding:
                if old >= 0:
                    spans[old, 1] = x0
                if count == len(spans):
                    more_spans, more_sides = np.empty((2 * count, 2)), np.empty((2 * count, 3), np.int64)
                    more_spans[:count], more_sides[:count] = spans, sides
                    spans, sides = more_spans, more_sides
                spans[count, 0] = x0
                sides[count, 0], sides[count, 1], sides[count, 2] = bottom, top, winding
                slot[bottom] = count
                count += 1
                units += _TRAPEZOID_UNITS
            seen[bottom] = slab
            open_next[next_count] = bottom
            next_count += 1
            bottom = top
            winding += gain[top]
        for n in range(open_count):
            bottom = open_now[n]
            if seen[bottom] != slab:
                spans[slot[bottom], 1] = x0
                slot[bottom] = -1
        open_now, open_next = open_next, open_now
        open_count = next_count
    return spans[:count], sides[:count], units


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
    count = nodes = spent = 0
    for k in range(lo, hi):
        f = cut[k]
        lines, gain, steps = _read_lines(start[k], start[k + 1], segments, flags)
        spans, sides, units = _trapezoids(lines, gain, steps, most - spent)
        spent += units
        if spent > most:
            break
        best, largest = 0, -1.0
        areas = np.empty(len(spans))
        for i in range(len(spans)):
            x0, x1, bottom, top = spans[i, 0], spans[i, 1], sides[i, 0], sides[i, 1]
            rise = _line_y(lines, top, x0) - _line_y(lines, bottom, x0)
            areas[i] = 0.5 * (x1 - x0) * (rise + _line_y(lines, top, x1) - _line_y(lines, bottom, x1))
            if areas[i] > largest:
                best, largest = i, areas[i]
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        x = 0.5 * (spans[best, 0] + spans[best, 1])
        y = 0.5 * (_line_y(lines, sides[best, 0], x) + _line_y(lines, sides[best, 1], x))
        v, w = COS * x - SIN * y, SIN * x + COS * y
        px = moved[a, 0] + v * (moved[b, 0] - moved[a, 0]) + w * (moved[c, 0] - moved[a, 0])
        py = moved[a, 1] + v * (moved[b, 1] - moved[a, 1]) + w * (moved[c, 1] - moved[a, 1])
        pz = moved[a, 2] + v * (moved[b, 2] - moved[a, 2]) + w * (moved[c, 2] - moved[a, 2])
        above, opened = winding_above(px, py, pz, f, moved, facets, corners, boxes, level_start, pad, stack)
        nodes, spent = nodes + opened, spent + 2 * opened
        base = above - sides[best, 2]
        if normal_z(moved, facets, f) <= 0:
            base -= 1
        bounding = inner = 0
        for i in range(len(spans)):
            if areas[i] > _SLIVER:
                if base + sides[i, 2] == 0:
                    bounding += 1
                else:
                    inner += 1
        status[f] = CUT if bounding > 0 and inner > 0 else (WHOLE if bounding > 0 else INSIDE)
        if status[f] != CUT:
            continue
        for i in range(len(spans)):
            if base + sides[i, 2] != 0 or areas[i] <= _SLIVER:
                continue
            if count + 2 > len(pieces):
                more_pieces, more_owner = np.empty((2 * len(pieces), 3, 3)), np.empty(2 * len(pieces), np.int32)
                more_pieces[:count], more_owner[:count] = pieces[:count], owner[:count]
                pieces, owner = more_pieces, more_owner
            x0, x1, bottom, top = spans[i, 0], spans[i, 1], sides[i, 0], sides[i, 1]
            y00, y01, y10, y11 = (
                _line_y(lines, bottom, x0),
                _line_y(lines, top, x0),
                _line_y(lines, bottom, x1),
                _line_y(lines, top, x1),
            )
            for half in range(2):
                if (y11 if half == 0 else y01) == (y10 if half == 0 else y00):
                    continue
                for corner in range(3):
                    if half == 0:
                        x = x0 if corner == 0 else x1
                        y = y00 if corner == 0 else (y10 if corner == 1 else y11)
                    else:
                        x = x1 if corner == 1 else x0
                        y = y00 if corner == 0 else (y11 if corner == 1 else y01)
                    v, w = COS * x - SIN * y, SIN * x + COS * y
                    for axis in range(3):
                        origin = vertices[a, axis]
                        pieces[count, corner, axis] = (
                            origin + v * (vertices[b, axis] - origin) + w * (vertices[c, axis] - origin)
                        )
                owner[count] = f
                count += 1
    return pieces[:count], owner[:count], nodes, spent
