"""What orientation needs of each facet: area vectors, overhanging area, and samples of large facets.

Area and overhang are plain sums in float64. Sampling is longest-edge bisection (Rivara, "Algorithms for refining
triangular grids", IJNME 1984) with a stack a triangle: slivers give samples along their length only, and the order is
that of a depth-first walk, so neighbouring samples lie near each other. O(facets + samples).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import PAIRS

OVERHANG_COSINE = float(np.cos(np.pi / 4) + 0.001)
"""Facets whose normal . down exceeds it overhang."""

_STACK = 128


@kernel
def area_vectors(lo, hi, vertices, facets, areas):
    """``areas`` (4, F) float32: each facet's area vector and area (mm2), from float64 corners."""
    for facet in range(lo, hi):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        px, py, pz = (vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2])
        qx, qy, qz = (vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2])
        x, y, z = (py * qz - pz * qy) / 2, (pz * qx - px * qz) / 2, (px * qy - py * qx) / 2
        areas[0, facet], areas[1, facet], areas[2, facet] = x, y, z
        areas[3, facet] = np.sqrt(x * x + y * y + z * z)


@kernel
def overhangs(lo, hi, grain, points, triangles, whole, directions, rest, cosine, totals):
    """Overhanging area (mm2), float64: row ``lo // grain`` of ``totals`` (chunks, D).

    ``points`` (V, 3), ``triangles`` (N, 3) int32 and ``whole`` (N,) int8, 1 where the triangle counts; ``directions``
    (3, D); ``rest`` (D,): the least point . down of corners that don't rest on the platform is below it.
    """
    part = lo // grain
    for t in range(lo, hi):
        if whole[t] != 1:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        px, py, pz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        qx, qy, qz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        x, y, z = (py * qz - pz * qy) / 2, (pz * qx - px * qz) / 2, (px * qy - py * qx) / 2
        area = np.sqrt(x * x + y * y + z * z)
        for d in range(directions.shape[1]):
            dx, dy, dz = directions[0, d], directions[1, d], directions[2, d]
            if x * dx + y * dy + z * dz > cosine * area:
                deep = min(
                    points[a, 0] * dx + points[a, 1] * dy + points[a, 2] * dz,
                    points[b, 0] * dx + points[b, 1] * dy + points[b, 2] * dz,
                    points[c, 0] * dx + points[c, 1] * dy + points[c, 2] * dz,
                )
                if deep < rest[d]:
                    totals[part, d] += area


@kernel
def split_triangles(lo, hi, grain, corners, areas, spacing, most, first, samples, owner, work):
    """Bisect triangles until no edge is longer than ``spacing`` (mm).

    ``corners`` (9, N) and ``areas`` (4, N) float32 (area vector, area). With ``samples`` of no columns, write how many
    samples triangle i gives to ``first[i]``; otherwise write them from column ``first[i]`` on: ``samples`` (7, S)
    float32, rows point, area vector, area, and ``owner`` (S,) int32, the triangle. Counting ends when the range has
    more than ``most``; ``work`` (chunks, 2) is what it took.
    """
    stack = np.empty((_STACK, 10), np.float32)
    half, third, limit = np.float32(0.5), np.float32(1 / 3), spacing * spacing
    total = 0
    for triangle in range(lo, hi):
        ax, ay, az = corners[0, triangle], corners[1, triangle], corners[2, triangle]
        bx, by, bz = corners[3, triangle], corners[4, triangle], corners[5, triangle]
        cx, cy, cz = corners[6, triangle], corners[7, triangle], corners[8, triangle]
        share = np.float32(1)
        depth, at = 0, first[triangle]
        found = 0
        while total <= most:
            x, y, z = ax - bx, ay - by, az - bz
            ab = x * x + y * y + z * z
            x, y, z = bx - cx, by - cy, bz - cz
            bc = x * x + y * y + z * z
            x, y, z = cx - ax, cy - ay, cz - az
            ca = x * x + y * y + z * z
            longest = max(ab, bc, ca)
            if longest > limit and depth < _STACK - 1:  # go on with one half, put the other aside
                share *= half
                if ab == longest:
                    x, y, z = (ax + bx) * half, (ay + by) * half, (az + bz) * half
                    _put(stack, depth, x, y, z, bx, by, bz, cx, cy, cz, share)
                    bx, by, bz = x, y, z
                elif bc == longest:
                    x, y, z = (bx + cx) * half, (by + cy) * half, (bz + cz) * half
                    _put(stack, depth, ax, ay, az, x, y, z, cx, cy, cz, share)
                    cx, cy, cz = x, y, z
                else:
                    x, y, z = (cx + ax) * half, (cy + ay) * half, (cz + az) * half
                    _put(stack, depth, ax, ay, az, bx, by, bz, x, y, z, share)
                    ax, ay, az = x, y, z
                depth += 1
                continue
            if samples.shape[1] > 0:
                samples[0, at], samples[1, at] = (ax + bx + cx) * third, (ay + by + cy) * third
                samples[2, at] = (az + bz + cz) * third
                for k in range(4):
                    samples[3 + k, at] = areas[k, triangle] * share
                owner[at] = triangle
                at += 1
            found, total = found + 1, total + 1
            if depth == 0:
                break
            depth -= 1
            ax, ay, az = stack[depth, 0], stack[depth, 1], stack[depth, 2]
            bx, by, bz = stack[depth, 3], stack[depth, 4], stack[depth, 5]
            cx, cy, cz = stack[depth, 6], stack[depth, 7], stack[depth, 8]
            share = stack[depth, 9]
        if samples.shape[1] == 0:
            first[triangle] = found
    work[lo // grain, PAIRS] += total


@inlined
def _put(stack, depth, ax, ay, az, bx, by, bz, cx, cy, cz, share):
    stack[depth, 0], stack[depth, 1], stack[depth, 2] = ax, ay, az
    stack[depth, 3], stack[depth, 4], stack[depth, 5] = bx, by, bz
    stack[depth, 6], stack[depth, 7], stack[depth, 8], stack[depth, 9] = cx, cy, cz, share
