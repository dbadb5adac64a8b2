"""Sphere thickness: diameter of the largest sphere tangent at a facet's centroid that the opposite wall allows.

For centroid p with inward unit m it is the least |q-p|^2 / (m.(q-p)) over the points q, m.(q-p) > 0, of facets that
face p's facet by more than 115 degrees: the diameter of the sphere through p and q that is tangent to the facet at p
(the "shrinking ball" of Ma, Bae and Choi, "3D medial axis point approximation using nearest neighbors and the normal
field", 2012, but with the exact nearest point of each facet instead of nearest samples).

Per facet: start with the sphere that the neighbour's touching facet and the ray thickness allow, then search the tree
for facets that meet the sphere; each one found shrinks it. Three conservative tests discard eight boxes at a time: the
box misses the sphere; the cone of its normals holds none that faces p; the slab along the cone's axis that holds its
facets starts beyond the sphere. Candidates are measured in float64 in closed form. About O(log n) a facet on common
models; the value is the exact minimum up to rounding, whatever the order of the search.
"""

# mypy: disable-error-code="no-untyped-call, assignment, call-arg, var-annotated"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.ray_thickness import frame
from pricing_engine.kernels.simd import at_most8, fma8, less8, load8, lowest_bit, max8, min8, splat8, sqrt8
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.walls import FACING, build_walls
from pricing_engine.mesh.model import Mesh

_GRAIN = 4096
_STACK = 96  # at most 8 groups wait on each of 10 levels
_UNBOUNDED = 1e5  # diameters over the model's size beyond which a wall is nearly in p's own plane: none
_FLAT = 1e-12  # heights over p's plane, over the model's size, that are rounding noise


def sphere_thickness(mesh: Mesh, bvh: Bvh, ray: NDArray[np.float64], threads: int) -> NDArray[np.float64]:
    """(F,) mm; ``ray`` where no wall faces the facet, so NaN where that is NaN too, and for facets without area."""
    thickness = np.full(mesh.facet_count, np.nan)
    size = float(np.linalg.norm(mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)))
    walls = build_walls(mesh, bvh, threads)
    run_ranges(
        _measure, mesh.facet_count, _GRAIN, threads,
        mesh.vertices, mesh.facets, bvh.corners, bvh.boxes, walls, bvh.level_start, bvh.centre, size, ray, thickness,
    )  # fmt: skip
    return thickness


@inlined
def _dot(ax, ay, az, bx, by, bz):  # type: ignore[no-untyped-def]
    return ax * bx + ay * by + az * bz


@inlined
def _edge(ax, ay, az, bx, by, bz, mx, my, mz, flat):  # type: ignore[no-untyped-def]
    """Least |q|^2 / (m.q) over the segment a b where m.q > flat: the quotient has one minimum there, in closed form."""
    ex, ey, ez = bx - ax, by - ay, bz - az
    aa, ae, ee = _dot(ax, ay, az, ax, ay, az), _dot(ax, ay, az, ex, ey, ez), _dot(ex, ey, ez, ex, ey, ez)
    h, rise = _dot(mx, my, mz, ax, ay, az), _dot(mx, my, mz, ex, ey, ez)
    gx, gy, gz = h * ex - rise * ax, h * ey - rise * ay, h * ez - rise * az
    root = np.sqrt(ee * _dot(gx, gy, gz, gx, gy, gz))
    if h >= 0.0:
        above, below = rise * aa - 2.0 * h * ae, root + h * ee
    else:
        above, below = root - h * ee, rise * ee
    s = min(max(above / below, 0.0), 1.0) if below != 0.0 else 0.0
    height = h + s * rise
    return (aa + s * (2.0 * ae + s * ee)) / height if height > flat else np.inf


@inlined
def _touch(vertices, facets, facet, px, py, pz, mx, my, mz, centre, size):  # type: ignore[no-untyped-def]
    """Diameter of the sphere tangent at p that touches ``facet``; inf if it does not face p or lies behind."""
    _, _, _, nx, ny, nz = frame(vertices, facets, facet, centre, size)
    nx, ny, nz = -nx, -ny, -nz
    facing = _dot(nx, ny, nz, mx, my, mz)
    if not facing > FACING:
        return np.inf
    i, j, k = facets[facet, 0], facets[facet, 1], facets[facet, 2]
    ox, oy, oz = centre[0] + px, centre[1] + py, centre[2] + pz
    ax, ay, az = vertices[i, 0] - ox, vertices[i, 1] - oy, vertices[i, 2] - oz
    bx, by, bz = vertices[j, 0] - ox, vertices[j, 1] - oy, vertices[j, 2] - oz
    cx, cy, cz = vertices[k, 0] - ox, vertices[k, 1] - oy, vertices[k, 2] - oz
    flat = _FLAT * size
    if max(_dot(ax, ay, az, mx, my, mz), _dot(bx, by, bz, mx, my, mz), _dot(cx, cy, cz, mx, my, mz)) <= flat:
        return np.inf
    # The sphere that touches the facet's plane: distance of its middle r m from the plane is r.
    distance = _dot(nx, ny, nz, ax, ay, az)
    side = 1.0 if distance >= 0.0 else -1.0
    spread = 1.0 + side * facing
    if abs(distance) > flat and spread > 1e-12:
        r = abs(distance) / spread
        qx, qy, qz = r * (mx + side * nx), r * (my + side * ny), r * (mz + side * nz)
        ux, uy, uz, vx, vy, vz = ax - qx, ay - qy, az - qz, bx - qx, by - qy, bz - qz
        wx, wy, wz = cx - qx, cy - qy, cz - qz
        if (
            _dot(nx, ny, nz, uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx) >= 0.0
            and _dot(nx, ny, nz, vy * wz - vz * wy, vz * wx - vx * wz, vx * wy - vy * wx) >= 0.0
            and _dot(nx, ny, nz, wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux) >= 0.0
        ):
            return 2.0 * r
    return min(
        _edge(ax, ay, az, bx, by, bz, mx, my, mz, flat),
        _edge(bx, by, bz, cx, cy, cz, mx, my, mz, flat),
        _edge(cx, cy, cz, ax, ay, az, mx, my, mz, flat),
    )


@inlined
def _edge8(ax, ay, az, ex, ey, ez, ux, uy, uz, zero, one):  # type: ignore[no-untyped-def]
    """Squared distance of the segments a, a + e from the origin, and on which side of them in the plane it lies."""
    s = (zero - fma8(ax, ex, fma8(ay, ey, az * ez))) / fma8(ex, ex, fma8(ey, ey, ez * ez))
    s = min8(max8(s, zero), one)
    x, y, z = fma8(s, ex, ax), fma8(s, ey, ay), fma8(s, ez, az)
    side = fma8(ux, ey * az - ez * ay, fma8(uy, ez * ax - ex * az, uz * (ex * ay - ey * ax)))
    return fma8(x, x, fma8(y, y, z * z)), side


@kernel
def _measure(  # type: ignore[no-untyped-def]
    lo, hi, vertices, facets, corners, boxes, walls, level_start, centre, size, ray, thickness
):
    stack = np.empty(_STACK, np.int64)
    touched = -1
    slack, facing = np.float32(size * 2.0**-20), splat8(np.float32(FACING))
    zero, one, rounding = splat8(np.float32(0)), splat8(np.float32(1)), splat8(np.float32(2.0**-20))
    still = splat8(slack)
    for facet in range(lo, hi):
        px, py, pz, mx, my, mz = frame(vertices, facets, facet, centre, size)
        if mx == 0.0 and my == 0.0 and mz == 0.0:
            continue
        nx, ny, nz = splat8(np.float32(mx)), splat8(np.float32(my)), splat8(np.float32(mz))
        floor = splat8(np.float32(mx * px + my * py + mz * pz) - slack)
        high_x, high_y, high_z = 3 * (mx > 0.0), 1 + 3 * (my > 0.0), 2 + 3 * (mz > 0.0)
        best = np.inf
        if touched >= 0:
            best = _touch(vertices, facets, touched, px, py, pz, mx, my, mz, centre, size)
        for stage in range(3):
            # The ray's hit bounds the sphere only if it faces p, so when nothing is found the sphere grows.
            bound = ray[facet] * 1.000001 if stage == 0 else (4.0 * size if stage == 1 else _UNBOUNDED * size)
            if not bound > 0.0:
                continue
            r = min(best, bound) / 2
            cx, cy = splat8(np.float32(px + r * mx)), splat8(np.float32(py + r * my))
            cz = splat8(np.float32(pz + r * mz))
            radius = splat8(np.float32(r) * np.float32(1 + 2.0**-19) + slack)
            square = radius * radius
            stack[0] = level_start[-1] * 16 + len(level_start) - 1
            waiting = 1
            while waiting > 0:
                waiting -= 1
                group, level = stack[waiting] // 16, stack[waiting] % 16
                ax, ay, az = load8(walls, 0, group), load8(walls, 1, group), load8(walls, 2, group)
                mask = less8(load8(walls, 3, group), fma8(ax, nx, fma8(ay, ny, az * nz)))
                if mask == 0:
                    continue
                mask &= at_most8(load8(walls, 4, group), fma8(ax, cx, fma8(ay, cy, fma8(az, cz, radius))))
                x = max8(max8(load8(boxes, 0, group) - cx, cx - load8(boxes, 3, group)), zero)
                y = max8(max8(load8(boxes, 1, group) - cy, cy - load8(boxes, 4, group)), zero)
                z = max8(max8(load8(boxes, 2, group) - cz, cz - load8(boxes, 5, group)), zero)
                mask &= at_most8(fma8(x, x, fma8(y, y, z * z)), square)
                height = fma8(load8(boxes, high_x, group), nx, load8(boxes, high_y, group) * ny)
                mask &= at_most8(floor, fma8(load8(boxes, high_z, group), nz, height))
                # Look first where the sphere was touched last: leaves at once, boxes by going last on the stack.
                ahead = level_start[level] + (touched >> (3 * level + 3)) - group
                turn = mask & (1 << ahead) if touched >= 0 and 0 <= ahead < WIDTH else 0
                if level > 0:
                    turn = mask & ~turn if mask != turn else mask
                while mask:
                    if turn == 0:
                        turn = mask
                    box = group + lowest_bit(turn)
                    mask &= ~(turn & -turn)
                    turn &= turn - 1
                    if level > 0:
                        below = level_start[level - 1] + WIDTH * (box - level_start[level])
                        stack[waiting] = below * 16 + level - 1
                        waiting += 1
                        continue
                    base = box * WIDTH
                    x0, y0 = load8(corners, 0, base) - cx, load8(corners, 1, base) - cy
                    z0 = load8(corners, 2, base) - cz
                    x1, y1 = load8(corners, 3, base) - cx, load8(corners, 4, base) - cy
                    z1 = load8(corners, 5, base) - cz
                    x2, y2 = load8(corners, 6, base) - cx, load8(corners, 7, base) - cy
                    z2 = load8(corners, 8, base) - cz
                    x = max8(max8(min8(x0, min8(x1, x2)), zero - max8(x0, max8(x1, x2))), zero)
                    y = max8(max8(min8(y0, min8(y1, y2)), zero - max8(y0, max8(y1, y2))), zero)
                    z = max8(max8(min8(z0, min8(z1, z2)), zero - max8(z0, max8(z1, z2))), zero)
                    hits = at_most8(fma8(x, x, fma8(y, y, z * z)), square)
                    if hits == 0:
                        continue
                    x1, y1, z1, x2, y2, z2 = x1 - x0, y1 - y0, z1 - z0, x2 - x0, y2 - y0, z2 - z0
                    ux, uy, uz = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
                    area = sqrt8(fma8(ux, ux, fma8(uy, uy, uz * uz)))
                    # Rounding of the corners turns the normals of slivers: allow for it.
                    blur = fma8(radius, rounding, still) * sqrt8(
                        max8(fma8(x1, x1, fma8(y1, y1, z1 * z1)), fma8(x2, x2, fma8(y2, y2, z2 * z2)))
                    )
                    hits &= at_most8(facing * area, fma8(ux, nx, fma8(uy, ny, fma8(uz, nz, blur))))
                    distance = fma8(ux, x0, fma8(uy, y0, uz * z0))
                    hits &= at_most8(max8(distance, zero - distance), fma8(radius, area, blur * radius))
                    if hits == 0:
                        continue
                    # The sphere cuts the plane: it meets the facet if it meets an edge or its middle lies over it.
                    ex, ey, ez = x2 - x1, y2 - y1, z2 - z1
                    vx, vy, vz = x0 + x1, y0 + y1, z0 + z1
                    near, side_0 = _edge8(x0, y0, z0, x1, y1, z1, ux, uy, uz, zero, one)
                    near_1, side_1 = _edge8(vx, vy, vz, ex, ey, ez, ux, uy, uz, zero, one)
                    near_2, side_2 = _edge8(x0, y0, z0, x2, y2, z2, ux, uy, uz, zero, one)
                    inside = at_most8(side_0, zero) & at_most8(side_1, zero) & at_most8(zero, side_2)
                    hits &= at_most8(min8(near, min8(near_1, near_2)), square) | inside
                    while hits:
                        candidate = base + lowest_bit(hits)
                        hits &= hits - 1
                        diameter = _touch(vertices, facets, candidate, px, py, pz, mx, my, mz, centre, size)
                        if diameter < best:
                            best, touched = diameter, candidate
                            r = min(best, bound) / 2
                            cx, cy = splat8(np.float32(px + r * mx)), splat8(np.float32(py + r * my))
                            cz = splat8(np.float32(pz + r * mz))
                            radius = splat8(np.float32(r) * np.float32(1 + 2.0**-19) + slack)
                            square = radius * radius
            if best <= bound:
                break
        thickness[facet] = best if best < np.inf else ray[facet]
