"""Which of two facets runs through the other by more than a tolerance, so that shells that only touch don't count.

Each must have corners beyond the tolerance on both sides of the other's plane, and the stretch that they share on the
line of both planes (Moeller, "A Fast Triangle-Triangle Intersection Test", 1997) must be longer than it. In float64, so
good to rounding of the coordinates. O(1) a pair.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge


@inlined
def _normal(vertices, facets, f):
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    n = cross(edge(vertices, a, b), edge(vertices, a, c))
    length = np.sqrt(dot(n, n))
    if length == 0:
        return 0.0, 0.0, 0.0
    return n[0] / length, n[1] / length, n[2] / length


@inlined
def _heights(vertices, facets, f, origin, n):
    """Components along n of the corners of f, from the vertex ``origin``."""
    return (
        dot(edge(vertices, origin, facets[f, 0]), n),
        dot(edge(vertices, origin, facets[f, 1]), n),
        dot(edge(vertices, origin, facets[f, 2]), n),
    )


@inlined
def _widen(low, high, p, q, d, e):
    """Add to [low, high] the abscissa at which the edge from p (height d) to q (height e) meets height 0."""
    if (d > 0) == (e > 0):
        return low, high
    t = p + (q - p) * (d / (d - e))
    return min(low, t), max(high, t)


@inlined
def _stretch(p, d):
    low, high = np.inf, -np.inf
    low, high = _widen(low, high, p[0], p[1], d[0], d[1])
    low, high = _widen(low, high, p[1], p[2], d[1], d[2])
    return _widen(low, high, p[2], p[0], d[2], d[0])


@kernel
def mark_piercing(lo, hi, vertices, facets, first, second, tolerance, piercing):
    """``piercing`` (P,) bool: whether one facet of each pair runs through the other by more than ``tolerance`` mm."""
    for i in range(lo, hi):
        f, g = first[i], second[i]
        piercing[i] = False
        normal_f, normal_g = _normal(vertices, facets, f), _normal(vertices, facets, g)
        above_g = _heights(vertices, facets, f, facets[g, 0], normal_g)
        if min(above_g) >= -tolerance or max(above_g) <= tolerance:
            continue
        above_f = _heights(vertices, facets, g, facets[f, 0], normal_f)
        if min(above_f) >= -tolerance or max(above_f) <= tolerance:
            continue
        x, y, z = cross(normal_f, normal_g)
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0:
            continue
        origin, line = facets[f, 0], (x / length, y / length, z / length)
        f0, f1 = _stretch(_heights(vertices, facets, f, origin, line), above_g)
        g0, g1 = _stretch(_heights(vertices, facets, g, origin, line), above_f)
        piercing[i] = min(f1, g1) - max(f0, g0) > tolerance
