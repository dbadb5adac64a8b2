"""The contours of each layer: which segments form one, what lies inside what, and a search structure for points.

Segments (x0, y0, x1, y1), solid on the left, are joined by union-find over coincident end points (a hash grid per
layer). A contour with positive area is an outer one, others are holes. The leftmost point of a contour sees, straight
to its left, the contour that bounds the same component: of the solid for a hole, of the void for an outer contour
(nothing there: the outside). That gives the components of both without sorting or nesting trees.

Segments are joined in O(n); :mod:`point_location` answers what lies to the left of a point. Layer k of a block owns
segments ``start[k] .. start[k + 1]``.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.layers.contour_links import label_segments, new_labels
from pricing_engine.kernels.layers.point_location import bucket_segments, locate
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import PAIRS
from pricing_engine.kernels.runtime.union_find import find, join


@kernel
def build_contours(
    lo, hi, start, segments, tolerance, tolerant, contour, area, sample, count, solid, void, contours, strip, items,
    right, low_y, per_y, grain, most, work,
):  # fmt: skip
    """Contours of layers lo .. hi.

    Per contour, from ``start[layer]`` on: twice its ``area``, its leftmost segment ``sample``, its segments' ``count``,
    and the component it bounds on either side, named by one of its contours: ``solid`` and ``void`` (-1, outside).

    ``work`` (chunks, 2): segments tested; it ends with more than ``most`` a segment of the range, and the
    layers left are not done.
    """
    tests = longest = 0
    most = most * max(1, start[hi] - start[lo])
    for layer in range(lo, hi):
        longest = max(longest, start[layer + 1] - start[layer])
    labels = new_labels(longest)
    for layer in range(lo, hi):
        begin, end = start[layer], start[layer + 1]
        if begin == end or tests > most:
            continue
        number = label_segments(begin, end, tolerance, tolerant, segments, labels, contour, area, sample, count)
        contours[layer] = number
        bucket_segments(layer, begin, end, segments, strip, items, right, low_y, per_y)
        inner = np.arange(number).astype(np.int32)
        outer = np.arange(number + 1).astype(np.int32)  # number 0 is the outside
        for c in range(number):
            x, y = segments[sample[begin + c], 0], segments[sample[begin + c], 1]
            _, nearest, read = locate(
                layer, x, y, c, tolerance, start, segments, contour, strip, items, right, low_y, per_y
            )
            tests += read
            if area[begin + c] > 0.0:
                join(outer, c + 1, nearest + 1)
            elif nearest >= 0:
                join(inner, c, nearest)
        for c in range(number):
            solid[begin + c] = find(inner, c)
            void[begin + c] = find(outer, c + 1) - 1
    work[lo // grain, PAIRS] = tests
