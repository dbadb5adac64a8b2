"""Per facet for the orientation search: area vectors, overhanging area, and samples of large facets.

Area and overhang are plain sums in float64. Sampling is longest-edge bisection (Rivara, "Algorithms for refining
triangular grids", IJNME 1984) with a stack a triangle: slivers get samples along their length only, and the order is
that of a depth-first walk, so neighbouring samples lie near each other. O(facets + samples), at most 128 levels deep.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import PAIRS
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge, point, sub

OVERHANG_COSINE = float(np.cos(np.pi / 4) + 0.001)
"""Facets whose normal . down exceeds it overhang."""

_STACK = 128
_A, _B, _C, _SHARE = 0, 3, 6, 9  # columns of the stack


@inlined
def _area_vector(vertices, a, b, c):
    x, y, z = cross(edge(vertices, a, b), edge(vertices, a, c))
    return x / 2, y / 2, z / 2


@kernel
def area_vectors(lo, hi, vertices, facets, areas):
    """``areas`` (4, F) float32: each facet's area vector and area (mm2), from float64 corners."""
    for facet in range(lo, hi):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        x, y, z = _area_vector(vertices, a, b, c)
        areas[0, facet], areas[1, facet], areas[2, facet] = x, y, z
        areas[3, facet] = np.sqrt(x * x + y * y + z * z)


@kernel
def add_overhangs(lo, hi, grain, points, triangles, uncut, directions, rest, cosine, totals):
    """Add the overhanging area (mm2), float64, to row ``lo // grain`` of ``totals`` (chunks, D).

    ``points`` (V, 3), ``triangles`` (N, 3) int32 and ``uncut`` (N,) int8, 1 where the triangle counts; ``directions``
    (3, D); ``rest`` (D,) mm: a triangle whose least corner . down is not below it rests on the platform.
    """
    part = lo // grain
    for t in range(lo, hi):
        if uncut[t] != 1:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        normal = _area_vector(points, a, b, c)
        area = np.sqrt(dot(normal, normal))
        for d in range(directions.shape[1]):
            down = directions[0, d], directions[1, d], directions[2, d]
            if dot(normal, down) > cosine * area:
                deep = min(dot(point(points, a), down), dot(point(points, b), down), dot(point(points, c), down))
                if deep < rest[d]:
                    totals[part, d] += area


@inlined
def _square(u):
    return dot(u, u)


@inlined
def _middle(a, b, half):
    return (a[0] + b[0]) * half, (a[1] + b[1]) * half, (a[2] + b[2]) * half


@inlined
def _push(stack, depth, a, b, c, share):
    """Store a triangle and its share of the whole's area; returns the new depth."""
    stack[depth, _A], stack[depth, _A + 1], stack[depth, _A + 2] = a
    stack[depth, _B], stack[depth, _B + 1], stack[depth, _B + 2] = b
    stack[depth, _C], stack[depth, _C + 1], stack[depth, _C + 2] = c
    stack[depth, _SHARE] = share
    return depth + 1


@kernel
def split_triangles(lo, hi, grain, corners, areas, spacing, most, first, samples, owner, work):
    """Bisect triangles until no edge is longer than ``spacing`` (mm): a range kernel.

    ``corners`` (9, N) and ``areas`` (4, N) float32 (area vector, area). With ``samples`` of no columns, write the
    number of samples of triangle i to ``first[i]``; otherwise write them from column ``first[i]`` on: ``samples``
    (7, S) float32, rows point, area vector, area, and ``owner`` (S,) int32, the triangle. Counting ends when the range
    has more than ``most``; ``work`` (chunks, 2): the samples.
    """
    stack = np.empty((_STACK, _SHARE + 1), np.float32)
    half, third, limit = np.float32(0.5), np.float32(1 / 3), spacing * spacing
    total = 0
    for triangle in range(lo, hi):
        a = corners[0, triangle], corners[1, triangle], corners[2, triangle]
        b = corners[3, triangle], corners[4, triangle], corners[5, triangle]
        c = corners[6, triangle], corners[7, triangle], corners[8, triangle]
        share = np.float32(1)
        depth, at = 0, first[triangle]
        found = 0
        while total <= most:
            ab, bc, ca = _square(sub(a, b)), _square(sub(b, c)), _square(sub(c, a))
            longest = max(ab, bc, ca)
            if longest > limit and depth < _STACK - 1:  # go on with one half, push the other
                share *= half
                if ab == longest:
                    middle = _middle(a, b, half)
                    depth = _push(stack, depth, middle, b, c, share)
                    b = middle
                elif bc == longest:
                    middle = _middle(b, c, half)
                    depth = _push(stack, depth, a, middle, c, share)
                    c = middle
                else:
                    middle = _middle(c, a, half)
                    depth = _push(stack, depth, a, b, middle, share)
                    a = middle
                continue
            if samples.shape[1] > 0:
                samples[0, at], samples[1, at] = (a[0] + b[0] + c[0]) * third, (a[1] + b[1] + c[1]) * third
                samples[2, at] = (a[2] + b[2] + c[2]) * third
                for k in range(4):
                    samples[3 + k, at] = areas[k, triangle] * share
                owner[at] = triangle
                at += 1
            found, total = found + 1, total + 1
            if depth == 0:
                break
            depth -= 1
            a = stack[depth, _A], stack[depth, _A + 1], stack[depth, _A + 2]
            b = stack[depth, _B], stack[depth, _B + 1], stack[depth, _B + 2]
            c = stack[depth, _C], stack[depth, _C + 1], stack[depth, _C + 2]
            share = stack[depth, _SHARE]
        if samples.shape[1] == 0:
            first[triangle] = found
    work[lo // grain, PAIRS] += total
