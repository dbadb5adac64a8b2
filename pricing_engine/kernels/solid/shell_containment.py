"""In which shells a point lies: by boxes, then by the signed crossings of one ray with each shell.

A shell can hold a point only if its box does, so most points need no ray: a tree over the shells' boxes lists those
that may. They are tried from the smallest on, until one holds the point: one of few facets facet by facet, and at the
first of many facets one ray through the tree of all facets counts the crossings of every shell at once. O(log n +
crossings) a point. The winding number decides, so shells may be inside out or run through themselves.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y, crossing, height_above, on_ray
from pricing_engine.kernels.solid.winding import STACK
from pricing_engine.kernels.spatial.bvh import WIDTH

OUTSIDE, INSIDE, ON = 0, 1, 2
GRAIN_POINTS = 256
_FEW = 64  # facets that are tried one by one


@kernel
def measure_boxes(vertices, facets, facet_shell, boxes):
    """``boxes`` (S, 6): lowest and highest corner of each shell."""
    boxes[:, :3] = np.inf
    boxes[:, 3:] = -np.inf
    for f in range(len(facets)):
        s = facet_shell[f]
        for corner in range(3):
            v = facets[f, corner]
            for axis in range(3):
                boxes[s, axis] = min(boxes[s, axis], vertices[v, axis])
                boxes[s, 3 + axis] = max(boxes[s, 3 + axis], vertices[v, axis])


@kernel
def _grow(array):
    larger = np.empty(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger


@kernel
def _holders(x, y, z, own, size, boxes, level_start, shell_boxes, stack, found):
    """Shells other than ``own``, and not smaller, whose boxes hold a point; and the boxes compared."""
    count = top = nodes = 0
    last = len(level_start) - 1
    for box in range(level_start[last], boxes.shape[1]):
        stack[top, 0], stack[top, 1] = box, last
        top += 1
    while top > 0:
        top -= 1
        nodes += 1
        box, level = stack[top, 0], stack[top, 1]
        if not (boxes[0, box] <= x <= boxes[3, box] and boxes[1, box] <= y <= boxes[4, box]):
            continue
        if not boxes[2, box] <= z <= boxes[5, box]:
            continue
        if level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                stack[top, 0], stack[top, 1] = child, level - 1
                top += 1
            continue
        for s in range(WIDTH * box, min(WIDTH * box + WIDTH, len(size))):
            if s == own or not size[s] > 0 or size[s] < size[own]:
                continue
            if not (shell_boxes[s, 0] <= x <= shell_boxes[s, 3] and shell_boxes[s, 1] <= y <= shell_boxes[s, 4]):
                continue
            if shell_boxes[s, 2] <= z <= shell_boxes[s, 5]:
                if count == len(found):
                    found = _grow(found)
                found[count] = s
                count += 1
    return found, count, nodes


@inlined
def _above(x, y, z, moved, facets, f):
    sign = crossing(x, y, moved, facets, f)
    return sign if sign != 0 and height_above(x, y, z, moved, facets, f) > 0 else 0


@kernel
def _ray(x, y, z, moved, facets, boxes, level_start, facet_shell, stack, winding, hit):
    """Add each crossing above a sheared point to its shell's ``winding`` (S,); the shells met in ``hit``."""
    count = top = nodes = 0
    last = len(level_start) - 1
    for box in range(level_start[last], boxes.shape[1]):
        if on_ray(x, y, z, boxes, box):
            stack[top, 0], stack[top, 1] = box, last
            top += 1
    while top > 0:
        top -= 1
        nodes += 1
        box, level = stack[top, 0], stack[top, 1]
        if level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                if on_ray(x, y, z, boxes, child):
                    stack[top, 0], stack[top, 1] = child, level - 1
                    top += 1
            continue
        for f in range(WIDTH * box, min(WIDTH * box + WIDTH, len(facets))):
            sign = _above(x, y, z, moved, facets, f)
            if sign != 0:
                if count == len(hit):
                    hit = _grow(hit)
                hit[count] = facet_shell[f]
                count += 1
                winding[facet_shell[f]] += sign
    return hit, count, nodes


@inlined
def _square(x, y, z):
    return x * x + y * y + z * z


@kernel
def _square_distance(px, py, pz, vertices, facets, f):
    """Of a point to a facet (Ericson 2005, 5.1.5)."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    x, y, z = px - vertices[a, 0], py - vertices[a, 1], pz - vertices[a, 2]
    d1, d2 = ux * x + uy * y + uz * z, vx * x + vy * y + vz * z
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    if d1 <= 0 and d2 <= 0:
        return _square(x, y, z)
    d3, d4 = d1 - uu, d2 - uv
    if d3 >= 0 and d4 <= d3:
        return _square(x - ux, y - uy, z - uz)
    on_c = d1 * d4 - d3 * d2
    if on_c <= 0 and d1 >= 0 and d3 <= 0:
        s = d1 / (d1 - d3) if d1 != d3 else 0.0
        return _square(x - s * ux, y - s * uy, z - s * uz)
    d5, d6 = d1 - uv, d2 - vv
    if d6 >= 0 and d5 <= d6:
        return _square(x - vx, y - vy, z - vz)
    on_b = d5 * d2 - d1 * d6
    if on_b <= 0 and d2 >= 0 and d6 <= 0:
        s = d2 / (d2 - d6) if d2 != d6 else 0.0
        return _square(x - s * vx, y - s * vy, z - s * vz)
    on_a = d3 * d6 - d5 * d4
    if on_a <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        s = (d4 - d3) / ((d4 - d3) + (d5 - d6)) if (d4 - d3) + (d5 - d6) != 0 else 0.0
        return _square(x - ux - s * (vx - ux), y - uy - s * (vy - uy), z - uz - s * (vz - uz))
    total = on_a + on_b + on_c
    if total == 0:
        return _square(x, y, z)
    s, t = on_b / total, on_c / total
    return _square(x - s * ux - t * vx, y - s * uy - t * vy, z - s * uz - t * vz)


@kernel
def locate_points(
    lo, hi, skip, points, own, facet, near_start, near, asked_start, asked, reach,
    vertices, moved, facets, boxes, level_start, facet_shell, by_shell, shell_start,
    size, shell_boxes, tree, tree_start, state_start, most, state, parent, work,
):  # fmt: skip
    """For each point: the smallest shell that holds it, and where it lies to each shell that its own one touches.

    ``points`` (N, 3) about the tree's centre, on a facet of shell ``own`` (N,). ``facet`` (N,): the row of
    ``near_start`` with the facets of other shells next to it, -1 for none: a shell within ``reach`` mm has it ON its
    surface. ``asked_start``, ``asked``: the shells that each shell touches, sorted; ``state`` gets one entry a point
    and asked shell, from ``state_start`` on. ``size`` (S,): the shells' volumes, 0 for those that hold nothing.
    ``vertices`` are about the tree's centre, ``moved`` sheared. Past ``most`` steps in a chunk points are left out.
    """
    stack = np.empty((STACK, 2), np.int64)
    found, hit = np.empty(64, np.int64), np.empty(64, np.int64)
    winding = np.zeros(0, np.int32)
    nodes = tests = 0
    for i in range(lo + skip, hi + skip):
        if nodes + tests > most:
            break
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        x, y, s = px - SHEAR_X * pz, py - SHEAR_Y * pz, own[i]
        a0, a1 = asked_start[s], asked_start[s + 1]
        found, count, boxes_seen = _holders(px, py, pz, s, size, tree, tree_start, shell_boxes, stack, found)
        nodes += boxes_seen
        tests += count
        candidates = found[:count]
        if count > 1:
            candidates = candidates[np.argsort(size[candidates], kind="mergesort")]
        hits = -1
        for k in range(count):
            t = candidates[k]
            at = a0 + np.searchsorted(asked[a0:a1], t)
            is_asked = at < a1 and asked[at] == t
            if parent[i] >= 0 and not is_asked:
                continue
            if hits < 0 and shell_start[t + 1] - shell_start[t] > _FEW:
                if len(winding) == 0:
                    winding = np.zeros(len(size), np.int32)
                hit, hits, boxes_seen = _ray(
                    x, y, pz, moved, facets, boxes, level_start, facet_shell, stack, winding, hit
                )
                nodes += boxes_seen
            if hits >= 0:
                number = winding[t]
            else:
                number = 0
                for row in range(shell_start[t], shell_start[t + 1]):
                    number += _above(x, y, pz, moved, facets, by_shell[row])
                tests += shell_start[t + 1] - shell_start[t]
            if number == 0:
                continue
            if is_asked:
                state[state_start[i] + at - a0] = INSIDE
            else:
                parent[i] = t
                if a1 == a0:
                    break
        for k in range(max(hits, 0)):
            winding[hit[k]] = 0
        if facet[i] >= 0:
            for row in range(near_start[facet[i]], near_start[facet[i] + 1]):
                t = facet_shell[near[row]]
                at = a0 + np.searchsorted(asked[a0:a1], t)
                if at < a1 and asked[at] == t and state[state_start[i] + at - a0] != ON:
                    tests += 1
                    if _square_distance(px, py, pz, vertices, facets, near[row]) <= reach * reach:
                        state[state_start[i] + at - a0] = ON
    work[(lo + skip) // GRAIN_POINTS, NODES] = nodes
    work[(lo + skip) // GRAIN_POINTS, PAIRS] = tests


@kernel
def mark_overlapping(lo, hi, vertices, facets, margin, boxes, level_start, marked):
    """``marked`` (F,) bool: the facets whose box, widened by ``margin`` mm, meets a leaf of a tree of boxes.

    ``vertices`` are about the tree's centre.
    """
    stack = np.empty((STACK, 2), np.int64)
    low, high = np.empty(3), np.empty(3)
    last = len(level_start) - 1
    for f in range(lo, hi):
        for axis in range(3):
            a, b, c = vertices[facets[f, 0], axis], vertices[facets[f, 1], axis], vertices[facets[f, 2], axis]
            low[axis], high[axis] = min(a, b, c) - margin, max(a, b, c) + margin
        top = 0
        for box in range(level_start[last], boxes.shape[1]):
            stack[top, 0], stack[top, 1] = box, last
            top += 1
        marked[f] = False
        while top > 0 and not marked[f]:
            top -= 1
            box, level = stack[top, 0], stack[top, 1]
            if boxes[0, box] > high[0] or boxes[3, box] < low[0] or boxes[1, box] > high[1] or boxes[4, box] < low[1]:
                continue
            if boxes[2, box] > high[2] or boxes[5, box] < low[2]:
                continue
            if level == 0:
                marked[f] = True
                continue
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                stack[top, 0], stack[top, 1] = child, level - 1
                top += 1
