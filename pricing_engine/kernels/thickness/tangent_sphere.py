"""The sphere tangent to a plane at p that touches a facet: eight facets at a time.

For p with inward unit m, the sphere through q that is tangent at p has diameter |q-p|^2 / (m.(q-p)). Its least value
over a facet is taken where the sphere touches the facet's plane, if that point lies in the facet, else on an edge,
where the quotient has one minimum; both in closed form. ``meet8`` is the float32 test of which facets a sphere may
meet (conservative: radii carry a slack), ``touch8`` measures those in float64, to rounding. O(1) for eight. Points and
vectors are (x, y, z) of eight lanes, lengths mm.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    fma8,
    least8,
    less8,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.runtime.vec3 import add, cross, dot, dot8, load3, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.thickness.normal_cones import FACING
from pricing_engine.kernels.thickness.ray_thickness import SLIVER

LEAF_ROWS = 12  # corners a, b, c and the outward unit normal, in float64
NORMAL = 9  # its first row
_FLAT = 1e-12  # heights over p's plane, over the model's size, that are rounding noise


@inlined
def gather_leaf(leaf, vertices, facets, centre, size, rows):
    """Fill ``rows`` (LEAF_ROWS, 8) float64 with the corners and outward unit normals of a leaf's facets.

    Corners are relative to ``centre``; 0 where there is no facet or no area.
    """
    cx, cy, cz = centre[0], centre[1], centre[2]
    for lane in range(WIDTH):
        facet = leaf * WIDTH + lane
        for corner in range(3):
            x, y, z = 0.0, 0.0, 0.0
            if facet < len(facets):
                vertex = np.uint32(facets[facet, corner])
                x, y, z = vertices[vertex, 0] - cx, vertices[vertex, 1] - cy, vertices[vertex, 2] - cz
            rows[3 * corner, lane], rows[3 * corner + 1, lane], rows[3 * corner + 2, lane] = x, y, z
    a = load3(rows, 0, 0)
    u, v = sub(load3(rows, 3, 0), a), sub(load3(rows, 6, 0), a)
    n = cross(u, v)
    area = sqrt8(dot(n, n))
    longest = sqrt8(max8(dot(u, u), dot(v, v)))
    scale = select8(less8(splat8(SLIVER * size) * longest, area), splat8(1.0) / area, splat8(0.0))
    store8(rows, NORMAL * WIDTH, n[0] * scale)
    store8(rows, (NORMAL + 1) * WIDTH, n[1] * scale)
    store8(rows, (NORMAL + 2) * WIDTH, n[2] * scale)


@inlined
def _edge8(a, e, h, rise, flat):
    """Least |q|^2 / (m.q) over the segments a, a + e where m.q > flat; h = m.a and rise = m.e."""
    zero, one = splat8(0.0), splat8(1.0)
    aa, ae, ee = dot8(a, a), dot8(a, e), dot8(e, e)
    g = h * e[0] - rise * a[0], h * e[1] - rise * a[1], h * e[2] - rise * a[2]
    root = sqrt8(ee * dot8(g, g))
    ahead = at_most8(zero, h)
    above = select8(ahead, rise * aa - (h + h) * ae, root - h * ee)
    below = select8(ahead, root + h * ee, rise * ee)
    s = min8(max8(above / below, zero), one)  # 0 / 0 gives 0
    height = fma8(s, rise, h)
    value = fma8(s, ae + fma8(s, ee, ae), aa) / height
    return select8(less8(flat, height), value, splat8(np.inf))


@inlined
def touch8(rows, p, m, hits, best, size):
    """Diameters of the spheres tangent at p that touch those of the facets ``hits`` of a gathered leaf that face p.

    ``p`` and ``m``: three numbers each, for all lanes.
    """
    facing = dot8(load3(rows, NORMAL, 0), splat3(m))
    return diameters8(rows, p, m, hits & less8(splat8(FACING), facing), facing, best, size)


@inlined
def diameters8(rows, p, m, hits, facing, best, size):
    """Diameters of the spheres tangent at p that touch the facets ``hits`` of a gathered leaf; ``facing``: normal . m.

    Returns the mask of those that do not lie behind and may be less than ``best``, and the diameters.
    """
    zero, one, flat = splat8(0.0), splat8(1.0), splat8(_FLAT * size)
    m, p, n = splat3(m), splat3(p), load3(rows, NORMAL, 0)
    a, b, c = sub(load3(rows, 0, 0), p), sub(load3(rows, 3, 0), p), sub(load3(rows, 6, 0), p)
    ha, hb, hc = dot8(a, m), dot8(b, m), dot8(c, m)
    hits &= less8(flat, max8(ha, max8(hb, hc)))
    # The sphere that touches the facet's plane: the distance of its middle r m from the plane is r.
    distance = dot8(n, a)
    side = select8(at_most8(zero, distance), one, zero - one)
    distance, spread = distance * side, one + side * facing
    r = distance / spread
    plane = r + r
    firm = less8(splat8(1e-12), spread)
    hits &= ~(firm & at_most8(splat8(best * 1.0001), plane))
    inside = hits & firm & less8(flat, distance)
    if inside:
        q = r * (m[0] + side * n[0]), r * (m[1] + side * n[1]), r * (m[2] + side * n[2])
        u, v, w = sub(a, q), sub(b, q), sub(c, q)
        inside &= at_most8(zero, dot8(n, cross(u, v)))
        inside &= at_most8(zero, dot8(n, cross(v, w)))
        inside &= at_most8(zero, dot8(n, cross(w, u)))
    least = min(best, least8(select8(inside, plane, splat8(np.inf))))
    edges = hits & ~inside & ~(firm & at_most8(splat8(least * 1.0001), plane))
    if edges:
        value = min8(
            _edge8(a, sub(b, a), ha, hb - ha, flat),
            min8(_edge8(b, sub(c, b), hb, hc - hb, flat), _edge8(c, sub(a, c), hc, ha - hc, flat)),
        )
        plane = select8(inside, plane, value)
    return inside | edges, plane


@inlined
def _apart8(a, e, u):
    """Squared distance of the segments a, a + e from the origin, and on which side of them, about u, it lies."""
    zero, one = splat8(np.float32(0)), splat8(np.float32(1))
    s = (zero - dot8(a, e)) / dot8(e, e)
    s = min8(max8(s, zero), one)
    x = fma8(s, e[0], a[0]), fma8(s, e[1], a[1]), fma8(s, e[2], a[2])
    return dot8(x, x), dot8(u, cross(e, a))


@inlined
def meet8(a, e, f, u, area, longest, m, c, radius, square, slack):
    """Mask of the facets a, a + e, a + f that may face m and meet the sphere about c; u = e x f, area = |u|."""
    zero = splat8(np.float32(0))
    # Rounding of the corners turns the normals of slivers: allow for it.
    blur = fma8(radius, splat8(np.float32(2.0**-20)), slack) * longest
    hits = at_most8(splat8(np.float32(FACING)) * area, dot8(u, m) + blur)
    a = sub(a, c)
    distance = dot8(u, a)
    hits &= at_most8(max8(distance, zero - distance), fma8(radius, area, blur * radius))
    if hits:
        # The sphere cuts the plane: it meets the facet if it meets an edge or its middle lies over it.
        near_0, side_0 = _apart8(a, e, u)
        near_1, side_1 = _apart8(add(a, e), sub(f, e), u)
        near_2, side_2 = _apart8(a, f, u)
        inside = at_most8(side_0, zero) & at_most8(side_1, zero) & at_most8(zero, side_2)
        hits &= at_most8(min8(near_0, min8(near_1, near_2)), square) | inside
    return hits
