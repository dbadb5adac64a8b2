"""Planes between facets and how far facets run through one another, each pair by itself."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

Point = list[Fraction]


def _cross(u: Point, v: Point) -> Point:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


def _dot(u: Point, v: Point) -> Fraction:
    return sum((x * y for x, y in zip(u, v, strict=True)), Fraction(0))


def edges(corners: Any) -> tuple[Point, Point]:
    """Return the vectors from the first of three points to the others, exactly."""
    a, b, c = ([Fraction(float(x)) for x in corner] for corner in corners)
    return [x - y for x, y in zip(b, a, strict=True)], [x - y for x, y in zip(c, a, strict=True)]


def keeps_apart(vertices: Any, facet: Any, other: Any, near: float) -> bool:
    """Return whether all corners of ``other``, but shared ones, lie on one side of the plane of ``facet``: exact.

    Farther than ``near`` from it; true where all corners are shared.
    """
    normal = _cross(*edges(vertices[facet]))
    least = Fraction(near) ** 2 * _dot(normal, normal)
    heights = [_dot(normal, edges(vertices[[facet[0], v, v]])[0]) for v in other.tolist() if v not in facet.tolist()]
    return any(all(sign * h > 0 and h * h > least for h in heights) for sign in (1, -1))


def edge_gap(one: Any, other: Any, near: float) -> bool:
    """Return whether a plane through an edge of either facet (3, 3), at right angles to it, leaves a gap: exact.

    The gap along the plane's normal d is more than ``near`` times the sum of its absolute components.
    """
    for facet in (one, other):
        u, v = edges(facet)
        normal = _cross(u, v)
        for side in (u, v, [x - y for x, y in zip(v, u, strict=True)]):
            d = _cross(normal, side)
            s = [_dot(d, [Fraction(float(x)) for x in corner]) for corner in one]
            t = [_dot(d, [Fraction(float(x)) for x in corner]) for corner in other]
            if max(min(s) - max(t), min(t) - max(s)) > Fraction(near) * sum(abs(x) for x in d):
                return True
    return False


def piercing_depth(one: Any, other: Any) -> float:
    """Return the tolerance (mm) below which one of two facets (3, 3) runs through the other; at most 0 where none does.

    The least of how far each reaches beyond the other's plane, on both sides, and of the segment that both share.
    """
    normals = [np.cross(facet[1] - facet[0], facet[2] - facet[0]) for facet in (one, other)]
    lengths = [float(np.linalg.norm(normal)) for normal in normals]
    if min(lengths) == 0:
        return 0.0
    line = np.cross(normals[0] / lengths[0], normals[1] / lengths[1])
    depth, segments = np.inf, []
    for facet, plane, normal, length in ((one, other, normals[1], lengths[1]), (other, one, normals[0], lengths[0])):
        heights = (facet - plane[0]) @ normal / length
        depth = min(depth, heights.max(), -heights.min())
        if depth <= 0 or not line.any():
            return 0.0
        points = [
            facet[i] + (facet[j] - facet[i]) * heights[i] / (heights[i] - heights[j])
            for i, j in ((0, 1), (1, 2), (2, 0))
            if (heights[i] > 0) != (heights[j] > 0)
        ]
        along = np.array(points) @ line / np.linalg.norm(line)
        segments.append((along.min(), along.max()))
    (a, b), (c, d) = segments
    return float(min(depth, min(b, d) - max(a, c)))
