"""What overlaps between neighbouring layers: supported components of the solid, connected components of the void.

Two components overlap if and only if their contours cross, or a point just inside one lies in the other. So points a
hair's breadth either side of a few segments of each contour are located in the other layer (that settles almost
everything: walls that continue, components that grow or shrink), and what may still change the answer gets the exact
crossing test of its segments against those of the other layer in the same strips of y. Contours that merely coincide
(upright walls) don't cross: a crossing must be clear of both segments by the tolerance.

Where contours cross, all four combinations of their sides meet, so their voids are connected too. Void that is
connected, layer by layer, to the outside of any layer, or reaches beyond the first or last, has a way out.

O(n) in practice; the crossing tests read the segments of a few strips each, of crowded strips those that overlap in x.
"""

from __future__ import annotations

import math

import numpy as np

from pricing_engine.kernels.layers.layer_crossings import MOST_SIDE, meet
from pricing_engine.kernels.layers.point_location import locate
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.union_find import find, join

_SAMPLES = 8


@inlined
def _beside(segments, s, offset):
    """The point ``offset`` left of the middle of segment s (right if negative), closer for tiny segments."""
    dx, dy = segments[s, 2] - segments[s, 0], segments[s, 3] - segments[s, 1]
    length = math.sqrt(dx * dx + dy * dy)
    scale = offset / length if length > 4.0 * abs(offset) else (0.25 if offset > 0.0 else -0.25)
    return (segments[s, 0] + segments[s, 2]) / 2 - scale * dy, (segments[s, 1] + segments[s, 3]) / 2 + scale * dx


@kernel
def overlap_layers(
    lo, hi, offset, tolerance, start, segments, contour, count, solid, void, contours, strip, items, right, low_y,
    per_y, supported, below, above, grain, most, work,
):  # fmt: skip
    """Compare layers k and k + 1 for lo <= k < hi.

    Sets ``supported`` at the components of layer k + 1 that overlap the solid of layer k, and links every contour's
    void to a common representative of the pair: ``above`` for layer k, ``below`` for layer k + 1. A representative is
    0 for the outside, 1 + c for contour c of layer k, 1 + contours[k] + c for contour c of layer k + 1.
    ``work`` (chunks, 2): cells and rows visited, and segments tested; with more than ``most`` of both a segment of the
    range it ends, and the layers left are not done.
    """
    tests, cells = np.zeros(2, np.int64), np.empty(MOST_SIDE * MOST_SIDE, np.int32)
    most = most * max(1, start[hi + 1] - start[lo])
    for k in range(lo, hi):
        if tests[NODES] + tests[PAIRS] > most:
            break
        lower, upper = contours[k], contours[k + 1]
        parent = np.arange(1 + lower + upper).astype(np.int32)
        closed = np.zeros(2, np.int64)  # contours around void that is not outside, lower and upper layer
        for side in range(2):
            for c in range(contours[k + side]):
                mine = void[start[k + side] + c]
                closed[side] += mine >= 0
                parent[1 + side * lower + c] = 0 if mine < 0 else 1 + side * lower + mine
        loose = 0
        for c in range(upper):
            loose += solid[start[k + 1] + c] == c
        for side in range(1, -1, -1):  # points beside the upper layer's contours first, then the lower's
            here, there = k + side, k + 1 - side
            wait = np.zeros(contours[here], np.int32)  # segments until the next sample of each contour
            for s in range(start[here], start[here + 1]):
                c = contour[s]
                wait[c] -= 1
                if wait[c] >= 0:
                    continue
                wait[c] = max(1, count[start[here] + c] // _SAMPLES) - 1
                if loose > 0 and (side == 0 or supported[start[here] + solid[start[here] + c]] == 0):
                    x, y = _beside(segments, s, offset)
                    winding, near, read = locate(
                        there, x, y, -1, tolerance, start, segments, contour, strip, items, right, low_y, per_y
                    )
                    tests[PAIRS] += read
                    if winding > 0 and near >= 0:
                        mine = start[k + 1] + solid[start[k + 1] + (c if side == 1 else near)]
                        loose -= supported[mine] == 0
                        supported[mine] = 1
                if closed[0] + closed[1] > 0 and (void[start[here] + c] >= 0 or closed[1 - side] > 0):
                    x, y = _beside(segments, s, -offset)
                    winding, near, read = locate(
                        there, x, y, -1, tolerance, start, segments, contour, strip, items, right, low_y, per_y
                    )
                    tests[PAIRS] += read
                    if winding <= 0:
                        mine = 1 + side * lower + c
                        join(parent, mine, 0 if near < 0 else 1 + (1 - side) * lower + near)
        if loose > 0 or closed[0] + closed[1] > 0:
            meet(
                k, tolerance, start, segments, contour, solid, strip, items, right, low_y, per_y, supported, parent,
                lower, upper, most, cells, tests,
            )  # fmt: skip
        for c in range(lower):
            above[start[k] + c] = find(parent, 1 + c)
        for c in range(upper):
            below[start[k + 1] + c] = find(parent, 1 + lower + c)
    work[lo // grain, NODES], work[lo // grain, PAIRS] = tests[NODES], tests[PAIRS]


@kernel
def find_voids(
    lo, hi, tolerance, points, layer, start, segments, contour, contours, strip, items, right, low_y, per_y, found,
    grain, most, work,
):  # fmt: skip
    """``found[i]``: the contour left of ``points[i]`` (n, 2) in ``layer[i]``, -1 in the solid or with none.

    ``work`` (chunks, 2): segments tested; it ends with more than ``most`` a point.
    """
    tests, most = 0, most * (hi - lo)
    for i in range(lo, hi):
        k = layer[i]
        if contours[k] > 0 and tests <= most:
            winding, nearest, read = locate(
                k,
                points[i, 0],
                points[i, 1],
                -1,
                tolerance,
                start,
                segments,
                contour,
                strip,
                items,
                right,
                low_y,
                per_y,
            )
            found[i], tests = nearest if winding <= 0 else -1, tests + read
    work[lo // grain, PAIRS] = tests


@kernel
def join_pairs(parent, pairs):
    """Unite ``pairs[0, i]`` with ``pairs[1, i]`` in a forest whose roots are the smallest numbers."""
    for i in range(pairs.shape[1]):
        join(parent, pairs[0, i], pairs[1, i])
