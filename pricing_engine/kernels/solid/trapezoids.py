"""A sweep over the segments in a facet: the trapezoids between them, and the changes of the winding number.

Between the sorted abscissae of all segment ends and segment-segment crossings (a slab) the segments that span are
ordered from bottom to top, and the winding number just outside of the facet changes by one at each. At its lower side
it changes where segments end on that side. Trapezoids between the same two lines in neighbouring slabs are one.
O((k + x) a + k log k) for k segments with x pairs that overlap in abscissa and at most a of them over one abscissa.
That can be k**3 steps, so they are counted (``units``, some 10 ns each).

Most facets have one to four segments, so that allocating would cost more than the sweep: working memory is reused from
facet to facet (:class:`Sweep`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.solid.segments import COS, SIN

BOTTOM, _TOP_LEFT, _TOP_RIGHT = 0, 1, 2  # the facet's sides ab, ac, cb are the first three lines
_CROSSING_UNITS, _TRAPEZOID_UNITS = 8, 128  # what memory they take counts too
_FEW = 15  # sorted by insertion


class Sweep(NamedTuple):
    """Working memory for facets of at most k segments.

    ``lines`` (3 + k, 4): from left to right; ``gain``: what the winding number gains above each. ``steps`` (2 k, 2):
    abscissae along ab and what it gains there. ``order``: segments by their left ends. ``slot``: the open trapezoid
    above each line, ``last_slab``: the last slab in which there was one.
    """

    lines: Any
    gain: Any
    steps: Any
    order: Any
    active: Any
    height: Any
    slot: Any
    last_slab: Any
    open_now: Any
    open_next: Any


@kernel
def new_sweep(most):
    """Memory for facets of up to ``most`` segments."""
    n = 3 + most
    lines, gain = np.empty((n, 4)), np.zeros(n, np.int64)
    lines[0, 0], lines[0, 1], lines[0, 2], lines[0, 3] = 0.0, 0.0, COS, -SIN
    lines[1, 0], lines[1, 1], lines[1, 2], lines[1, 3] = 0.0, 0.0, SIN, COS
    lines[2, 0], lines[2, 1], lines[2, 2], lines[2, 3] = SIN, COS, COS, -SIN
    return Sweep(
        lines, gain, np.empty((2 * n, 2)), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n),
        np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64),
    )  # fmt: skip


@inlined
def line_y(lines, i, x):
    """Ordinate of line i at x."""
    x0, x1 = lines[i, 0], lines[i, 2]
    t = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return lines[i, 1] * (1 - t) + lines[i, 3] * t


@kernel
def _sort_many(steps, step_count, lines, order, count):
    """Sort ``steps`` by abscissa and ``order`` by left ends where they are many."""
    if step_count > _FEW:
        steps[:step_count] = steps[:step_count][np.argsort(steps[:step_count, 0])]
    if count > _FEW:
        order[:count] = 3 + np.argsort(lines[3 : 3 + count, 0])


@kernel
def read_lines(first, last, segments, flags, sweep):
    """Set the lines, gains, steps and order of the segments ``first .. last``; returns the number of steps."""
    lines, gain, steps, order = sweep.lines, sweep.gain, sweep.steps, sweep.order
    step_count, count = 0, last - first
    for s in range(first, last):
        i = 3 + s - first
        forward = segments[s, 0] < segments[s, 2]
        start, end = (0, 2) if forward else (2, 0)
        lines[i, 0], lines[i, 1] = segments[s, start], segments[s, start + 1]
        lines[i, 2], lines[i, 3] = segments[s, end], segments[s, end + 1]
        gain[i] = 1 if forward else -1
        if flags[s] & 1:
            steps[step_count, 0], steps[step_count, 1] = segments[s, 0], -1
            step_count += 1
        if flags[s] & 2:
            steps[step_count, 0], steps[step_count, 1] = segments[s, 2], 1
            step_count += 1
    for k in range(1, step_count if step_count <= _FEW else 0):
        x, step, m = steps[k, 0], steps[k, 1], k
        while m > 0 and x < steps[m - 1, 0]:
            steps[m, 0], steps[m, 1] = steps[m - 1, 0], steps[m - 1, 1]
            m -= 1
        steps[m, 0], steps[m, 1] = x, step
    for k in range(count if count <= _FEW else 0):
        m = k
        while m > 0 and lines[3 + k, 0] < lines[order[m - 1], 0]:
            order[m] = order[m - 1]
            m -= 1
        order[m] = 3 + k
    if max(step_count, count) > _FEW:
        _sort_many(steps, step_count, lines, order, count)
    return step_count


@kernel
def _events(n, sweep, events, most):
    """Sorted abscissae of all line ends and crossings of n segments, their number, and the units spent.

    ``events`` is filled, or a longer array if there are more.
    """
    lines, order, active = sweep.lines, sweep.order, sweep.active
    count = 2 * n + 3
    events[0], events[1], events[2] = 0.0, SIN, COS
    for k in range(n):
        events[3 + 2 * k], events[4 + 2 * k] = lines[order[k], 0], lines[order[k], 2]
    active_count = units = 0
    for k in range(n):
        i = order[k]
        units += active_count
        if units > most:
            break
        remaining = 0
        px, py = lines[i, 0], lines[i, 1]
        dx, dy = lines[i, 2] - px, lines[i, 3] - py
        for m in range(active_count):
            j = active[m]
            if lines[j, 2] <= px:
                continue
            active[remaining] = j
            remaining += 1
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
        active[remaining] = i
        active_count = remaining + 1
    if count > 2 * _FEW:
        events[:count].sort()
        return events, count, units
    for k in range(1, count):
        x, m = events[k], k
        while m > 0 and x < events[m - 1]:
            events[m] = events[m - 1]
            m -= 1
        events[m] = x
    return events, count, units


@kernel
def find_trapezoids(n, step_count, sweep, events, spans, sides, most):
    """Find the trapezoids of n segments.

    ``spans`` (count, 2): from, to; ``sides`` (count, 3): bottom line, top line, winding.

    The winding number is relative to the facet's corner a. Also the events and how many trapezoids and units; beyond
    ``most`` some are missing. ``events``, ``spans`` and ``sides`` are filled, or longer arrays if there are more.
    """
    lines, gain, steps, order = sweep.lines, sweep.gain, sweep.steps, sweep.order
    active, height, slot, last_slab = sweep.active, sweep.height, sweep.slot, sweep.last_slab
    open_now, open_next = sweep.open_now, sweep.open_next
    events, event_count, units = _events(n, sweep, events, most)
    for i in range(n + 3):
        slot[i] = last_slab[i] = -1
    count = 0
    open_count = active_count = next_line = next_step = base = 0
    for slab in range(event_count):
        x0 = events[slab]
        x1 = events[slab + 1] if slab + 1 < event_count else x0
        x = 0.5 * (x0 + x1)
        closing = slab + 1 == event_count
        units += active_count + 1
        if units > most:
            break
        if not closing and x1 - x0 <= 1e-15:
            continue
        remaining = 0
        for k in range(active_count):
            if lines[active[k], 2] > x:
                active[remaining] = active[k]
                remaining += 1
        active_count = remaining
        while next_line < n and lines[order[next_line], 0] < x:
            if lines[order[next_line], 2] > x:
                active[active_count] = order[next_line]
                active_count += 1
            next_line += 1
        while next_step < step_count and steps[next_step, 0] < x:
            base += int(steps[next_step, 1])
            next_step += 1
        for k in range(active_count):
            line, y = active[k], line_y(lines, active[k], x)
            m = k
            while m > 0 and height[m - 1] > y:
                height[m], active[m] = height[m - 1], active[m - 1]
                m -= 1
                units += 1
            height[m], active[m] = y, line
        next_count = 0
        winding, bottom = base, BOTTOM
        for k in range(0 if closing else active_count + 1):
            top = active[k] if k < active_count else (_TOP_LEFT if x < SIN else _TOP_RIGHT)
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
            last_slab[bottom] = slab
            open_next[next_count] = bottom
            next_count += 1
            bottom = top
            winding += gain[top]
        for k in range(open_count):
            bottom = open_now[k]
            if last_slab[bottom] != slab:
                spans[slot[bottom], 1] = x0
                slot[bottom] = -1
        open_now, open_next = open_next, open_now
        open_count = next_count
    return events, spans, sides, count, units
