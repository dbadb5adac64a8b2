"""Sphere thickness: diameter of the largest sphere tangent at a facet's centroid that the opposite wall allows.

For centroid p with inward unit m it is the least |q-p|^2 / (m.(q-p)) over the points q, m.(q-p) > 0, of facets that
face p's facet by more than 115 degrees: the diameter of the sphere through p and q that is tangent to the facet at p
(the "shrinking ball" of Ma, Bae and Choi, "3D medial axis point approximation using nearest neighbors and the normal
field", 2012, but with the exact nearest point of each facet instead of nearest samples).

The sixteen facets of two leaves search together, since their spheres nearly coincide. Each starts with the sphere that
the ray thickness allows and first looks where the facets before were touched; then one descent of the tree looks for
facets that meet any of the spheres, nearest boxes first. A box is tested twice: beside its siblings against a sphere
and a cone around all spheres and normals, then by itself against each of the sixteen. Two tests: the cone
of its normals holds none that faces p; the box misses the cap that the sphere has beyond the slab, across the cone's
axis, that holds the box's facets. Facets that a sphere meets are measured in float64 in closed form
(:mod:`tangent`) and shrink it. About O(log n) a facet on common models; the value is the exact minimum up to rounding,
whatever the order of the search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.simd import load8, lowest_bit, max8, splat8, sqrt8, store8
from pricing_engine.kernels.tangent import LEAF_ROWS, dot8, enclose, gather_leaf, meet8, shrink, touch8
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.walls import build_walls, lanes16, siblings8
from pricing_engine.mesh.model import Mesh

_GRAIN_PACKETS = 64
_LANES = 2 * WIDTH  # facets that search together
_STACK = 128  # at most 8 boxes wait on each of 11 levels, and 16 leaves to look at first
_FAR = 4.0  # diameters over the model's size that no closed model exceeds by much
_UNBOUNDED = 1e5  # diameters over the model's size beyond which a wall is nearly in p's own plane: none


def sphere_thickness(mesh: Mesh, bvh: Bvh, threads: int, ray: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(F,) mm; where no wall faces the facet the value of ``ray`` (F,), or NaN without it; NaN for facets without area.

    The rays change no other value: they only give the search a first bound.
    """
    thickness = np.full(mesh.facet_count, np.nan)
    ray = thickness.copy() if ray is None else ray
    size = float(np.linalg.norm(mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)))
    walls = build_walls(mesh, bvh, threads)
    packets = -(-mesh.facet_count // _LANES)
    run_ranges(
        _measure, packets, _GRAIN_PACKETS, threads,
        mesh.vertices, mesh.facets, bvh.corners, walls, bvh.level_start, bvh.centre, size, ray, thickness,
    )  # fmt: skip
    return thickness


@kernel
def _measure(lo, hi, vertices, facets, corners, walls, level_start, centre, size, ray, thickness):
    stack = np.empty(_STACK, np.int64)
    reach = np.empty(_STACK + WIDTH, np.float32)
    leaf64, diameters = np.empty((LEAF_ROWS, WIDTH)), np.empty(WIDTH)
    exact = np.empty((8, _LANES))  # p, m, least diameter so far, bound of the search
    lanes = np.empty((8, _LANES), np.float32)  # m, middle, radius, its square
    around = np.empty(4, np.float32)
    touched, first = np.full(_LANES, -1, np.int64), np.full(_LANES, -1, np.int64)
    slack = np.float32(size * 2.0**-20)
    still = splat8(slack)
    top = len(level_start) - 1
    for packet in range(lo, hi):
        waiting_lanes = 0
        sum_x, sum_y, sum_z, spread = 0.0, 0.0, 0.0, 0.0
        for lane in range(_LANES):
            if lane % WIDTH == 0:
                gather_leaf(2 * packet + lane // WIDTH, vertices, facets, centre, size, leaf64)
            first[lane], touched[lane], side = touched[lane], -1, lane % WIDTH
            for axis in range(3):
                exact[axis, lane] = (leaf64[axis, side] + leaf64[3 + axis, side] + leaf64[6 + axis, side]) / 3
                exact[3 + axis, lane] = -leaf64[9 + axis, side]
                lanes[axis, lane] = np.float32(exact[3 + axis, lane])
            exact[6, lane], exact[7, lane] = np.inf, np.inf
            if exact[3, lane] != 0.0 or exact[4, lane] != 0.0 or exact[5, lane] != 0.0:
                waiting_lanes |= 1 << lane
                length = ray[packet * _LANES + lane]
                exact[7, lane] = length * 1.000001 if length > 0.0 else _FAR * size
                sum_x, sum_y, sum_z = sum_x + exact[3, lane], sum_y + exact[4, lane], sum_z + exact[5, lane]
        if waiting_lanes == 0:
            continue
        mean_x, mean_y, mean_z = np.float32(sum_x / _LANES), np.float32(sum_y / _LANES), np.float32(sum_z / _LANES)
        for lane in range(_LANES):
            if waiting_lanes >> lane & 1:
                x, y, z = exact[3, lane] - mean_x, exact[4, lane] - mean_y, exact[5, lane] - mean_z
                spread = max(spread, np.sqrt(x * x + y * y + z * z))
        looks_x, looks_y, looks_z = splat8(mean_x), splat8(mean_y), splat8(mean_z)
        turned = splat8(np.float32(spread + 1e-6))
        while waiting_lanes:
            for lane in range(_LANES):
                if waiting_lanes >> lane & 1:
                    shrink(lane, exact, lanes, slack)
                else:
                    lanes[3, lane], lanes[4, lane], lanes[5, lane] = np.float32(0), np.float32(0), np.float32(0)
                    lanes[6, lane], lanes[7, lane] = np.float32(-1e30), np.float32(-1)
            enclose(waiting_lanes, lanes, around)
            waiting = 0
            for box in range(level_start[top], level_start[top] + WIDTH):
                stack[waiting], reach[waiting] = box * 16 + top, np.float32(0)
                waiting += lanes16(walls, box // WIDTH, box % WIDTH, lanes) != 0
            for lane in range(_LANES):
                leaf = first[lane] // WIDTH
                fresh = leaf >= 0
                for other in range(lane):
                    fresh = fresh and first[other] // WIDTH != leaf
                if fresh:
                    stack[waiting], reach[waiting] = leaf * 16, np.float32(0)
                    waiting += 1
            while waiting > 0:
                waiting -= 1
                box, level = stack[waiting] // 16, stack[waiting] % 16
                if level > 0:
                    below = level_start[level - 1] + WIDTH * (box - level_start[level])
                    group = below // WIDTH
                    mask, near = siblings8(
                        walls, group, looks_x, looks_y, looks_z, turned,
                        splat8(around[0]), splat8(around[1]), splat8(around[2]), splat8(around[3]),
                    )  # fmt: skip
                    # Push the boxes that are met, the nearest last: insertion into the descending run above `begin`.
                    # The leaves among them stay as they are: putting them in order costs more than it saves.
                    store8(reach, _STACK, near)
                    begin, some = waiting, mask
                    while some:  # without branches on the outcome, which is hard to predict
                        lane = lowest_bit(some)
                        some &= some - 1
                        mask &= ~((lanes16(walls, group, lane, lanes) == 0) << lane)
                    while mask:
                        lane = lowest_bit(mask)
                        mask &= mask - 1
                        square = reach[_STACK + lane]
                        slot = waiting
                        while level > 1 and slot > begin and reach[slot - 1] < square:
                            reach[slot], stack[slot] = reach[slot - 1], stack[slot - 1]
                            slot -= 1
                        reach[slot], stack[slot] = square, (below + lane) * 16 + level - 1
                        waiting += 1
                    continue
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
                gathered, shrunk = False, False
                while mask:
                    lane = lowest_bit(mask)
                    mask &= mask - 1
                    if touched[lane] // WIDTH == box:  # measured already
                        continue
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
                    hits = touch8(
                        leaf64, exact[0, lane], exact[1, lane], exact[2, lane], exact[3, lane], exact[4, lane],
                        exact[5, lane], hits, best, size, diameters,
                    )  # fmt: skip
                    while hits:
                        facet = lowest_bit(hits)
                        hits &= hits - 1
                        if diameters[facet] < best:
                            best = diameters[facet]
                            touched[lane] = base + facet
                    if best < exact[6, lane]:
                        exact[6, lane] = best
                        shrink(lane, exact, lanes, slack)
                        shrunk = True
                if shrunk:
                    enclose(waiting_lanes, lanes, around)
            for lane in range(_LANES):
                if waiting_lanes >> lane & 1:
                    best, bound = exact[6, lane], exact[7, lane]
                    if best <= bound or bound >= _UNBOUNDED * size:
                        thickness[packet * _LANES + lane] = best if best < np.inf else ray[packet * _LANES + lane]
                        waiting_lanes &= ~(1 << lane)
                    else:
                        # The ray's hit bounds the sphere only if it faces p, so when nothing is found it grows.
                        exact[7, lane] = _FAR * size if bound < _FAR * size else _UNBOUNDED * size
