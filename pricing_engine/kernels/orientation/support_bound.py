"""A rigorous lower bound of the support volume, for hundreds of directions at once.

Samples are taken in *clusters* of consecutive ones, which canonical order makes compact. What overhangs in a cluster,
its projected area W and first moment M (area times height), is summed sample by sample, exactly as the full evaluation
does. The floor below is overestimated: the floor R of a cluster is the highest top of any cluster box that overlaps its
box across the direction, holds surface facing up and doesn't lie completely above it; or the platform. As every floor
in the cluster is at most R, its support is at least max(0, M - R W), less what float32 may have rounded.

O(directions x samples) multiply-adds over vectors of directions, plus O(clusters) a direction for the floors through a
coarse grid of buckets: where many clusters lie over one another, the work is bounded, and a cluster whose floor is not
found adds nothing to the bound.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.orientation.support_samples import DOWN, U, V, axis_of
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS

_MAX_TESTS = 256
_U_LOW, _U_HIGH, _V_LOW, _V_HIGH, _BOTTOM, _TOP = range(6)  # rows of the clusters' spans


@kernel
def height_ranges(lo, hi, grain, vertices, centre, directions, least, most):
    """Range of (vertex - centre) . direction: rows ``lo // grain`` of ``least`` and ``most`` (chunks, D).

    ``directions`` (3, D) float64.
    """
    part = lo // grain
    for vertex in range(lo, hi):
        x, y, z = vertices[vertex, 0] - centre[0], vertices[vertex, 1] - centre[1], vertices[vertex, 2] - centre[2]
        for d in range(directions.shape[1]):
            along = x * directions[0, d] + y * directions[1, d] + z * directions[2, d]
            least[part, d] = along if along < least[part, d] else least[part, d]
            most[part, d] = along if along > most[part, d] else most[part, d]


@kernel
def cluster_samples(width, limit, corners, samples, owner, reach, pad, begins, boxes):
    """Cut the samples into clusters of at most ``width`` whose boxes' longest side is at most ``limit`` (mm).

    So none spans a jump of the space-filling curve. ``begins`` (most + 1,) int32: where each starts, and the end;
    ``boxes`` (6, most) float32 hold the clusters' triangles: a sample's lies within ``reach`` of it and within its
    owner's box. Returns the number of clusters, or -1 if it would reach ``most`` before the samples end.
    """
    found, filled = 0, width
    for s in range(len(owner)):
        if found == boxes.shape[1]:
            return -1
        extent = np.float32(0)
        for axis in range(3):
            a, b, c = corners[axis, owner[s]], corners[3 + axis, owner[s]], corners[6 + axis, owner[s]]
            low, high = max(min(a, b, c), samples[axis, s] - reach), min(max(a, b, c), samples[axis, s] + reach)
            boxes[axis, found], boxes[3 + axis, found] = low - pad, high + pad
            if found > 0:
                extent = max(
                    extent, max(high + pad, boxes[3 + axis, found - 1]) - min(low - pad, boxes[axis, found - 1])
                )
        if filled < width and extent <= limit:
            for axis in range(3):
                boxes[axis, found - 1] = min(boxes[axis, found - 1], boxes[axis, found])
                boxes[3 + axis, found - 1] = max(boxes[3 + axis, found - 1], boxes[3 + axis, found])
            filled += 1
        else:
            begins[found] = s
            found += 1
            filled = 1
    begins[found] = len(owner)
    return found


@kernel
def cluster_moments(lo, hi, begins, samples, directions, rest, cosine, weights, moments, facing):
    """Per cluster and direction: W, M and the least of area . direction (negative: something faces up).

    ``directions`` (3, D) and ``rest`` (D,) float32; outputs (D, C) float32. Samples up to ``rest`` high are left out
    of W and M, for their facets may rest on the platform. The inner loops run over directions, which vectorises
    without reordering a sum.
    """
    count = directions.shape[1]
    weight, moment, least = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    for cluster in range(lo, hi):
        for d in range(count):
            weight[d] = moment[d] = least[d] = 0
        for s in range(begins[cluster], begins[cluster + 1]):
            x, y, z, limit = samples[0, s], samples[1, s], samples[2, s], cosine * samples[6, s]
            ax, ay, az = samples[3, s], samples[4, s], samples[5, s]
            for d in range(count):
                area = ax * directions[0, d] + ay * directions[1, d] + az * directions[2, d]
                height = -(x * directions[0, d] + y * directions[1, d] + z * directions[2, d])
                counted = area if (area > limit) & (height > rest[d]) else np.float32(0)
                weight[d] += counted
                moment[d] += counted * height
                least[d] = area if area < least[d] else least[d]
        for d in range(count):
            weights[d, cluster], moments[d, cluster], facing[d, cluster] = weight[d], moment[d], least[d]


class _Buckets(NamedTuple):
    """A grid of ``side`` * ``side`` buckets over (u, v) from ``low`` on; ``scale``: buckets a mm in u and v."""

    side: Any
    low: Any
    scale: Any


@inlined
def _project_boxes(frame, boxes, spans):
    """Fill ``spans`` (6, C) with the range of each box along the frame's axes across, and of its height."""
    half = np.float32(0.5)
    u, v, down = axis_of(frame, U), axis_of(frame, V), axis_of(frame, DOWN)
    for c in range(boxes.shape[1]):
        x, y, z = (
            (boxes[0, c] + boxes[3, c]) * half,
            (boxes[1, c] + boxes[4, c]) * half,
            (boxes[2, c] + boxes[5, c]) * half,
        )
        rx, ry, rz = boxes[3, c] - x, boxes[4, c] - y, boxes[5, c] - z
        middle, radius = x * u[0] + y * u[1] + z * u[2], rx * abs(u[0]) + ry * abs(u[1]) + rz * abs(u[2])
        spans[_U_LOW, c], spans[_U_HIGH, c] = middle - radius, middle + radius
        middle, radius = x * v[0] + y * v[1] + z * v[2], rx * abs(v[0]) + ry * abs(v[1]) + rz * abs(v[2])
        spans[_V_LOW, c], spans[_V_HIGH, c] = middle - radius, middle + radius
        middle = -(x * down[0] + y * down[1] + z * down[2])
        radius = rx * abs(down[0]) + ry * abs(down[1]) + rz * abs(down[2])
        spans[_BOTTOM, c], spans[_TOP, c] = middle - radius, middle + radius


@inlined
def _range_of(spans, c, buckets):
    """First and last row and column of the buckets that a cluster's box covers."""
    (low_u, low_v), (across, down), last = buckets.low, buckets.scale, buckets.side - 1
    right, bottom = int((spans[_U_HIGH, c] - low_u) * across), int((spans[_V_HIGH, c] - low_v) * down)
    left, top = int((spans[_U_LOW, c] - low_u) * across), int((spans[_V_LOW, c] - low_v) * down)
    return top, min(bottom, last), left, min(right, last)


@inlined
def _count_buckets(spans, facing, buckets, budget, start):
    """Count in ``start[k + 1]`` the clusters that face up over bucket k; the sum, which ends once over the budget."""
    start[:] = 0
    filled = 0
    for c in range(len(facing)):
        if facing[c] < 0 and filled <= budget:
            top, bottom, left, right = _range_of(spans, c, buckets)
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    start[row * buckets.side + column + 1] += 1
                    filled += 1
    return filled


@inlined
def _fill_buckets(spans, facing, buckets, start, held):
    """List the clusters of each bucket in ``held``; then ``start[k + 1]`` is where those of bucket k begin."""
    for k in range(buckets.side * buckets.side):
        start[k + 1] += start[k]
    for c in range(len(facing) - 1, -1, -1):
        if facing[c] < 0:
            top, bottom, left, right = _range_of(spans, c, buckets)
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    start[row * buckets.side + column + 1] -= 1
                    held[start[row * buckets.side + column + 1]] = c


@inlined
def _floor_below(c, floor, enough, touch, spans, buckets, start, held):
    """Return the highest top of a cluster below cluster c, from ``floor`` to ``enough``; and the clusters tested."""
    top, bottom, left, right = _range_of(spans, c, buckets)
    height, tests = spans[_TOP, c] + touch, 0
    for row in range(top, bottom + 1):
        first, last = row * buckets.side + left + 1, row * buckets.side + right + 2
        for i in range(start[first], start[last] if last < len(start) else len(held)):
            r = held[i]
            tests += 1
            if (
                spans[_U_LOW, r] <= spans[_U_HIGH, c]
                and spans[_U_HIGH, r] >= spans[_U_LOW, c]
                and spans[_V_LOW, r] <= spans[_V_HIGH, c]
                and spans[_V_HIGH, r] >= spans[_V_LOW, c]
                and spans[_BOTTOM, r] <= height
            ):
                floor = max(floor, spans[_TOP, r])
                if floor >= enough:
                    break
        if floor >= enough:
            break
    return floor, tests


@kernel
def lower_bounds(lo, hi, frames, platform, boxes, weights, moments, facing, slack, touch, bounds, work):
    """Set ``bounds[d]`` (mm3) for directions ``lo .. hi``; ``frames`` (D, 9) and ``platform`` (D,) float32.

    ``boxes`` (6, C) and the sums (D, C) of :func:`cluster_moments`. ``slack`` (mm): what float32 may have rounded;
    ``touch`` (mm): distance at which surfaces touch. ``work`` (D, 2): buckets filled, and pairs of clusters tested,
    each at most ``_MAX_TESTS`` a cluster.
    """
    count = boxes.shape[1]
    budget = _MAX_TESTS * count
    spans = np.empty((6, count), np.float32)
    side = max(1, min(128, int(np.sqrt(count) / 2)))
    start = np.empty(side * side + 1, np.int32)
    reach = np.zeros(3, np.float32)
    for c in range(count):
        for axis in range(3):
            reach[axis] = max(reach[axis], abs(boxes[axis, c]), abs(boxes[3 + axis, c]))
    for d in range(lo, hi):
        u, v = axis_of(frames[d], U), axis_of(frames[d], V)
        _project_boxes(frames[d], boxes, spans)
        uhi = (reach[0] * abs(u[0]) + reach[1] * abs(u[1]) + reach[2] * abs(u[2])) * np.float32(1.001)
        vhi = (reach[0] * abs(v[0]) + reach[1] * abs(v[1]) + reach[2] * abs(v[2])) * np.float32(1.001)
        ulo, vlo = -uhi, -vhi
        across = np.float32(side) / max(uhi - ulo, np.float32(1e-30))
        down = np.float32(side) / max(vhi - vlo, np.float32(1e-30))
        buckets = _Buckets(side, (ulo, vlo), (across, down))
        filled = _count_buckets(spans, facing[d], buckets, budget, start)
        work[d, NODES] += filled
        if filled > budget:
            bounds[d] = 0.0
            continue
        held = np.empty(filled, np.int32)
        _fill_buckets(spans, facing[d], buckets, start, held)
        total, tests = 0.0, 0
        for c in range(count):
            if tests > budget:
                break
            weight = weights[d, c]
            if not weight > 0:
                continue
            enough = moments[d, c] / weight  # a floor of M / W leaves nothing, so there is no need to search further
            floor, read = _floor_below(c, platform[d], enough, touch, spans, buckets, start, held)
            tests += read
            total += max(0.0, moments[d, c] - np.float64(floor) * weight - slack * weight)
        bounds[d] = total
        work[d, PAIRS] += tests
