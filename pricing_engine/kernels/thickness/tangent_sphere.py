"""The sphere tangent to a plane at p that touches a facet: eight facets at a time.

For p with inward unit m, the sphere through q that is tangent at p has diameter |q-p|^2 / (m.(q-p)). Its least value
over a facet is taken where the sphere touches the facet's plane, if that point lies in the facet, else on an edge,
where the quotient has one minimum; both in closed form. ``meet8`` is the float32 test of which facets a sphere may
meet (conservative: radii carry a slack), ``touch8`` measures those in float64.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    fma8,
    least8,
    less8,
    load8,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.thickness.normal_cones import FACING
from pricing_engine.kernels.thickness.ray_thickness import SLIVER

LEAF_ROWS = 12  # corners a, b, c and the outward unit normal, in float64
_FLAT = 1e-12  # heights over p's plane, over the model's size, that are rounding noise


@inlined
def dot8(ax, ay, az, bx, by, bz):
    """Dot products."""
    return fma8(ax, bx, fma8(ay, by, az * bz))


@inlined
def gather_leaf(leaf, vertices, facets, centre, size, out):
    """Corners relative to ``centre`` and outward unit normals of a leaf's facets; 0 where there is none or no area."""
    cx, cy, cz = centre[0], centre[1], centre[2]
    for lane in range(WIDTH):
        facet = leaf * WIDTH + lane
        for corner in range(3):
            x, y, z = 0.0, 0.0, 0.0
            if facet < len(facets):
                vertex = np.uint32(facets[facet, corner])
                x, y, z = vertices[vertex, 0] - cx, vertices[vertex, 1] - cy, vertices[vertex, 2] - cz
            out[3 * corner, lane], out[3 * corner + 1, lane], out[3 * corner + 2, lane] = x, y, z
    ax, ay, az = load8(out, 0, 0), load8(out, 1, 0), load8(out, 2, 0)
    ux, uy, uz = load8(out, 3, 0) - ax, load8(out, 4, 0) - ay, load8(out, 5, 0) - az
    vx, vy, vz = load8(out, 6, 0) - ax, load8(out, 7, 0) - ay, load8(out, 8, 0) - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    area = sqrt8(nx * nx + ny * ny + nz * nz)
    longest = sqrt8(max8(ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz))
    zero = splat8(0.0)
    scale = select8(less8(splat8(SLIVER * size) * longest, area), splat8(1.0) / area, zero)
    store8(out, 9 * WIDTH, nx * scale)
    store8(out, 10 * WIDTH, ny * scale)
    store8(out, 11 * WIDTH, nz * scale)


@inlined
def _edge8(ax, ay, az, ex, ey, ez, h, rise, zero, one, flat):
    """Least |q|^2 / (m.q) over the segments a, a + e where m.q > flat; h = m.a and rise = m.e."""
    aa, ae, ee = dot8(ax, ay, az, ax, ay, az), dot8(ax, ay, az, ex, ey, ez), dot8(ex, ey, ez, ex, ey, ez)
    gx, gy, gz = h * ex - rise * ax, h * ey - rise * ay, h * ez - rise * az
    root = sqrt8(ee * dot8(gx, gy, gz, gx, gy, gz))
    ahead = at_most8(zero, h)
    above = select8(ahead, rise * aa - (h + h) * ae, root - h * ee)
    below = select8(ahead, root + h * ee, rise * ee)
    s = min8(max8(above / below, zero), one)  # 0 / 0 gives 0
    height = fma8(s, rise, h)
    value = fma8(s, ae + fma8(s, ee, ae), aa) / height
    return select8(less8(flat, height), value, splat8(np.inf))


@inlined
def touch8(leaf, px, py, pz, mx, my, mz, hits, best, size):
    """Diameters of the spheres tangent at p that touch those of the facets ``hits`` of a gathered leaf that face p."""
    facing = dot8(load8(leaf, 9, 0), load8(leaf, 10, 0), load8(leaf, 11, 0), splat8(mx), splat8(my), splat8(mz))
    return diameters8(leaf, px, py, pz, mx, my, mz, hits & less8(splat8(FACING), facing), facing, best, size)


@inlined
def diameters8(leaf, px, py, pz, mx, my, mz, hits, facing, best, size):
    """Diameters of the spheres tangent at p that touch the facets ``hits`` of a gathered leaf; ``facing``: normal . m.

    Returns the mask of those that do not lie behind and may be less than ``best``, and the diameters.
    """
    zero, one, flat = splat8(0.0), splat8(1.0), splat8(_FLAT * size)
    mx, my, mz, px, py, pz = splat8(mx), splat8(my), splat8(mz), splat8(px), splat8(py), splat8(pz)
    nx, ny, nz = load8(leaf, 9, 0), load8(leaf, 10, 0), load8(leaf, 11, 0)
    ax, ay, az = load8(leaf, 0, 0) - px, load8(leaf, 1, 0) - py, load8(leaf, 2, 0) - pz
    bx, by, bz = load8(leaf, 3, 0) - px, load8(leaf, 4, 0) - py, load8(leaf, 5, 0) - pz
    cx, cy, cz = load8(leaf, 6, 0) - px, load8(leaf, 7, 0) - py, load8(leaf, 8, 0) - pz
    ha, hb, hc = dot8(ax, ay, az, mx, my, mz), dot8(bx, by, bz, mx, my, mz), dot8(cx, cy, cz, mx, my, mz)
    hits &= less8(flat, max8(ha, max8(hb, hc)))
    # The sphere that touches the facet's plane: the distance of its middle r m from the plane is r.
    distance = dot8(nx, ny, nz, ax, ay, az)
    side = select8(at_most8(zero, distance), one, zero - one)
    distance, spread = distance * side, one + side * facing
    r = distance / spread
    plane = r + r
    firm = less8(splat8(1e-12), spread)
    hits &= ~(firm & at_most8(splat8(best * 1.0001), plane))
    inside = hits & firm & less8(flat, distance)
    if inside:
        qx, qy, qz = r * (mx + side * nx), r * (my + side * ny), r * (mz + side * nz)
        ux, uy, uz, vx, vy, vz = ax - qx, ay - qy, az - qz, bx - qx, by - qy, bz - qz
        wx, wy, wz = cx - qx, cy - qy, cz - qz
        inside &= at_most8(zero, dot8(nx, ny, nz, uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx))
        inside &= at_most8(zero, dot8(nx, ny, nz, vy * wz - vz * wy, vz * wx - vx * wz, vx * wy - vy * wx))
        inside &= at_most8(zero, dot8(nx, ny, nz, wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux))
    least = min(best, least8(select8(inside, plane, splat8(np.inf))))
    edges = hits & ~inside & ~(firm & at_most8(splat8(least * 1.0001), plane))
    if edges:
        value = min8(
            _edge8(ax, ay, az, bx - ax, by - ay, bz - az, ha, hb - ha, zero, one, flat),
            min8(
                _edge8(bx, by, bz, cx - bx, cy - by, cz - bz, hb, hc - hb, zero, one, flat),
                _edge8(cx, cy, cz, ax - cx, ay - cy, az - cz, hc, ha - hc, zero, one, flat),
            ),
        )
        plane = select8(inside, plane, value)
    return inside | edges, plane


@inlined
def _apart8(ax, ay, az, ex, ey, ez, ux, uy, uz, zero, one):
    """Squared distance of the segments a, a + e from the origin, and on which side of them in the plane it lies."""
    s = (zero - dot8(ax, ay, az, ex, ey, ez)) / dot8(ex, ey, ez, ex, ey, ez)
    s = min8(max8(s, zero), one)
    x, y, z = fma8(s, ex, ax), fma8(s, ey, ay), fma8(s, ez, az)
    return dot8(x, y, z, x, y, z), dot8(ux, uy, uz, ey * az - ez * ay, ez * ax - ex * az, ex * ay - ey * ax)


@inlined
def meet8(ax, ay, az, ex, ey, ez, fx, fy, fz, ux, uy, uz, area, longest, mx, my, mz, cx, cy, cz, radius, square, slack):
    """Mask of the facets a, a + e, a + f that may face m and meet the sphere about c; u = e x f, area = |u|."""
    zero, one = splat8(np.float32(0)), splat8(np.float32(1))
    # Rounding of the corners turns the normals of slivers: allow for it.
    blur = fma8(radius, splat8(np.float32(2.0**-20)), slack) * longest
    hits = at_most8(splat8(np.float32(FACING)) * area, dot8(ux, uy, uz, mx, my, mz) + blur)
    ax, ay, az = ax - cx, ay - cy, az - cz
    distance = dot8(ux, uy, uz, ax, ay, az)
    hits &= at_most8(max8(distance, zero - distance), fma8(radius, area, blur * radius))
    if hits:
        # The sphere cuts the plane: it meets the facet if it meets an edge or its middle lies over it.
        near_0, side_0 = _apart8(ax, ay, az, ex, ey, ez, ux, uy, uz, zero, one)
        near_1, side_1 = _apart8(ax + ex, ay + ey, az + ez, fx - ex, fy - ey, fz - ez, ux, uy, uz, zero, one)
        near_2, side_2 = _apart8(ax, ay, az, fx, fy, fz, ux, uy, uz, zero, one)
        inside = at_most8(side_0, zero) & at_most8(side_1, zero) & at_most8(zero, side_2)
        hits &= at_most8(min8(near_0, min8(near_1, near_2)), square) | inside
    return hits
