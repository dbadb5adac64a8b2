"""Cut facets by equally spaced planes: layer areas, perimeters and the segments themselves.

Each vertex gets its *level*, the number of planes at or below it, once; an edge crosses plane k if exactly one of its
ends has a level above k. So a vertex on a plane counts as above it, no facet needs a special case, and facets that
share an edge agree on every crossing, bit for bit, because a crossing is computed from the lower end to the upper one.
A crossed facet has one segment a plane, from the edge that goes down through it to the edge that goes up, which puts
the solid on its left when seen from above. Area is Green's theorem over these segments, about the box's centre.

O(facets + segments), one streaming pass; sums are stored per chunk of facets and merged in chunk order. Tall slivers
have a segment a layer each: count them first.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import PAIRS
from pricing_engine.kernels.solid.boundary import UNCUT


class Planes(NamedTuple):
    """Plane k lies at height ``first + k * step``; segments are relative to (``centre_x``, ``centre_y``). In mm."""

    first: Any
    step: Any
    centre_x: Any
    centre_y: Any


class ChunkSums(NamedTuple):
    """(chunks, layers): twice the ``area`` (mm2), the ``perimeter`` (mm) and the number of ``segments``."""

    area: Any
    perimeter: Any
    segments: Any


@kernel
def find_levels(lo, hi, vertices, first, step, tolerance, layers, level):
    """``level[v]``: how many planes ``first + k * step``, k < layers, lie at or below vertex v (within tolerance)."""
    for vertex in range(lo, hi):
        z = vertices[vertex, 2] + tolerance
        guess = int(min(max((z - first) / step, -1.0), float(layers))) + 1
        guess = min(max(guess, 0), layers)
        while guess > 0 and first + (guess - 1) * step > z:
            guess -= 1
        while guess < layers and first + guess * step <= z:
            guess += 1
        level[vertex] = guess


@kernel
def count_segments(lo, hi, grain, facets, status, level, work):
    """``work`` (chunks, 2): how many segments the facets lo .. hi have in all layers."""
    segments = 0
    for facet in range(lo, hi):
        if status[facet] == UNCUT:
            a, b, c = level[facets[facet, 0]], level[facets[facet, 1]], level[facets[facet, 2]]
            segments += max(a, b, c) - min(a, b, c)
    work[lo // grain, PAIRS] = segments


@inlined
def _crossing(vertices, low, high, z, centre_x, centre_y):
    """Where the edge from its lower to its upper end passes height z, about the centre."""
    t = (z - vertices[low, 2]) / (vertices[high, 2] - vertices[low, 2])
    t = min(max(t, 0.0), 1.0)
    x, y = vertices[low, 0] - centre_x, vertices[low, 1] - centre_y
    return x + t * (vertices[high, 0] - centre_x - x), y + t * (vertices[high, 1] - centre_y - y)


@inlined
def _segment(vertices, level, a, b, c, layer, z, centre_x, centre_y):
    """Return the directed segment of facet (a, b, c) in a plane it crosses: x0, y0, x1, y1 about the centre."""
    up_a, up_b, up_c = level[a] > layer, level[b] > layer, level[c] > layer
    same_ab, same_bc = up_a == up_b, up_b == up_c  # selects, not branches: they would be mispredicted
    lone = c if same_ab else (a if same_bc else b)
    after = a if same_ab else (b if same_bc else c)
    before = b if same_ab else (c if same_bc else a)
    up = level[lone] > layer
    xa, ya = _crossing(vertices, after if up else lone, lone if up else after, z, centre_x, centre_y)
    xb, yb = _crossing(vertices, before if up else lone, lone if up else before, z, centre_x, centre_y)
    # with the lone corner above, the edge towards it from ``before`` goes up and the edge on to ``after`` goes down
    return xa if up else xb, ya if up else yb, xb if up else xa, yb if up else ya


@kernel
def sum_layers(lo, hi, grain, vertices, facets, status, level, planes, sums):
    """Add the facets' share of each layer to the :class:`ChunkSums`: a range kernel."""
    first, step, centre_x, centre_y = planes
    area, perimeter, segments = sums
    chunk = lo // grain
    for facet in range(lo, hi):
        if status[facet] != UNCUT:
            continue
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        bottom, top = min(level[a], level[b], level[c]), max(level[a], level[b], level[c])
        for layer in range(bottom, top):
            z = first + layer * step
            x0, y0, x1, y1 = _segment(vertices, level, a, b, c, layer, z, centre_x, centre_y)
            area[chunk, layer] += x0 * y1 - x1 * y0
            perimeter[chunk, layer] += math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
            segments[chunk, layer] += 1


@kernel
def fill_segments(lo, hi, grain, vertices, facets, status, level, planes, begin, end, cursor, out):
    """Write the segments of layers begin <= k < end to ``out`` (n, 4) at ``cursor[chunk, k - begin]``, advancing it."""
    first, step, centre_x, centre_y = planes
    chunk = lo // grain
    for facet in range(lo, hi):
        if status[facet] != UNCUT:
            continue
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        bottom, top = min(level[a], level[b], level[c]), max(level[a], level[b], level[c])
        for layer in range(max(bottom, begin), min(top, end)):
            x0, y0, x1, y1 = _segment(vertices, level, a, b, c, layer, first + layer * step, centre_x, centre_y)
            at = cursor[chunk, layer - begin]
            cursor[chunk, layer - begin] = at + 1
            out[at, 0], out[at, 1], out[at, 2], out[at, 3] = x0, y0, x1, y1
