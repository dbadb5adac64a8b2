"""A rigorous lower bound of the support volume, for hundreds of directions at once.

Samples are taken in *clusters* of consecutive ones, which canonical order makes compact. What overhangs in a cluster,
its projected area W and first moment M (area times height), is summed sample by sample, exactly as the full evaluation
does. What lies below is overestimated: the floor R of a cluster is the highest top of any cluster box that overlaps its
box across the direction, holds surface facing up and doesn't lie wholly above it; or the platform. As every floor in
the cluster is at most R, its support is at least max(0, M - R W), less what float32 may have rounded.

O(directions x samples) multiply-adds over vectors of directions, plus O(clusters) a direction for the floors through a
coarse grid of buckets: where many clusters lie over one another, the work is bounded, and a cluster whose floor it does
not find adds nothing to the bound.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS

_MOST_TESTS = 256


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
def clusters(width, limit, corners, samples, owner, reach, pad, begins, boxes):
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


@kernel
def lower_bounds(lo, hi, frames, platform, boxes, weights, moments, facing, slack, touch, bounds, work):
    """``bounds[d]`` for directions ``lo .. hi``; ``frames`` (D, 9) and ``platform`` (D,) float32 as in ``support``.

    ``work`` (D, 2): buckets filled, and pairs of clusters tested, each at most ``_MOST_TESTS`` a cluster.
    """
    count = boxes.shape[1]
    most = _MOST_TESTS * count
    spans = np.empty((6, count), np.float32)  # lower and upper u, v, height
    side = max(1, min(128, int(np.sqrt(count) / 2)))
    start = np.empty(side * side + 1, np.int32)
    half = np.float32(0.5)
    reach = np.zeros(3, np.float32)
    for c in range(count):
        for axis in range(3):
            reach[axis] = max(reach[axis], abs(boxes[axis, c]), abs(boxes[3 + axis, c]))
    for d in range(lo, hi):
        ux, uy, uz, vx, vy, vz = frames[d, 0], frames[d, 1], frames[d, 2], frames[d, 3], frames[d, 4], frames[d, 5]
        dx, dy, dz = frames[d, 6], frames[d, 7], frames[d, 8]
        for c in range(count):
            x, y, z = (
                (boxes[0, c] + boxes[3, c]) * half,
                (boxes[1, c] + boxes[4, c]) * half,
                (boxes[2, c] + boxes[5, c]) * half,
            )
            rx, ry, rz = boxes[3, c] - x, boxes[4, c] - y, boxes[5, c] - z
            middle, radius = x * ux + y * uy + z * uz, rx * abs(ux) + ry * abs(uy) + rz * abs(uz)
            spans[0, c], spans[1, c] = middle - radius, middle + radius
            middle, radius = x * vx + y * vy + z * vz, rx * abs(vx) + ry * abs(vy) + rz * abs(vz)
            spans[2, c], spans[3, c] = middle - radius, middle + radius
            middle, radius = -(x * dx + y * dy + z * dz), rx * abs(dx) + ry * abs(dy) + rz * abs(dz)
            spans[4, c], spans[5, c] = middle - radius, middle + radius
        uhi = (reach[0] * abs(ux) + reach[1] * abs(uy) + reach[2] * abs(uz)) * np.float32(1.001)
        vhi = (reach[0] * abs(vx) + reach[1] * abs(vy) + reach[2] * abs(vz)) * np.float32(1.001)
        ulo, vlo = -uhi, -vhi
        across = np.float32(side) / max(uhi - ulo, np.float32(1e-30))
        down = np.float32(side) / max(vhi - vlo, np.float32(1e-30))
        start[:] = 0
        filled = 0
        for c in range(count):
            if facing[d, c] < 0 and filled <= most:
                right = min(int((spans[1, c] - ulo) * across), side - 1)
                for row in range(int((spans[2, c] - vlo) * down), min(int((spans[3, c] - vlo) * down), side - 1) + 1):
                    for column in range(int((spans[0, c] - ulo) * across), right + 1):
                        start[row * side + column + 1] += 1
                        filled += 1
        work[d, NODES] += filled
        if filled > most:
            bounds[d] = 0.0
            continue
        for k in range(side * side):
            start[k + 1] += start[k]
        held = np.empty(start[side * side], np.int32)
        for c in range(count - 1, -1, -1):
            if facing[d, c] < 0:
                right = min(int((spans[1, c] - ulo) * across), side - 1)
                for row in range(int((spans[2, c] - vlo) * down), min(int((spans[3, c] - vlo) * down), side - 1) + 1):
                    for column in range(int((spans[0, c] - ulo) * across), right + 1):
                        start[row * side + column + 1] -= 1
                        held[start[row * side + column + 1]] = c
        total, tests = 0.0, 0
        for c in range(count):
            if tests > most:
                break
            weight = weights[d, c]
            if not weight > 0:
                continue
            # a floor of M / W leaves nothing, so there is no need to look further
            floor, top, enough = platform[d], spans[5, c] + touch, moments[d, c] / weight
            right = min(int((spans[1, c] - ulo) * across), side - 1)
            for row in range(int((spans[2, c] - vlo) * down), min(int((spans[3, c] - vlo) * down), side - 1) + 1):
                first = row * side + int((spans[0, c] - ulo) * across) + 1
                last = row * side + right + 2
                for i in range(start[first], start[last] if last < len(start) else len(held)):
                    r = held[i]
                    tests += 1
                    if (
                        spans[0, r] <= spans[1, c]
                        and spans[1, r] >= spans[0, c]
                        and spans[2, r] <= spans[3, c]
                        and spans[3, r] >= spans[2, c]
                        and spans[4, r] <= top
                    ):
                        floor = max(floor, spans[5, r])
                        if floor >= enough:
                            break
                if floor >= enough:
                    break
            total += max(0.0, moments[d, c] - np.float64(floor) * weight - slack * weight)
        bounds[d] = total
        work[d, PAIRS] += tests
