"""Find the contour to the left of a point, and its winding number, among the segments of a layer.

Segments are bucketed in strips of y, as high as the mean segment, so that a search to the left of a point reads few of
them: O(n) to build, at most 3 n entries. Where many share a strip (small contours in a row, tall ones side by side),
its entries lie in order of their left ends, with the farthest right end so far beside them in ``right``. Where they are
very many, the search goes from the point to the left until nothing can be nearer: O(log n) where segments do not
overlap in x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel, uncounted

CROWDED = 64
"""Entries of a strip, from where they are sorted."""
_FULL = 1024  # entries of a strip, from where only the nearest are searched for the winding number


class Layers(NamedTuple):
    """A block of layers with n segments.

    Layer k owns ``segments`` (n, 4) float64 mm, x0 y0 x1 y1 with the solid on the left, from ``start[k]`` to
    ``start[k + 1]``, each of a ``contour`` (n,) numbered within the layer. Its strip s, of y from ``low_y[k]`` on with
    ``per_y[k]`` strips a mm, has entries ``strip[start[k] + 2 k + s] .. strip[start[k] + 2 k + s + 1]`` of ``items``
    and ``right`` (3 n,), numbered from ``3 * start[k]``.
    """

    start: Any
    segments: Any
    contour: Any
    strip: Any
    items: Any
    right: Any
    low_y: Any
    per_y: Any


@inlined
def begins_before(x, first, end, segments, items):
    """Return the end of those of the sorted entries ``first .. end`` whose segments begin left of ``x``."""
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        s = items[middle]
        if min(segments[s, 0], segments[s, 2]) < x:
            low = middle + 1
        else:
            high = middle
    return low


@uncounted
def locate(layer, x, y, skip, tolerance, layers):
    """Winding number of (x, y) in a layer and the nearest contour to its left, or -1; contour ``skip`` is left out.

    Third, the number of segments tested. ``tolerance`` (mm): distance within which segments coincide.
    """
    start, segments, contour, strip, items = layers.start, layers.segments, layers.contour, layers.strip, layers.items
    winding, near, first, end = 0, -1, 0, 0
    row = int(np.floor((y - layers.low_y[layer]) * layers.per_y[layer]))
    base, rows = start[layer] + 2 * layer, start[layer + 1] - start[layer] + 1
    if 0 <= row < rows:
        first, end = 3 * start[layer] + strip[base + row], 3 * start[layer] + strip[base + row + 1]
    read = end - first
    if read > _FULL:
        winding, near, read = _locate_sorted(x, y, skip, tolerance, first, end, layers)
        end = first
    best, found = -np.inf, np.int64(-1)
    for entry in range(first, end):
        s = np.int64(items[entry])
        y0, y1 = segments[s, 1], segments[s, 3]
        # one branch for two conditions: each alone would be mispredicted for a half of the segments
        if ((y0 <= y) != (y1 <= y)) & (min(segments[s, 0], segments[s, 2]) <= x) and contour[s] != skip:
            at = segments[s, 0] + (y - y0) / (y1 - y0) * (segments[s, 2] - segments[s, 0])
            if at < x:
                winding += 1 if y1 < y0 else -1
                if at > best or (at == best and s < found):
                    best, found = at, s
    if found >= 0:
        near = np.int64(contour[found])
    return winding, near, read


@uncounted
def _locate_sorted(x, y, skip, tolerance, first, end, layers):
    """As :func:`locate`, among the sorted entries ``first .. end`` of a strip.

    The winding number of a solid's layer is 0 or 1 (but where rounding left a crack), so the nearest segments determine
    it: those within ``tolerance`` of one another count as one, and where they cancel out, the next ones to the left.
    """
    segments, contour, items, right = layers.segments, layers.contour, layers.items, layers.right
    low = begins_before(x, first, end, segments, items)
    nearest, limit, tests = -1, x, 0
    while True:
        best, found = -np.inf, -1
        for entry in range(low - 1, first - 1, -1):
            if right[entry] < best:
                break
            tests += 1
            s = items[entry]
            y0, y1 = segments[s, 1], segments[s, 3]
            if (y0 <= y) == (y1 <= y) or contour[s] == skip:
                continue
            at = segments[s, 0] + (y - y0) / (y1 - y0) * (segments[s, 2] - segments[s, 0])
            if at < limit and (at > best or (at == best and s < found)):
                best, found = at, s
        if found < 0:
            return 0, nearest, tests
        if nearest < 0:
            nearest = contour[found]
        turn = 0
        for entry in range(low - 1, first - 1, -1):
            if right[entry] < best - tolerance:
                break
            tests += 1
            s = items[entry]
            y0, y1 = segments[s, 1], segments[s, 3]
            if (y0 <= y) == (y1 <= y) or contour[s] == skip:
                continue
            at = segments[s, 0] + (y - y0) / (y1 - y0) * (segments[s, 2] - segments[s, 0])
            if at < limit and at >= best - tolerance:
                turn += 1 if y1 < y0 else -1
        if turn != 0:
            return (1 if turn > 0 else 0), nearest, tests
        limit = best - tolerance


@kernel
def bucket_segments(layer, layers):
    """Sort the segments of a layer into strips of y, and crowded strips by x."""
    segments, strip, items, right = layers.segments, layers.strip, layers.items, layers.right
    begin, end = layers.start[layer], layers.start[layer + 1]
    n, low, high, climb = end - begin, np.inf, -np.inf, 0.0
    for s in range(begin, end):
        low, high = min(low, segments[s, 1], segments[s, 3]), max(high, segments[s, 1], segments[s, 3])
        climb += abs(segments[s, 3] - segments[s, 1])
    layers.low_y[layer] = low
    height = max(climb, high - low) / n
    scale = 1.0 / height if height > 0.0 else 0.0
    layers.per_y[layer] = scale
    base = begin + 2 * layer
    for row in range(n + 2):
        strip[base + row] = 0
    for s in range(begin, end):
        bottom, top = min(segments[s, 1], segments[s, 3]), max(segments[s, 1], segments[s, 3])
        strip[base + min(int((bottom - low) * scale), n)] += 1  # first what each row has more than the one before
        strip[base + min(int((top - low) * scale), n) + 1] -= 1
    held = entries = 0
    for row in range(n + 1):
        held += strip[base + row]
        entries += held
        strip[base + row] = entries
    strip[base + n + 1] = entries
    for s in range(end - 1, begin - 1, -1):  # each row's end walks back to its start
        bottom, top = min(segments[s, 1], segments[s, 3]), max(segments[s, 1], segments[s, 3])
        for row in range(min(int((bottom - low) * scale), n), min(int((top - low) * scale), n) + 1):
            at = strip[base + row] - 1
            strip[base + row] = at
            items[3 * begin + at] = s
    for row in range(n + 1):
        first, last = 3 * begin + strip[base + row], 3 * begin + strip[base + row + 1]
        if last - first <= CROWDED:
            continue
        left = np.empty(last - first)
        for entry in range(first, last):
            left[entry - first] = min(segments[items[entry], 0], segments[items[entry], 2])
        items[first:last] = items[first:last][np.argsort(left, kind="mergesort")]
        farthest = -np.inf
        for entry in range(first, last):
            farthest = max(farthest, segments[items[entry], 0], segments[items[entry], 2])
            right[entry] = farthest
