"""In which shells a point lies: by boxes, then by the signed crossings of one ray with each shell.

A shell can hold a point only if its box does, so most points need no ray: a tree over the shells' boxes lists those
that may. They are tested from the smallest on, until one holds the point: one of few facets facet by facet, and at the
first of many facets one ray through the tree of all facets counts the crossings of every shell at once. O(log n +
crossings) a point. The winding number decides, so shells may be inside out or run through themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import dot, edge, point, sub
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y, crossing, height_above, next_leaf, start_ray
from pricing_engine.kernels.solid.winding import STACK
from pricing_engine.kernels.spatial.bvh import WIDTH, first_child

OUTSIDE, INSIDE, ON = 0, 1, 2
GRAIN_POINTS = 256
_FEW = 64  # facets that are tested one by one


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


@inlined
def _in_box(x, y, z, boxes, box):
    """Whether a point lies in a box of the tree."""
    return (
        boxes[0, box] <= x <= boxes[3, box]
        and boxes[1, box] <= y <= boxes[4, box]
        and boxes[2, box] <= z <= boxes[5, box]
    )


@kernel
def _holders(x, y, z, own, shells, stack, found):
    """Shells other than ``own``, and not smaller, whose boxes hold a point; how many; and the boxes compared."""
    boxes, level_start, size, shell_boxes = shells.tree.boxes, shells.tree.level_start, shells.size, shells.boxes
    count = nodes = depth = 0
    last = len(level_start) - 1
    for box in range(level_start[last], boxes.shape[1]):
        depth = push(stack, depth, box, last)
    while depth > 0:
        depth, box, level = pop(stack, depth)
        nodes += 1
        if not _in_box(x, y, z, boxes, box):
            continue
        if level > 0:
            first = first_child(level_start, box, level)
            for child in range(first, first + WIDTH):
                depth = push(stack, depth, child, level - 1)
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
def _cast(x, y, z, surface, of_facet, stack, winding, hit):
    """Add each crossing above a sheared point to its shell's ``winding`` (S,); the shells met in ``hit``."""
    moved, facets, boxes, level_start = surface.moved, surface.facets, surface.bvh.boxes, surface.bvh.level_start
    count, nodes, depth = 0, 0, start_ray(x, y, z, True, boxes, level_start, stack)
    while True:
        leaf, depth, opened = next_leaf(x, y, z, True, boxes, level_start, stack, depth)
        nodes += opened
        if leaf < 0:
            break
        for f in range(WIDTH * leaf, min(WIDTH * leaf + WIDTH, len(facets))):
            sign = _above(x, y, z, moved, facets, f)
            if sign != 0:
                if count == len(hit):
                    hit = _grow(hit)
                hit[count] = of_facet[f]
                count += 1
                winding[of_facet[f]] += sign
    return hit, count, nodes


@inlined
def _square(u):
    return dot(u, u)


@inlined
def _minus(u, s, v):
    """Return u - s v."""
    return u[0] - s * v[0], u[1] - s * v[1], u[2] - s * v[2]


@kernel
def _square_distance(p, vertices, facets, f):
    """Of a point to a facet (Ericson, "Real-Time Collision Detection", 2005, 5.1.5)."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    u, v, w = edge(vertices, a, b), edge(vertices, a, c), sub(p, point(vertices, a))
    d1, d2, uu, uv, vv = dot(u, w), dot(v, w), dot(u, u), dot(u, v), dot(v, v)
    if d1 <= 0 and d2 <= 0:
        return _square(w)
    d3, d4 = d1 - uu, d2 - uv
    if d3 >= 0 and d4 <= d3:
        return _square(sub(w, u))
    on_c = d1 * d4 - d3 * d2
    if on_c <= 0 and d1 >= 0 and d3 <= 0:
        s = d1 / (d1 - d3) if d1 != d3 else 0.0
        return _square(_minus(w, s, u))
    d5, d6 = d1 - uv, d2 - vv
    if d6 >= 0 and d5 <= d6:
        return _square(sub(w, v))
    on_b = d5 * d2 - d1 * d6
    if on_b <= 0 and d2 >= 0 and d6 <= 0:
        s = d2 / (d2 - d6) if d2 != d6 else 0.0
        return _square(_minus(w, s, v))
    on_a = d3 * d6 - d5 * d4
    if on_a <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        s = (d4 - d3) / ((d4 - d3) + (d5 - d6)) if (d4 - d3) + (d5 - d6) != 0 else 0.0
        return _square(_minus(sub(w, u), s, sub(v, u)))
    total = on_a + on_b + on_c
    if total == 0:
        return _square(w)
    s, t = on_b / total, on_c / total
    return _square(_minus(_minus(w, s, u), t, v))


@inlined
def _rank(shell, candidates, start, end):
    """Place of a shell among the sorted ``candidates[start:end]``, or -1."""
    at = start + np.searchsorted(candidates[start:end], shell)
    return at - start if at < end and candidates[at] == shell else -1


class Points(NamedTuple):
    """The points to locate.

    ``place`` (N, 3) mm about the tree's centre, on a facet of the shell ``own`` (N,); ``row`` (N,) of the contacts'
    ``near_start``, -1 for none.
    """

    place: Any
    own: Any
    row: Any


class Contacts(NamedTuple):
    """What shells touch.

    ``near_start`` (n + 1,) delimits rows of ``near``, facets of other shells next to one; ``shell_start`` (S + 1,)
    delimits rows of ``shells``, those that each shell touches, sorted; ``reach`` (mm): how near a facet has a point ON
    its surface.
    """

    near_start: Any
    near: Any
    shell_start: Any
    shells: Any
    reach: Any


class SearchMesh(NamedTuple):
    """The mesh to search.

    ``vertices`` (V, 3) mm about the tree's centre, the same ``moved`` in general position and sheared; ``facets``;
    their ``bvh``.
    """

    vertices: Any
    moved: Any
    facets: Any
    bvh: Any


class ShellTree(NamedTuple):
    """The shells of the mesh, and a tree over their boxes.

    ``of_facet`` (F,): each facet's shell; ``by_shell`` (F,): facets by shell, each from ``start`` (S + 1,) on;
    ``size`` (S,): volumes, 0 for shells that hold nothing; ``boxes`` (S, 6) mm, and the ``tree`` over them.
    """

    of_facet: Any
    by_shell: Any
    start: Any
    size: Any
    boxes: Any
    tree: Any


class Containment(NamedTuple):
    """Output of the search.

    ``state`` with one entry a point and touched shell, from ``start`` (N + 1,) on: OUTSIDE, INSIDE or ON; ``holder``
    (N,): the smallest shell that holds the point and is not touched, or -1.
    """

    start: Any
    state: Any
    holder: Any


@inlined
def _count_crossings(x, y, z, shell, surface, shells):
    """Winding number of a shell at a sheared point, facet by facet."""
    number = 0
    for row in range(shells.start[shell], shells.start[shell + 1]):
        number += _above(x, y, z, surface.moved, surface.facets, shells.by_shell[row])
    return number


@kernel
def _mark_on_surface(p, row, contacts, surface, of_facet, own_start, own_end, state_start, state):
    """Set ``state`` to ON for the touched shells with a facet of a row within reach; returns the facets tested."""
    near, touched, tests = contacts.near, contacts.shells, 0
    vertices, facets, reach = surface.vertices, surface.facets, contacts.reach
    for k in range(contacts.near_start[row], contacts.near_start[row + 1]):
        rank = _rank(of_facet[near[k]], touched, own_start, own_end)
        if rank >= 0 and state[state_start + rank] != ON:
            tests += 1
            if _square_distance(p, vertices, facets, near[k]) <= reach * reach:
                state[state_start + rank] = ON
    return tests


@kernel
def locate_points(lo, hi, skip, points, contacts, surface, shells, budget, result, work):
    """For each point: the smallest shell that holds it, and where it lies to each shell that its own one touches.

    A range kernel that fills a :class:`Containment`. Past ``budget`` steps in a chunk points are left out; ``work``
    (chunks, 2): nodes visited, shells and facets tested.
    """
    stack = np.empty((STACK, 2), np.int64)
    found, hit = np.empty(64, np.int64), np.empty(64, np.int64)
    winding = np.zeros(0, np.int32)
    place, own, rows = points
    size, shell_start, of_facet = shells.size, shells.start, shells.of_facet
    touched_start, touched = contacts.shell_start, contacts.shells
    state_start, state, holder = result.start, result.state, result.holder
    nodes = tests = 0
    for i in range(lo + skip, hi + skip):
        if nodes + tests > budget:
            break
        p = point(place, i)
        x, y, z, s = p[0] - SHEAR_X * p[2], p[1] - SHEAR_Y * p[2], p[2], own[i]
        own_start, own_end = touched_start[s], touched_start[s + 1]
        found, count, opened = _holders(p[0], p[1], p[2], s, shells, stack, found)
        nodes += opened
        tests += count
        candidates = found[:count]
        if count > 1:
            candidates = candidates[np.argsort(size[candidates], kind="mergesort")]
        hits = -1
        for k in range(count):
            t = candidates[k]
            rank = _rank(t, touched, own_start, own_end)
            if holder[i] >= 0 and rank < 0:
                continue
            if hits < 0 and shell_start[t + 1] - shell_start[t] > _FEW:
                if len(winding) == 0:
                    winding = np.zeros(len(size), np.int32)
                hit, hits, opened = _cast(x, y, z, surface, of_facet, stack, winding, hit)
                nodes += opened
            if hits >= 0:
                number = winding[t]
            else:
                number = _count_crossings(x, y, z, t, surface, shells)
                tests += shell_start[t + 1] - shell_start[t]
            if number == 0:
                continue
            if rank >= 0:
                state[state_start[i] + rank] = INSIDE
            else:
                holder[i] = t
                if own_end == own_start:
                    break
        for k in range(max(hits, 0)):
            winding[hit[k]] = 0
        row = rows[i]
        if row >= 0:
            tests += _mark_on_surface(p, row, contacts, surface, of_facet, own_start, own_end, state_start[i], state)
    work[(lo + skip) // GRAIN_POINTS, NODES] = nodes
    work[(lo + skip) // GRAIN_POINTS, PAIRS] = tests


@kernel
def mark_overlapping(lo, hi, vertices, facets, margin, tree, marked):
    """Mark, in ``marked`` (F,) bool, the facets whose box, widened by ``margin`` mm, meets a leaf of a tree of boxes.

    ``vertices`` are about the tree's centre.
    """
    boxes, level_start = tree.boxes, tree.level_start
    stack = np.empty((STACK, 2), np.int64)
    low, high = np.empty(3), np.empty(3)
    last = len(level_start) - 1
    for f in range(lo, hi):
        for axis in range(3):
            a, b, c = vertices[facets[f, 0], axis], vertices[facets[f, 1], axis], vertices[facets[f, 2], axis]
            low[axis], high[axis] = min(a, b, c) - margin, max(a, b, c) + margin
        depth = 0
        for box in range(level_start[last], boxes.shape[1]):
            depth = push(stack, depth, box, last)
        marked[f] = False
        while depth > 0 and not marked[f]:
            depth, box, level = pop(stack, depth)
            if boxes[0, box] > high[0] or boxes[3, box] < low[0] or boxes[1, box] > high[1] or boxes[4, box] < low[1]:
                continue
            if boxes[2, box] > high[2] or boxes[5, box] < low[2]:
                continue
            if level == 0:
                marked[f] = True
                continue
            first = first_child(level_start, box, level)
            for child in range(first, first + WIDTH):
                depth = push(stack, depth, child, level - 1)
