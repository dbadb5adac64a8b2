"""What orientation needs of each facet: area vectors, overhanging area, and samples of large facets.

Area and overhang are plain sums in float64. Sampling is longest-edge bisection (Rivara, "Algorithms for refining
triangular grids", IJNME 1984) with a stack a triangle: slivers give samples along their length only, and the order is
that of a depth-first walk, so neighbouring samples lie near each other. O(facets + samples).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.work import PAIRS

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
    total = 0
    for triangle in range(lo, hi):
        for k in range(9):
            stack[0, k] = corners[k, triangle]
        stack[0, 9] = 1
        depth, at = 1, first[triangle]
        found = 0
        while depth > 0 and total <= most:
            top = depth - 1
            side, longest = 0, np.float32(-1)
            for edge in range(3):
                a, b = 3 * edge, 3 * ((edge + 1) % 3)
                x, y, z = (
                    stack[top, a] - stack[top, b],
                    stack[top, a + 1] - stack[top, b + 1],
                    stack[top, a + 2] - stack[top, b + 2],
                )
                length = x * x + y * y + z * z
                if length > longest:
                    side, longest = edge, length
            if longest > spacing * spacing and depth < _STACK:
                a, b = 3 * side, 3 * ((side + 1) % 3)
                for k in range(10):
                    stack[depth, k] = stack[top, k]
                for k in range(3):
                    middle = (stack[top, a + k] + stack[top, b + k]) * np.float32(0.5)
                    stack[top, a + k] = middle
                    stack[depth, b + k] = middle
                stack[top, 9] *= np.float32(0.5)
                stack[depth, 9] *= np.float32(0.5)
                depth += 1
                continue
            depth -= 1
            if samples.shape[1] > 0:
                for k in range(3):
                    samples[k, at] = (stack[top, k] + stack[top, 3 + k] + stack[top, 6 + k]) * np.float32(1 / 3)
                for k in range(4):
                    samples[3 + k, at] = areas[k, triangle] * stack[top, 9]
                owner[at] = triangle
                at += 1
            found, total = found + 1, total + 1
        if samples.shape[1] == 0:
            first[triangle] = found
    work[lo // grain, PAIRS] += total
