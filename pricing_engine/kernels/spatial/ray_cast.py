"""Closest hits of rays with a mesh: ordered descent of the implicit 8-wide tree, eight boxes or eight facets at a time.

Boxes: slab test with the reciprocal direction. Facets: the watertight test of Woop, Benthin and Wald ("Watertight
Ray/Triangle Intersection", JCGT 2013): corners are moved to the ray's origin and sheared so that the ray runs along an
axis; the sign of each 2D edge function is exactly opposite for the two facets that share the edge, so no ray slips
between neighbours. All of it is float32 relative to the model's middle, so positions are good to 2**-23 of the model's
size. A ray costs O(log n) on common models, and visits every node where all boxes overlap: callers that cast many
bound the visits. Nothing depends on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.simd import at_most8, fma8, less8, load8, lowest_bit, max8, min8, splat8, store8
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.runtime.vec3 import dot, point
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, first_child

STACK = 96  # at most 7 boxes wait on each of 10 levels, and 8 lanes are stored at once
_MAX_LEVELS = 16  # an entry of the stack is box * _MAX_LEVELS + level
_GRAIN = 4096
_ALL = 1 << 62  # visits: no limit
_ROUNDING = np.float32(1 + 2.0**-20)  # widens the slabs by more than the rounding of their products


def closest_hits(
    bvh: Bvh, origins: NDArray[np.float64], directions: NDArray[np.float64], threads: int, t_min: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """First facet that each ray meets farther than ``t_min`` mm.

    ``origins`` (N, 3) mm, anywhere; ``directions`` (N, 3), of any length. Returns the distance (N,) in mm, inf where
    nothing is hit (or the direction is zero), and the facet (N,) int32, -1 there.
    """
    distance, facet = np.full(len(origins), np.inf), np.full(len(origins), -1, np.int32)
    origins, directions = np.ascontiguousarray(origins, np.float64), np.ascontiguousarray(directions, np.float64)
    run_ranges(_cast, len(origins), _GRAIN, threads, origins, directions, t_min, bvh, distance, facet)
    return distance, facet


class _Ray(NamedTuple):
    """A ray in the frame of the watertight test, whose z is its longest axis.

    ``axes``: that frame's x, y, z among the model's; ``near``, ``far``: the rows of a box's sides that the ray enters
    and leaves by. In all lanes: ``origin``, ``shear`` (x, y) and the ``inverse`` direction.
    """

    axes: Any
    near: Any
    far: Any
    origin: Any
    shear: Any
    inverse: Any


@kernel
def _cast(lo, hi, origins, directions, t_min, bvh, distance, facet):
    boxes, centre = bvh.boxes, bvh.centre
    stack_t, stack_box, found = np.empty(STACK, np.float32), np.empty(STACK, np.int64), np.empty(2, np.int64)
    top = bvh.level_start[-1]
    for ray in range(lo, hi):
        d = point(directions, ray)
        length = np.sqrt(dot(d, d))
        if not 0.0 < length < np.inf:
            continue
        dx, dy, dz = d[0] / length, d[1] / length, d[2] / length
        ox, oy, oz = origins[ray, 0] - centre[0], origins[ray, 1] - centre[1], origins[ray, 2] - centre[2]
        # Rays from afar start where they are nearest the model's middle less its radius: float32 is too coarse there.
        reach = 0.0
        for axis in range(3):
            extent = 0.0
            for box in range(top, top + WIDTH):
                if boxes[axis, box] <= boxes[axis + 3, box]:
                    extent = max(extent, -boxes[axis, box], boxes[axis + 3, box])
            reach += extent
        skip = max(0.0, -(ox * dx + oy * dy + oz * dz) - reach)
        origin = ox + skip * dx, oy + skip * dy, oz + skip * dz
        found[0] = -1
        t = closest(origin, (dx, dy, dz), t_min - skip, -1, -1, _ALL, bvh, stack_t, stack_box, found)
        if found[0] >= 0:
            distance[ray], facet[ray] = t + skip, found[0]


@inlined
def _permuted(origin, direction):
    """Return the :class:`_Ray` of an origin relative to the tree's centre and a unit direction."""
    dx, dy, dz = direction
    ox, oy, oz = origin
    kz = 0
    if abs(dy) > abs(dx):
        kz = 1
    if abs(dz) > max(abs(dx), abs(dy)):
        kz = 2
    kx, ky = (kz + 1) % 3, (kz + 2) % 3
    direction_x, direction_y, direction_z = (dy, dz, dx) if kz == 0 else ((dz, dx, dy) if kz == 1 else (dx, dy, dz))
    origin_x, origin_y, origin_z = (oy, oz, ox) if kz == 0 else ((oz, ox, oy) if kz == 1 else (ox, oy, oz))
    shear_x, shear_y = splat8(np.float32(-direction_x / direction_z)), splat8(np.float32(-direction_y / direction_z))
    scale_z = splat8(np.float32(1.0 / direction_z))
    tiny = 1e-18  # a zero component would give 0 * inf = NaN on the slab's own plane
    ix = splat8(np.float32(1.0 / (direction_x if abs(direction_x) > tiny else tiny)))
    iy = splat8(np.float32(1.0 / (direction_y if abs(direction_y) > tiny else tiny)))
    near = kx + 3 * (direction_x < 0.0), ky + 3 * (direction_y < 0.0), kz + 3 * (direction_z < 0.0)
    far = kx + 3 * (direction_x >= 0.0), ky + 3 * (direction_y >= 0.0), kz + 3 * (direction_z >= 0.0)
    p = splat8(np.float32(origin_x)), splat8(np.float32(origin_y)), splat8(np.float32(origin_z))
    return _Ray((kx, ky, kz), near, far, p, (shear_x, shear_y), (ix, iy, scale_z))


@inlined
def _hits8(ray, corners, base, start, best):
    """Mask of the facets from ``base`` on that the ray meets between ``start`` and ``best``, and the distances."""
    kx, ky, kz = ray.axes
    px, py, pz = ray.origin
    shear_x, shear_y = ray.shear
    z0, z1 = load8(corners, kz, base) - pz, load8(corners, kz + 3, base) - pz
    z2 = load8(corners, kz + 6, base) - pz
    x0 = fma8(shear_x, z0, load8(corners, kx, base) - px)
    x1 = fma8(shear_x, z1, load8(corners, kx + 3, base) - px)
    x2 = fma8(shear_x, z2, load8(corners, kx + 6, base) - px)
    y0 = fma8(shear_y, z0, load8(corners, ky, base) - py)
    y1 = fma8(shear_y, z1, load8(corners, ky + 3, base) - py)
    y2 = fma8(shear_y, z2, load8(corners, ky + 6, base) - py)
    u, v, w = x2 * y1 - y2 * x1, x0 * y2 - y0 * x2, x1 * y0 - y1 * x0
    lowest, highest = min8(u, min8(v, w)), max8(u, max8(v, w))
    determinant = u + v + w
    t = fma8(u, z0, fma8(v, z1, w * z2)) * ray.inverse[2] / determinant
    zero = splat8(np.float32(0))
    mask = at_most8(zero, lowest) | at_most8(highest, zero)
    return mask & less8(start, t) & less8(t, splat8(best)), t


@inlined
def _slabs8(ray, boxes, group, best):
    """Mask of the eight boxes from ``group`` on that the ray meets before ``best``, and where it enters them."""
    (near_x, near_y, near_z), (far_x, far_y, far_z) = ray.near, ray.far
    (px, py, pz), (ix, iy, iz) = ray.origin, ray.inverse
    t_near = max8(
        max8((load8(boxes, near_x, group) - px) * ix, (load8(boxes, near_y, group) - py) * iy),
        max8((load8(boxes, near_z, group) - pz) * iz, splat8(np.float32(0))),
    )
    t_far = min8(
        min8((load8(boxes, far_x, group) - px) * ix, (load8(boxes, far_y, group) - py) * iy),
        min8((load8(boxes, far_z, group) - pz) * iz, splat8(best)),
    )
    return at_most8(t_near, t_far * splat8(_ROUNDING)), t_near


@inlined
def _push_ordered(mask, t_near, group, level, stack_t, stack_box, waiting):
    """Push the boxes in the mask, the nearest last: insertion into a descending run. Returns the new depth."""
    first = waiting
    store8(stack_t, STACK - 8, t_near)
    while mask:
        lane = lowest_bit(mask)
        mask &= mask - 1
        t = stack_t[STACK - 8 + lane]
        slot = waiting
        while slot > first and stack_t[slot - 1] < t:
            stack_t[slot] = stack_t[slot - 1]
            stack_box[slot] = stack_box[slot - 1]
            slot -= 1
        stack_t[slot] = t
        stack_box[slot] = (group + lane) * _MAX_LEVELS + level
        waiting += 1
    return waiting


@inlined
def closest(origin, direction, t_min, skipped, guess, allowed, bvh, stack_t, stack_box, found):
    """Distance to the nearest facet other than ``skipped`` beyond ``t_min``, or inf; the facet goes to ``found[0]``.

    Origin relative to the tree's centre; unit direction. ``guess`` is a facet whose leaf is tried first (or -1): rays
    of neighbours hit neighbours, so the search starts with a tight bound. Visits, of eight boxes or facets at a time,
    are counted in ``found[1]``; the search ends after ``allowed``, and ``found[0]`` is then -2. ``stack_t`` (STACK,)
    float32 and ``stack_box`` (STACK,) int64 are scratch.
    """
    corners, boxes, level_start = bvh.corners, bvh.boxes, bvh.level_start
    ray, start = _permuted(origin, direction), splat8(np.float32(t_min))
    best = np.float32(np.inf)
    waiting, visits = 0, 0
    leaf = guess // WIDTH if guess >= 0 else -1
    level = len(level_start) - 1
    group = level_start[level]
    while True:
        visits += 1
        if visits > allowed:
            found[0] = -2
            break
        if leaf >= 0:
            base = leaf * WIDTH
            mask, t8 = _hits8(ray, corners, base, start, best)
            if leaf == skipped // WIDTH:
                mask &= ~(1 << (skipped % WIDTH))
            if mask:
                store8(stack_t, waiting, t8)
                while mask:
                    lane = lowest_bit(mask)
                    mask &= mask - 1
                    if stack_t[waiting + lane] < best:
                        best = stack_t[waiting + lane]
                        found[0] = base + lane
        if group >= 0:
            mask, t_near = _slabs8(ray, boxes, group, best)
            if mask:
                waiting = _push_ordered(mask, t_near, group, level, stack_t, stack_box, waiting)
        leaf, group = -1, -1
        while waiting > 0:
            waiting -= 1
            if stack_t[waiting] <= best * _ROUNDING:
                box = stack_box[waiting] // _MAX_LEVELS
                level = stack_box[waiting] % _MAX_LEVELS - 1
                if level < 0:
                    leaf = box
                else:
                    group = first_child(level_start, box, level + 1)
                break
        if leaf < 0 and group < 0:
            break
    found[1] = visits
    return np.float64(best)
