"""Which of two facets runs through the other by more than a tolerance, so that shells that only touch don't count.

Each must have corners beyond the tolerance on both sides of the other's plane, and the stretch that they share on the
line of both planes (Moeller 1997) must be longer than it.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel


@inlined
def _cross(ux, uy, uz, vx, vy, vz):
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@inlined
def _normal(vertices, facets, f):
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    x, y, z = _cross(
        vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2],
        vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2],
    )  # fmt: skip
    length = np.sqrt(x * x + y * y + z * z)
    if length == 0:
        return 0.0, 0.0, 0.0
    return x / length, y / length, z / length


@inlined
def _heights(vertices, facets, f, origin, x, y, z):
    """How far the corners of f lie along (x, y, z) from the vertex ``origin``."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    ox, oy, oz = vertices[origin, 0], vertices[origin, 1], vertices[origin, 2]
    return (
        (vertices[a, 0] - ox) * x + (vertices[a, 1] - oy) * y + (vertices[a, 2] - oz) * z,
        (vertices[b, 0] - ox) * x + (vertices[b, 1] - oy) * y + (vertices[b, 2] - oz) * z,
        (vertices[c, 0] - ox) * x + (vertices[c, 1] - oy) * y + (vertices[c, 2] - oz) * z,
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
        fx, fy, fz = _normal(vertices, facets, f)
        gx, gy, gz = _normal(vertices, facets, g)
        above_g = _heights(vertices, facets, f, facets[g, 0], gx, gy, gz)
        if min(above_g) >= -tolerance or max(above_g) <= tolerance:
            continue
        above_f = _heights(vertices, facets, g, facets[f, 0], fx, fy, fz)
        if min(above_f) >= -tolerance or max(above_f) <= tolerance:
            continue
        x, y, z = _cross(fx, fy, fz, gx, gy, gz)
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0:
            continue
        origin = facets[f, 0]
        f0, f1 = _stretch(_heights(vertices, facets, f, origin, x / length, y / length, z / length), above_g)
        g0, g1 = _stretch(_heights(vertices, facets, g, origin, x / length, y / length, z / length), above_f)
        piercing[i] = min(f1, g1) - max(f0, g0) > tolerance
