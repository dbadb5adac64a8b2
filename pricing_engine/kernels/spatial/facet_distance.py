"""Distances between points and facets, eight pairs at a time: bounds in float32, the exact test in float64."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    double8,
    fma8,
    less8,
    load8,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
)
from pricing_engine.kernels.thickness.tangent_sphere import dot8


@inlined
def distances8(px, py, pz, ax, ay, az, bx, by, bz, cx, cy, cz):
    """Squared distances from points to facets (Ericson, Real-Time Collision Detection, 5.1.5); NaN where a corner is.

    A lane has the same bits whatever the others hold, on any processor: no multiply-add.
    """
    zero, one = splat8(0.0), splat8(1.0)
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    wx, wy, wz = px - ax, py - ay, pz - az
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    wu, wv = wx * ux + wy * uy + wz * uz, wx * vx + wy * vy + wz * vz
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
    here = at_most8(vb, zero) & at_most8(zero, wv) & at_most8(d6, zero)  # on ac
    firm = less8(d6, wv)
    t, t_of = select8(here, select8(firm, wv, zero), t), select8(here, select8(firm, wv - d6, one), t_of)
    s, s_of, opposite = select8(here, zero, s), select8(here, one, s_of), opposite & ~here
    here = at_most8(zero, d6) & at_most8(d5, d6)  # at c
    s, s_of, t, t_of = select8(here, zero, s), select8(here, one, s_of), select8(here, one, t), select8(here, one, t_of)
    opposite &= ~here
    here = at_most8(vc, zero) & at_most8(zero, wu) & at_most8(d3, zero)  # on ab
    firm = less8(d3, wu)
    s, s_of = select8(here, select8(firm, wu, zero), s), select8(here, select8(firm, wu - d3, one), s_of)
    t, t_of, opposite = select8(here, zero, t), select8(here, one, t_of), opposite & ~here
    here = at_most8(zero, d3) & at_most8(d4, d3)  # at b
    s, s_of, t, t_of = select8(here, one, s), select8(here, one, s_of), select8(here, zero, t), select8(here, one, t_of)
    opposite &= ~here
    here = at_most8(wu, zero) & at_most8(wv, zero)  # at a
    s, s_of = select8(here, zero, s), select8(here, one, s_of)
    t, t_of, opposite = select8(here, zero, t), select8(here, one, t_of), opposite & ~here
    t = t / t_of
    s = select8(opposite, one - t, s / s_of)
    dx, dy, dz = wx - s * ux - t * vx, wy - s * uy - t * vy, wz - s * uz - t * vz
    return dx * dx + dy * dy + dz * dz


@inlined
def to_facets8(px, py, pz, corners, base):
    """Squared distances from one point to the facets from ``base`` on of ``corners`` (9, n) float32."""
    return distances8(
        splat8(px), splat8(py), splat8(pz),
        double8(load8(corners, 0, base)), double8(load8(corners, 1, base)), double8(load8(corners, 2, base)),
        double8(load8(corners, 3, base)), double8(load8(corners, 4, base)), double8(load8(corners, 5, base)),
        double8(load8(corners, 6, base)), double8(load8(corners, 7, base)), double8(load8(corners, 8, base)),
    )  # fmt: skip


@inlined
def _corner8(corners, row, facet):
    return splat8(np.float64(corners[row, facet]))


@inlined
def to_points8(points, corners, facet):
    """Squared distances from ``points`` (3, 8) to one facet."""
    return distances8(
        load8(points, 0, 0), load8(points, 1, 0), load8(points, 2, 0),
        _corner8(corners, 0, facet), _corner8(corners, 1, facet), _corner8(corners, 2, facet),
        _corner8(corners, 3, facet), _corner8(corners, 4, facet), _corner8(corners, 5, facet),
        _corner8(corners, 6, facet), _corner8(corners, 7, facet), _corner8(corners, 8, facet),
    )  # fmt: skip


@inlined
def near8(x, y, z, pad, corners, base, wide, radius):
    """Mask of a leaf's facets that may be within ``radius`` of a point (all lanes), whose square is ``wide``.

    Facets are excluded by their bounding boxes, widened by ``pad``, and by the distance to their planes. The rounding
    error of that distance in float32 is bounded by 16 * 2**-24 * |edge| * |edge| * |point - corner|.
    """
    zero, rounding = splat8(np.float32(0)), splat8(np.float32(16 * 2.0**-24))
    ax, ay, az = load8(corners, 0, base), load8(corners, 1, base), load8(corners, 2, base)
    bx, by, bz = load8(corners, 3, base), load8(corners, 4, base), load8(corners, 5, base)
    cx, cy, cz = load8(corners, 6, base), load8(corners, 7, base), load8(corners, 8, base)
    dx = max8(max8(min8(ax, min8(bx, cx)) - x, x - max8(ax, max8(bx, cx))) - pad, zero)
    dy = max8(max8(min8(ay, min8(by, cy)) - y, y - max8(ay, max8(by, cy))) - pad, zero)
    dz = max8(max8(min8(az, min8(bz, cz)) - z, z - max8(az, max8(bz, cz))) - pad, zero)
    mask = less8(fma8(dx, dx, fma8(dy, dy, dz * dz)), wide)
    if mask == 0:
        return mask
    ex, ey, ez, fx, fy, fz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    wx, wy, wz = x - ax, y - ay, z - az
    nx, ny, nz = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
    height = dot8(nx, ny, nz, wx, wy, wz)
    lengths = dot8(ex, ey, ez, ex, ey, ez) * dot8(fx, fy, fz, fx, fy, fz) * dot8(wx, wy, wz, wx, wy, wz)
    reach = radius * sqrt8(dot8(nx, ny, nz, nx, ny, nz)) + rounding * sqrt8(lengths)
    return mask & at_most8(max8(height, zero - height), reach)


@inlined
def not_beyond8(x, y, z, mx, my, mz, corners, base, beyond):
    """Mask of a leaf's facets with a corner less than ``beyond`` ahead of a point along the unit m (all lanes)."""
    a = dot8(mx, my, mz, load8(corners, 0, base) - x, load8(corners, 1, base) - y, load8(corners, 2, base) - z)
    b = dot8(mx, my, mz, load8(corners, 3, base) - x, load8(corners, 4, base) - y, load8(corners, 5, base) - z)
    c = dot8(mx, my, mz, load8(corners, 6, base) - x, load8(corners, 7, base) - y, load8(corners, 8, base) - z)
    return less8(min8(a, min8(b, c)), beyond)
