"""Facet pairs whose relative interiors meet, in exact rational arithmetic: clip one facet by the other's planes."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Point = tuple[Fraction, ...]


def _minus(a: Point, b: Point) -> Point:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _cross(a: Point, b: Point) -> Point:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _dot(a: Point, b: Point) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _clip(polygon: list[Point], normal: Point, origin: Point) -> list[Point]:
    """The part of a convex polygon where normal . (x - origin) >= 0."""
    kept = []
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        s, t = _dot(normal, _minus(a, origin)), _dot(normal, _minus(b, origin))
        if s >= 0:
            kept.append(a)
        if s * t < 0:
            kept.append(tuple(x + (y - x) * s / (s - t) for x, y in zip(a, b, strict=True)))
    return kept


def _middle(points: list[Point]) -> Point:
    return tuple(sum(x, Fraction(0)) / len(points) for x in zip(*points, strict=True))


def _strictly_inside(point: Point, triangle: list[Point], normal: Point) -> bool:
    edges = zip(triangle, triangle[1:] + triangle[:1], strict=True)
    return all(_dot(_cross(normal, _minus(b, a)), _minus(point, a)) > 0 for a, b in edges)


def interiors_meet(first: list[Point], second: list[Point]) -> bool:
    """Cut ``first`` with the plane and the edges of ``second``; the middle of the rest is inside both, or nothing."""
    n1 = _cross(_minus(first[1], first[0]), _minus(first[2], first[0]))
    n2 = _cross(_minus(second[1], second[0]), _minus(second[2], second[0]))
    if not any(n1) or not any(n2):
        return False
    common = _clip(_clip(first, n2, second[0]), tuple(-x for x in n2), second[0])
    for a, b in zip(second, second[1:] + second[:1], strict=True):
        common = _clip(common, _cross(n2, _minus(b, a)), a)
    if not common:
        return False
    middle = _middle(list(dict.fromkeys(common)))
    return _strictly_inside(middle, first, n1) and _strictly_inside(middle, second, n2)


def meeting_pairs(vertices: NDArray[np.float64], facets: NDArray[np.integer]) -> list[tuple[int, int]]:
    """All pairs, sorted; pairs whose boxes are apart are skipped."""
    low, high = vertices[facets].min(axis=1), vertices[facets].max(axis=1)
    points = [[tuple(Fraction(float(x)) for x in vertices[v]) for v in facet] for facet in facets]
    close = (
        (i, j)
        for i, j in combinations(range(len(points)), 2)
        if (low[i] <= high[j]).all() and (low[j] <= high[i]).all()
    )
    return [(i, j) for i, j in close if interiors_meet(points[i], points[j])]
