"""The contours of each layer: which segments form one, which component each bounds, and a search structure for points.

Segments (x0, y0, x1, y1), solid on the left, are joined by union-find over coincident end points (a hash grid per
layer). A contour with positive area is an outer one, others are holes. Straight to the left of a contour's leftmost
point lies the contour that bounds the same component: of the solid for a hole, of the void for an outer contour
(nothing there: the outside). That determines the components of both without sorting or nesting trees.

Segments are joined in O(n); :mod:`point_location` finds the contour to the left of a point.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.layers.contour_links import label_segments, new_labels
from pricing_engine.kernels.layers.point_location import bucket_segments, locate
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import PAIRS
from pricing_engine.kernels.runtime.union_find import find, join


class Contours(NamedTuple):
    """The contours, layer k's from ``start[k]`` of the :class:`Layers` on.

    Per contour: twice its ``area`` (mm2), its leftmost segment ``sample``, its segments' ``count``, and the component
    that it bounds on either side, named by one of its contours: ``solid`` and ``void`` (-1, outside). ``number``
    (layers,): how many contours a layer has.
    """

    area: Any
    sample: Any
    count: Any
    solid: Any
    void: Any
    number: Any


@kernel
def build_contours(lo, hi, layers, tolerance, tolerant, contours, grain, budget, work):
    """Fill the contours of layers lo .. hi, and the layers' own and strips: a range kernel.

    ``tolerance`` (mm): distance within which points are one; ``tolerant``: whether ends of segments may differ by it.
    ``work`` (chunks, 2): segments tested; it ends with more than ``budget`` a segment of the range, and the
    layers left are not done.
    """
    start, segments, (area, sample, _, solid, void, number) = layers.start, layers.segments, contours
    tests = longest = 0
    budget = budget * max(1, start[hi] - start[lo])
    for layer in range(lo, hi):
        longest = max(longest, start[layer + 1] - start[layer])
    labels = new_labels(longest)
    for layer in range(lo, hi):
        begin, end = start[layer], start[layer + 1]
        if begin == end or tests > budget:
            continue
        found = label_segments(begin, end, tolerance, tolerant, layers, labels, contours)
        number[layer] = found
        bucket_segments(layer, layers)
        inner = np.arange(found).astype(np.int32)
        outer = np.arange(found + 1).astype(np.int32)  # number 0 is the outside
        for c in range(found):
            x, y = segments[sample[begin + c], 0], segments[sample[begin + c], 1]
            _, nearest, read = locate(layer, x, y, c, tolerance, layers)
            tests += read
            if area[begin + c] > 0.0:
                join(outer, c + 1, nearest + 1)
            elif nearest >= 0:
                join(inner, c, nearest)
        for c in range(found):
            solid[begin + c] = find(inner, c)
            void[begin + c] = find(outer, c + 1) - 1
    work[lo // grain, PAIRS] = tests
