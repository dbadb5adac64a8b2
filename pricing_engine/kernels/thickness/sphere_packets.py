"""A packet of sixteen facets whose tangent spheres are searched as one: bounds, what encloses it, measuring leaves.

``exact`` (8, 16) float64 and ``lanes`` (8, 16) float32 hold the spheres side by side, ``around`` (8,) float32 what
encloses them; the constants below name their rows. Part of :mod:`sphere_thickness`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import (
    at_most8,
    fma8,
    least8,
    less8,
    load8,
    lowest_bit,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.runtime.vec3 import cross, dot, dot8, load3, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.thickness.normal_cones import (
    FACING,
    LANE_DIRECTION,
    LANE_MIDDLE,
    LANE_RADIUS,
    LANE_SQUARE,
    lanes16,
)
from pricing_engine.kernels.thickness.tangent_sphere import gather_leaf, meet8, touch8

PACKET = 2 * WIDTH
POINT, INWARD, BEST, BOUND = 0, 3, 6, 7
"""Rows of ``exact``: p and m (three each), least diameter so far, bound of the search."""

MEAN, SPREAD, MIDDLE, SQUARE = 0, 3, 4, 7
"""Entries of ``around``: mean direction, spread of the directions about it; middle (three) and squared radius of a
sphere around all spheres."""


class Packet(NamedTuple):
    """``exact``, ``lanes`` and ``touched`` (16,) int64: the facet that each sphere touches, or -1."""

    exact: Any
    lanes: Any
    touched: Any


class Leaves(NamedTuple):
    """What leaves are measured with.

    ``walls`` (:mod:`normal_cones`), the tree's ``corners``, ``vertices`` and ``facets`` of the mesh, ``centre`` (3,)
    and ``size`` (mm) of the model.
    """

    walls: Any
    corners: Any
    vertices: Any
    facets: Any
    centre: Any
    size: Any


@inlined
def shrink(lane, exact, lanes, slack):
    """Set a lane's float32 sphere after its ``exact`` bounds: middle, radius and its square, with slack."""
    r = min(exact[BEST, lane], exact[BOUND, lane]) / 2
    for axis in range(3):
        lanes[LANE_MIDDLE + axis, lane] = np.float32(exact[POINT + axis, lane] + r * exact[INWARD + axis, lane])
    radius = np.float32(r) * np.float32(1 + 2.0**-19) + slack
    lanes[LANE_RADIUS, lane] = radius
    lanes[LANE_SQUARE, lane] = radius * radius


@inlined
def store_seed(seeds, column, p, m):
    """Store a point of the surface and the outward normal there, -m, in a column of ``seeds`` (6, n) float32."""
    seeds[0, column], seeds[1, column], seeds[2, column] = p
    seeds[3, column], seeds[4, column], seeds[5, column] = -m[0], -m[1], -m[2]


@inlined
def through8(lanes, first, seeds, slack, bounds):
    """Bounds of the diameters of eight lanes, whose middles are still p: the least sphere through a seed that faces m.

    The value is for a point of a facet, so the least diameter is below it once it is raised by more than the rounding.
    """
    m, p = load3(lanes, LANE_DIRECTION, first), load3(lanes, LANE_MIDDLE, first)
    facing, low, blur = splat8(np.float32(FACING + 1e-5)), splat8(np.float32(64) * slack), splat8(np.float32(8) * slack)
    far = splat8(np.float32(np.inf))
    least = far
    for seed in range(seeds.shape[1]):
        d = sub(splat3((seeds[0, seed], seeds[1, seed], seeds[2, seed])), p)
        height = dot8(m, d)
        faces = less8(facing, dot8(m, splat3((seeds[3, seed], seeds[4, seed], seeds[5, seed]))))
        value = dot8(d, d) / height
        value = fma8(value, blur / height, value)
        least = min8(select8(faces & less8(low, height), value, far), least)
    store8(bounds, first, least)


@inlined
def set_mean_direction(active, lanes, around):
    """Set the mean direction of the lanes, and the spread of the active ones about it, in ``around``."""
    x, y, z, spread = 0.0, 0.0, 0.0, 0.0
    for lane in range(PACKET):
        x, y, z = x + lanes[0, lane], y + lanes[1, lane], z + lanes[2, lane]
    around[MEAN], around[MEAN + 1], around[MEAN + 2] = x / PACKET, y / PACKET, z / PACKET
    for lane in range(PACKET):
        if active >> lane & 1:
            d = lanes[0, lane] - around[MEAN], lanes[1, lane] - around[MEAN + 1], lanes[2, lane] - around[MEAN + 2]
            spread = max(spread, dot(d, d))
    around[SPREAD] = np.sqrt(spread) + 1e-6


@inlined
def set_enclosing_sphere(active, lanes, around):
    """Set a sphere around the spheres of the active lanes in ``around``."""
    x, y, z, count = 0.0, 0.0, 0.0, 0
    for lane in range(PACKET):  # the middles of the others are 0
        x, y, z = x + lanes[3, lane], y + lanes[4, lane], z + lanes[5, lane]
        count += active >> lane & 1
    c = splat3((np.float32(x / count), np.float32(y / count), np.float32(z / count)))
    reach8 = splat8(np.float32(0))
    for first in range(0, PACKET, WIDTH):
        d = sub(load3(lanes, LANE_MIDDLE, first), c)
        reach8 = max8(sqrt8(dot8(d, d)) + load8(lanes, LANE_RADIUS, first), reach8)
    reach = -least8(splat8(np.float32(0)) - reach8)
    around[MIDDLE], around[MIDDLE + 1], around[MIDDLE + 2] = x / count, y / count, z / count
    around[SQUARE] = reach * reach * np.float32(1 + 2.0**-18)


@inlined
def measure_held(held, holding, packet, leaves, slack, leaf64):
    """Shrink the spheres to the facets of the leaves ``held[:holding]``.

    Returns the number of tests of a sphere with a leaf's facets. ``leaf64`` (LEAF_ROWS, 8) is scratch.
    """
    exact, lanes, touched = packet.exact, packet.lanes, packet.touched
    walls, corners, size = leaves.walls, leaves.corners, leaves.size
    still, tests = splat8(slack), 0
    for place in range(holding):
        box = held[place]
        mask = lanes16(walls, box // WIDTH, box % WIDTH, lanes)
        if mask == 0:
            continue
        base = box * WIDTH
        a = load3(corners, 0, base)
        e, f = sub(load3(corners, 3, base), a), sub(load3(corners, 6, base), a)
        u = cross(e, f)
        area, longest = sqrt8(dot8(u, u)), sqrt8(max8(dot8(e, e), dot8(f, f)))
        gathered = False
        while mask:
            lane = lowest_bit(mask)
            mask &= mask - 1
            if touched[lane] // WIDTH == box:  # measured already
                continue
            tests += 1
            hits = meet8(
                a, e, f, u, area, longest,
                splat3((lanes[0, lane], lanes[1, lane], lanes[2, lane])),
                splat3((lanes[3, lane], lanes[4, lane], lanes[5, lane])),
                splat8(lanes[LANE_RADIUS, lane]), splat8(lanes[LANE_SQUARE, lane]), still,
            )  # fmt: skip
            if hits == 0:
                continue
            if not gathered:
                gather_leaf(box, leaves.vertices, leaves.facets, leaves.centre, size, leaf64)
                gathered = True
            best = exact[BEST, lane]
            p, m = (exact[0, lane], exact[1, lane], exact[2, lane]), (exact[3, lane], exact[4, lane], exact[5, lane])
            hits, diameters = touch8(leaf64, p, m, hits, best, size)
            least = least8(select8(hits, diameters, splat8(np.inf)))
            if least < best:
                exact[BEST, lane] = least
                touched[lane] = base + lowest_bit(hits & at_most8(diameters, splat8(least)))
                shrink(lane, exact, lanes, slack)
    return tests
