"""Distances between points and facets, eight pairs at a time: bounds in float32, the exact test in float64.

After C. Ericson, "Real-Time Collision Detection" (2005), 5.1.5, with selects for its branches. Points are (x, y, z) of
eight lanes each, corners of facets the tree's (9, n) float32; lengths in mm.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    double8,
    less8,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
)
from pricing_engine.kernels.runtime.vec3 import cross, dot, dot8, load3, splat3, sub


@inlined
def distances8(p, a, b, c):
    """Squared distances from points p to facets a, b, c; NaN where a corner is.

    A lane has the same bits whatever the others hold, on any processor: no multiply-add.
    """
    zero, one = splat8(0.0), splat8(1.0)
    u, v, w = sub(b, a), sub(c, a), sub(p, a)
    uu, uv, vv, wu, wv = dot(u, u), dot(u, v), dot(v, v), dot(w, u), dot(w, v)
    d3, d4, d5, d6 = wu - uu, wv - uv, wu - uv, wv - vv
    vc, vb, va = wu * d4 - d3 * wv, d5 * wv - wu * d6, d3 * d6 - d5 * d4
    # The nearest point is a + s u + t v, with s and t as quotients. Of the regions that hold, the last one counts.
    total = va + vb + vc
    s, s_of, t, t_of = vb, total, vc, total  # inside
    rise, run = d4 - d3, d5 - d6
    span = rise + run
    opposite = at_most8(va, zero) & at_most8(zero, rise) & at_most8(zero, run)  # on bc: s = 1 - t
    firm = less8(zero, span)
    t, t_of = select8(opposite, select8(firm, rise, zero), t), select8(opposite, select8(firm, span, one), t_of)
    in_it = at_most8(vb, zero) & at_most8(zero, wv) & at_most8(d6, zero)  # on ac
    firm = less8(d6, wv)
    t, t_of = select8(in_it, select8(firm, wv, zero), t), select8(in_it, select8(firm, wv - d6, one), t_of)
    s, s_of, opposite = select8(in_it, zero, s), select8(in_it, one, s_of), opposite & ~in_it
    in_it = at_most8(zero, d6) & at_most8(d5, d6)  # at c
    s, s_of, t, t_of = (
        select8(in_it, zero, s),
        select8(in_it, one, s_of),
        select8(in_it, one, t),
        select8(in_it, one, t_of),
    )
    opposite &= ~in_it
    in_it = at_most8(vc, zero) & at_most8(zero, wu) & at_most8(d3, zero)  # on ab
    firm = less8(d3, wu)
    s, s_of = select8(in_it, select8(firm, wu, zero), s), select8(in_it, select8(firm, wu - d3, one), s_of)
    t, t_of, opposite = select8(in_it, zero, t), select8(in_it, one, t_of), opposite & ~in_it
    in_it = at_most8(zero, d3) & at_most8(d4, d3)  # at b
    s, s_of, t, t_of = (
        select8(in_it, one, s),
        select8(in_it, one, s_of),
        select8(in_it, zero, t),
        select8(in_it, one, t_of),
    )
    opposite &= ~in_it
    in_it = at_most8(wu, zero) & at_most8(wv, zero)  # at a
    s, s_of = select8(in_it, zero, s), select8(in_it, one, s_of)
    t, t_of, opposite = select8(in_it, zero, t), select8(in_it, one, t_of), opposite & ~in_it
    t = t / t_of
    s = select8(opposite, one - t, s / s_of)
    dx, dy, dz = w[0] - s * u[0] - t * v[0], w[1] - s * u[1] - t * v[1], w[2] - s * u[2] - t * v[2]
    return dx * dx + dy * dy + dz * dz


@inlined
def _double3(u):
    return double8(u[0]), double8(u[1]), double8(u[2])


@inlined
def to_facets8(p, corners, base):
    """Squared distances (float64) from one point, three numbers, to the facets from ``base`` on of ``corners``."""
    a, b, c = load3(corners, 0, base), load3(corners, 3, base), load3(corners, 6, base)
    return distances8(splat3(p), _double3(a), _double3(b), _double3(c))


@inlined
def _corner8(corners, row, facet):
    x, y, z = corners[row, facet], corners[row + 1, facet], corners[row + 2, facet]
    return splat8(np.float64(x)), splat8(np.float64(y)), splat8(np.float64(z))


@inlined
def to_points8(points, corners, facet):
    """Squared distances (float64) from ``points`` (3, 8) to one facet."""
    a, b, c = _corner8(corners, 0, facet), _corner8(corners, 3, facet), _corner8(corners, 6, facet)
    return distances8(load3(points, 0, 0), a, b, c)


@inlined
def _outside8(a, b, c, x, pad):
    """How far x lies outside of the interval of a, b and c, widened by ``pad``; at least 0."""
    return max8(max8(min8(a, min8(b, c)) - x, x - max8(a, max8(b, c))) - pad, splat8(np.float32(0)))


@inlined
def near8(p, pad, corners, base, wide, radius):
    """Mask of a leaf's facets that may be within ``radius`` of a point p, whose square is ``wide``; all lanes.

    Facets are excluded by their bounding boxes, widened by ``pad``, and by the distance to their planes. The rounding
    error of that distance in float32 is bounded by 16 * 2**-24 * |edge| * |edge| * |point - corner|.
    """
    zero, rounding = splat8(np.float32(0)), splat8(np.float32(16 * 2.0**-24))
    a, b, c = load3(corners, 0, base), load3(corners, 3, base), load3(corners, 6, base)
    d = (
        _outside8(a[0], b[0], c[0], p[0], pad),
        _outside8(a[1], b[1], c[1], p[1], pad),
        _outside8(a[2], b[2], c[2], p[2], pad),
    )
    mask = less8(dot8(d, d), wide)
    if mask == 0:
        return mask
    e, f, w = sub(b, a), sub(c, a), sub(p, a)
    n = cross(e, f)
    height = dot8(n, w)
    lengths = dot8(e, e) * dot8(f, f) * dot8(w, w)
    reach = radius * sqrt8(dot8(n, n)) + rounding * sqrt8(lengths)
    return mask & at_most8(max8(height, zero - height), reach)


@inlined
def not_beyond8(p, m, corners, base, beyond):
    """Mask of a leaf's facets with a corner less than ``beyond`` ahead of a point p along the unit m (all lanes)."""
    a = dot8(m, sub(load3(corners, 0, base), p))
    b = dot8(m, sub(load3(corners, 3, base), p))
    c = dot8(m, sub(load3(corners, 6, base), p))
    return less8(min8(a, min8(b, c)), beyond)
