"""A packet of sixteen facets whose tangent spheres are searched together: bounds, what encloses it, measuring leaves.

``lanes`` (8, 16) float32 and ``exact`` (8, 16) float64 hold the spheres side by side. ``around`` (8,) is what encloses
them: mean direction m, spread of the directions about it, middle of a sphere around all spheres, its squared radius.
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
    lowest_bit,
    max8,
    min8,
    select8,
    splat8,
    sqrt8,
    store8,
)
from pricing_engine.kernels.spatial.bvh import WIDTH
from pricing_engine.kernels.thickness.normal_cones import FACING, lanes16
from pricing_engine.kernels.thickness.tangent_sphere import dot8, gather_leaf, meet8, touch8

PACKET = 2 * WIDTH


@inlined
def shrink(lane, exact, lanes, slack):
    """Set a lane's float32 sphere after its ``exact`` bounds: middle, radius and its square, with slack."""
    r = min(exact[6, lane], exact[7, lane]) / 2
    for axis in range(3):
        lanes[3 + axis, lane] = np.float32(exact[axis, lane] + r * exact[3 + axis, lane])
    radius = np.float32(r) * np.float32(1 + 2.0**-19) + slack
    lanes[6, lane] = radius
    lanes[7, lane] = radius * radius


@inlined
def remember(seeds, place, seed):
    """Store the point and the outward normal of a facet's :func:`frame`."""
    x, y, z, nx, ny, nz = seed
    seeds[0, place], seeds[1, place], seeds[2, place] = x, y, z
    seeds[3, place], seeds[4, place], seeds[5, place] = -nx, -ny, -nz


@inlined
def through8(lanes, first, seeds, slack, bounds):
    """Bounds of the diameters of eight lanes, whose middles are still p: the least sphere through a seed that faces m.

    The value is for a point of a facet, so the least diameter is below it once it is raised by more than the rounding.
    """
    mx, my, mz = load8(lanes, 0, first), load8(lanes, 1, first), load8(lanes, 2, first)
    px, py, pz = load8(lanes, 3, first), load8(lanes, 4, first), load8(lanes, 5, first)
    facing, low, blur = splat8(np.float32(FACING + 1e-5)), splat8(np.float32(64) * slack), splat8(np.float32(8) * slack)
    far = splat8(np.float32(np.inf))
    least = far
    for seed in range(seeds.shape[1]):
        dx, dy, dz = splat8(seeds[0, seed]) - px, splat8(seeds[1, seed]) - py, splat8(seeds[2, seed]) - pz
        height = dot8(mx, my, mz, dx, dy, dz)
        faces = less8(facing, dot8(mx, my, mz, splat8(seeds[3, seed]), splat8(seeds[4, seed]), splat8(seeds[5, seed])))
        value = dot8(dx, dy, dz, dx, dy, dz) / height
        value = fma8(value, blur / height, value)
        least = min8(select8(faces & less8(low, height), value, far), least)
    store8(bounds, first, least)


@inlined
def direct(active, lanes, around):
    """The mean direction of the lanes and the spread of the active ones about it."""
    x, y, z, spread = 0.0, 0.0, 0.0, 0.0
    for lane in range(PACKET):
        x, y, z = x + lanes[0, lane], y + lanes[1, lane], z + lanes[2, lane]
    around[0], around[1], around[2] = x / PACKET, y / PACKET, z / PACKET
    for lane in range(PACKET):
        if active >> lane & 1:
            x, y, z = lanes[0, lane] - around[0], lanes[1, lane] - around[1], lanes[2, lane] - around[2]
            spread = max(spread, x * x + y * y + z * z)
    around[3] = np.sqrt(spread) + 1e-6


@inlined
def enclose(active, lanes, around):
    """A sphere around the spheres of the active lanes."""
    x, y, z, count = 0.0, 0.0, 0.0, 0
    for lane in range(PACKET):  # the middles of the others are 0
        x, y, z = x + lanes[3, lane], y + lanes[4, lane], z + lanes[5, lane]
        count += active >> lane & 1
    cx, cy, cz = splat8(np.float32(x / count)), splat8(np.float32(y / count)), splat8(np.float32(z / count))
    reach8 = splat8(np.float32(0))
    for first in range(0, PACKET, WIDTH):
        dx, dy, dz = load8(lanes, 3, first) - cx, load8(lanes, 4, first) - cy, load8(lanes, 5, first) - cz
        reach8 = max8(sqrt8(dot8(dx, dy, dz, dx, dy, dz)) + load8(lanes, 6, first), reach8)
    reach = -least8(splat8(np.float32(0)) - reach8)
    around[4], around[5], around[6] = x / count, y / count, z / count
    around[7] = reach * reach * np.float32(1 + 2.0**-18)


@inlined
def measure_held(held, holding, walls, lanes, exact, touched, corners, vertices, facets, centre, size, slack, leaf64):
    """Shrink the spheres to the facets of the leaves held; the number of tests of a sphere with a leaf's facets."""
    still, tests = splat8(slack), 0
    for place in range(holding):
        box = held[place]
        mask = lanes16(walls, box // WIDTH, box % WIDTH, lanes)
        if mask == 0:
            continue
        base = box * WIDTH
        x0, y0, z0 = load8(corners, 0, base), load8(corners, 1, base), load8(corners, 2, base)
        ex, ey, ez = load8(corners, 3, base) - x0, load8(corners, 4, base) - y0, load8(corners, 5, base) - z0
        fx, fy, fz = load8(corners, 6, base) - x0, load8(corners, 7, base) - y0, load8(corners, 8, base) - z0
        ux, uy, uz = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
        area = sqrt8(dot8(ux, uy, uz, ux, uy, uz))
        longest = sqrt8(max8(dot8(ex, ey, ez, ex, ey, ez), dot8(fx, fy, fz, fx, fy, fz)))
        gathered = False
        while mask:
            lane = lowest_bit(mask)
            mask &= mask - 1
            if touched[lane] // WIDTH == box:  # measured already
                continue
            tests += 1
            hits = meet8(
                x0, y0, z0, ex, ey, ez, fx, fy, fz, ux, uy, uz, area, longest,
                splat8(lanes[0, lane]), splat8(lanes[1, lane]), splat8(lanes[2, lane]),
                splat8(lanes[3, lane]), splat8(lanes[4, lane]), splat8(lanes[5, lane]),
                splat8(lanes[6, lane]), splat8(lanes[7, lane]), still,
            )  # fmt: skip
            if hits == 0:
                continue
            if not gathered:
                gather_leaf(box, vertices, facets, centre, size, leaf64)
                gathered = True
            best = exact[6, lane]
            hits, diameters = touch8(
                leaf64, exact[0, lane], exact[1, lane], exact[2, lane], exact[3, lane], exact[4, lane],
                exact[5, lane], hits, best, size,
            )  # fmt: skip
            least = least8(select8(hits, diameters, splat8(np.inf)))
            if least < best:
                exact[6, lane] = least
                touched[lane] = base + lowest_bit(hits & at_most8(diameters, splat8(least)))
                shrink(lane, exact, lanes, slack)
    return tests
