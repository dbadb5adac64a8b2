"""Overlaps of neighbouring layers: supported components of the solid, connected components of the void.

Two components overlap if and only if their contours cross, or a point just inside one lies in the other. So points a
hair's breadth either side of a few segments of each contour are located in the other layer (that settles almost
everything: walls that continue, components that grow or shrink). Where a crossing may still change the result, segments
are tested exactly for crossings with those of the other layer in the same strips of y. Contours that merely coincide
(upright walls) don't cross: a crossing must be clear of both segments by the tolerance.

Where contours cross, all four combinations of their sides meet, so their voids are connected too. Void that is
connected, layer by layer, to the outside of any layer, or reaches beyond the first or last, has a way out.

O(n) in practice; the crossing tests read the segments of a few strips each, of crowded strips those that overlap in x.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.layers.layer_crossings import MAX_SIDE, meet
from pricing_engine.kernels.layers.point_location import locate
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.union_find import find, join

_SAMPLES = 8


@inlined
def _beside(segments, s, offset):
    """Return the point ``offset`` left of the middle of segment s (right if negative), closer for tiny segments."""
    dx, dy = segments[s, 2] - segments[s, 0], segments[s, 3] - segments[s, 1]
    length = math.sqrt(dx * dx + dy * dy)
    scale = offset / length if length > 4.0 * abs(offset) else (0.25 if offset > 0.0 else -0.25)
    return (segments[s, 0] + segments[s, 2]) / 2 - scale * dy, (segments[s, 1] + segments[s, 3]) / 2 + scale * dx


class Overlaps(NamedTuple):
    """How contours overlap those of the layers below and above.

    Per contour: ``supported``, 1 at the components that overlap the solid of the layer below; its void's
    representative in the pair with the layer ``below`` and in that with the layer ``above``.

    A representative is 0 for the outside, 1 + c for contour c of the lower layer, 1 + its contours + c for contour c of
    the upper layer.
    """

    supported: Any
    below: Any
    above: Any


@kernel
def overlap_layers(lo, hi, offset, tolerance, layers, contours, overlaps, grain, budget, work):
    """Compare layers k and k + 1 for lo <= k < hi and fill the overlaps: a range kernel.

    ``offset`` (mm): from a segment to the points beside it that are located; ``tolerance`` (mm): by how much a crossing
    must be clear. ``work`` (chunks, 2): cells and rows visited, and segments tested; with more than ``budget`` of both
    a segment of the range it ends, and the layers left are not done.
    """
    start, segments, contour = layers.start, layers.segments, layers.contour
    _, _, count, solid, void, number = contours
    supported, below, above = overlaps
    tests, cells = np.zeros(2, np.int64), np.empty(MAX_SIDE * MAX_SIDE, np.int32)
    budget = budget * max(1, start[hi + 1] - start[lo])
    for k in range(lo, hi):
        if tests[NODES] + tests[PAIRS] > budget:
            break
        lower, upper = number[k], number[k + 1]
        parent = np.arange(1 + lower + upper).astype(np.int32)
        closed = np.zeros(2, np.int64)  # contours around void that is not outside, lower and upper layer
        for side in range(2):
            for c in range(number[k + side]):
                outer = void[start[k + side] + c]
                closed[side] += outer >= 0
                parent[1 + side * lower + c] = 0 if outer < 0 else 1 + side * lower + outer
        loose = 0
        for c in range(upper):
            loose += solid[start[k + 1] + c] == c
        for side in range(1, -1, -1):  # points beside the upper layer's contours first, then the lower's
            own, other = k + side, k + 1 - side
            wait = np.zeros(number[own], np.int32)  # segments until the next sample of each contour
            for s in range(start[own], start[own + 1]):
                c = contour[s]
                wait[c] -= 1
                if wait[c] >= 0:
                    continue
                wait[c] = max(1, count[start[own] + c] // _SAMPLES) - 1
                if loose > 0 and (side == 0 or supported[start[own] + solid[start[own] + c]] == 0):
                    x, y = _beside(segments, s, offset)
                    winding, near, read = locate(other, x, y, -1, tolerance, layers)
                    tests[PAIRS] += read
                    if winding > 0 and near >= 0:
                        component = start[k + 1] + solid[start[k + 1] + (c if side == 1 else near)]
                        loose -= supported[component] == 0
                        supported[component] = 1
                if closed[0] + closed[1] > 0 and (void[start[own] + c] >= 0 or closed[1 - side] > 0):
                    x, y = _beside(segments, s, -offset)
                    winding, near, read = locate(other, x, y, -1, tolerance, layers)
                    tests[PAIRS] += read
                    if winding <= 0:
                        node = 1 + side * lower + c
                        join(parent, node, 0 if near < 0 else 1 + (1 - side) * lower + near)
        if loose > 0 or closed[0] + closed[1] > 0:
            meet(k, tolerance, layers, solid, supported, parent, lower, upper, budget, cells, tests)
        for c in range(lower):
            above[start[k] + c] = find(parent, 1 + c)
        for c in range(upper):
            below[start[k + 1] + c] = find(parent, 1 + lower + c)
    work[lo // grain, NODES], work[lo // grain, PAIRS] = tests[NODES], tests[PAIRS]


@kernel
def find_voids(lo, hi, tolerance, points, layer, layers, number, found, grain, budget, work):
    """Set ``found[i]`` to the contour left of ``points[i]`` (n, 2) mm in ``layer[i]``, -1 in the solid or with none.

    ``number`` (layers,): contours of each layer. ``work`` (chunks, 2): segments tested; it ends with more than
    ``budget`` a point.
    """
    tests, budget = 0, budget * (hi - lo)
    for i in range(lo, hi):
        k = layer[i]
        if number[k] > 0 and tests <= budget:
            winding, nearest, read = locate(k, points[i, 0], points[i, 1], -1, tolerance, layers)
            found[i], tests = nearest if winding <= 0 else -1, tests + read
    work[lo // grain, PAIRS] = tests


@kernel
def join_pairs(parent, pairs):
    """Unite ``pairs[0, i]`` with ``pairs[1, i]`` in a forest whose roots are the smallest numbers."""
    for i in range(pairs.shape[1]):
        join(parent, pairs[0, i], pairs[1, i])
