"""Sphere thickness: diameter of the largest sphere tangent at a facet's centroid that the opposite wall allows.

For centroid p with inward unit m it is the least |q-p|^2 / (m.(q-p)) over the points q, m.(q-p) > 0, of facets that
face p's facet by more than 115 degrees: the diameter of the sphere through p and q that is tangent to the facet at p
(the "shrinking ball" of Ma, Bae and Choi, "3D medial axis point approximation using nearest neighbors and the normal
field", 2012, but with the exact nearest point of each facet instead of nearest samples).

The sixteen facets of two leaves search together, since their spheres nearly coincide. Each starts with the least sphere
through one of the points touched lately, and first looks at the leaves that the packet before touched. Then one descent
of the tree collects leaves that may meet any of the spheres. A box is tested twice: beside its siblings against a
sphere and a cone around all spheres and normals, then by itself against each of the sixteen. Two tests: the cone of its
normals holds none that faces p; the box misses the cap that the sphere has beyond the slab, across the cone's axis,
that holds the box's facets (:mod:`normal_cones`). Whole batches of siblings are tested without a branch on any outcome,
which is hard to predict. Facets that a sphere meets are measured in float64 in closed form (:mod:`tangent_sphere`) and
shrink it. About O(log n) a facet on common models; the value is the exact minimum up to rounding, whatever the order.
Where facets lie on or across one another the spheres meet many: a chunk of packets may visit and test ``_MOST_TESTS``
log2 n a facet, and what it has not measured by then stays unmeasured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED, log2_of
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, record, work_array
from pricing_engine.kernels.runtime.simd import splat8
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh
from pricing_engine.kernels.thickness.normal_cones import lanes16, siblings8
from pricing_engine.kernels.thickness.ray_thickness import frame
from pricing_engine.kernels.thickness.sphere_packets import direct, enclose, measure_held, remember, shrink, through8
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS, gather_leaf

_GRAIN_PACKETS = 64
_MOST_TESTS = 128  # a facet, times log2 n; common models need 2 to 4
_LANES = 2 * WIDTH  # facets that search together
_BATCH = 4  # groups of siblings that are tested together
_STACK = 11 * WIDTH * _BATCH  # at most that many groups wait on each of 11 levels
_HOLD = 16 + WIDTH * _BATCH  # leaves held before they are measured
_RING = 512  # points touched lately that bound the spheres; at first, points all over the model
_FAR = 4.0  # diameters over the model's size that no closed model exceeds by much
_UNBOUNDED = 1e5  # diameters over the model's size beyond which a wall is nearly in p's own plane: none


def sphere_thickness(
    mesh: Mesh, bvh: Bvh, walls: NDArray[np.float32], threads: int, facets: range, ray: Floats | None = None
) -> Floats:
    """(n,) mm of consecutive ``facets``, from a multiple of 1,024 on; ``walls``: from :func:`normal_cones.build_walls`.

    Where no wall faces a facet, the value of ``ray`` (n,), or NaN without it; NaN for facets without area; UNMEASURED
    where the budget of tests ended. The rays change no other value.
    """
    thickness, packets = np.full(len(facets), np.nan), -(-len(facets) // _LANES)
    work = work_array(packets, _GRAIN_PACKETS)
    run_ranges(
        _measure, packets, _GRAIN_PACKETS, threads, facets.start // _LANES,
        mesh.vertices, mesh.facets, bvh.corners, walls, bvh.level_start, bvh.centre, bvh.diagonal, thickness,
        _MOST_TESTS * _LANES * log2_of(mesh.facet_count), work,
    )  # fmt: skip
    record("sphere_thickness", work)
    if ray is not None:
        np.copyto(thickness, ray, where=np.isnan(thickness))
    return thickness


@kernel
def _measure(lo, hi, begin, vertices, facets, corners, walls, level_start, centre, size, thickness, most, work):
    stack, some = np.empty(_STACK, np.int64), np.empty(WIDTH * _BATCH + WIDTH, np.int64)
    leaf64 = np.empty((LEAF_ROWS, WIDTH))
    exact = np.empty((8, _LANES))  # p, m, least diameter so far, bound of the search
    lanes = np.empty((8, _LANES), np.float32)  # m, middle, radius, its square
    around, bounds = np.empty(8, np.float32), np.empty((1, _LANES), np.float32)
    held, shift = np.empty(_HOLD, np.int64), np.zeros(len(level_start), np.int64)
    touched, seeds, newest = np.full(_LANES, -1, np.int64), np.empty((6, _RING), np.float32), 0
    slack = np.float32(size * 2.0**-20)
    top = len(level_start) - 1
    for level in range(1, top + 1):
        shift[level] = level_start[level - 1] // WIDTH - level_start[level]  # from a box to the group of its children
    for seed in range(_RING):
        remember(seeds, seed, frame(vertices, facets, seed * len(facets) // _RING, centre, size))
    nodes, tests, most = 0, 0, most * (hi - lo)
    for packet in range(begin + lo, begin + hi):
        # The leaves that the packet before touched are measured first.
        holding = 0
        for lane in range(_LANES):
            if touched[lane] >= 0:
                leaf, fresh = touched[lane] // WIDTH, True
                for other in range(holding):
                    fresh = fresh and held[other] != leaf
                if fresh:
                    held[holding] = leaf
                    holding += 1
                if lane == 0 or touched[lane] != touched[lane - 1]:
                    remember(seeds, newest, frame(vertices, facets, touched[lane], centre, size))
                    newest = (newest + 1) % _RING
        active = 0
        for lane in range(_LANES):
            side = lane % WIDTH
            if side == 0:
                gather_leaf(packet * 2 + lane // WIDTH, vertices, facets, centre, size, leaf64)
            for axis in range(3):
                exact[axis, lane] = (leaf64[axis, side] + leaf64[3 + axis, side] + leaf64[6 + axis, side]) / 3
                exact[3 + axis, lane] = -leaf64[9 + axis, side]
                lanes[axis, lane] = np.float32(exact[3 + axis, lane])
                lanes[3 + axis, lane] = np.float32(exact[axis, lane])
            exact[6, lane] = np.inf
            bounds[0, lane], touched[lane] = np.float32(np.inf), -1
            if exact[3, lane] != 0.0 or exact[4, lane] != 0.0 or exact[5, lane] != 0.0:
                active |= 1 << lane
        if active == 0:
            continue
        for first in range(0, _LANES, WIDTH):
            through8(lanes, first, seeds, slack, bounds)
        for lane in range(_LANES):
            exact[7, lane] = min(np.float64(bounds[0, lane]), _FAR * size)
        direct(active, lanes, around)
        mx, my, mz, spread = splat8(around[0]), splat8(around[1]), splat8(around[2]), splat8(around[3])
        while active:
            for lane in range(_LANES):
                if active >> lane & 1:
                    shrink(lane, exact, lanes, slack)
                else:
                    lanes[3, lane], lanes[4, lane], lanes[5, lane] = np.float32(0), np.float32(0), np.float32(0)
                    lanes[6, lane], lanes[7, lane] = np.float32(-1e30), np.float32(-1)
            waiting, begun = 0, False
            while True:
                tests += measure_held(
                    held, holding, walls, lanes, exact, touched, corners, vertices, facets, centre, size, slack, leaf64
                )
                holding = 0
                if nodes + tests > most:
                    break
                if not begun:
                    stack[0], waiting, begun = level_start[top] // WIDTH * 16 + top, 1, True
                if waiting == 0:
                    break
                enclose(active, lanes, around)
                cx, cy, cz, square = splat8(around[4]), splat8(around[5]), splat8(around[6]), splat8(around[7])
                # Neither loop has a branch on the outcome of a test, which is hard to predict.
                while waiting > 0 and holding <= _HOLD - WIDTH * _BATCH:
                    batch, count = min(waiting, _BATCH), 0
                    waiting -= batch
                    for slot in range(waiting, waiting + batch):
                        group, level = stack[slot] // 16, stack[slot] % 16
                        mask, _ = siblings8(walls, group, mx, my, mz, spread, cx, cy, cz, square)
                        for lane in range(WIDTH):
                            some[count] = (group * WIDTH + lane) * 16 + level
                            count += mask >> lane & 1
                    nodes += batch + count
                    for slot in range(count):
                        box, level = some[slot] // 16, some[slot] % 16
                        met, inner = lanes16(walls, box // WIDTH, box % WIDTH, lanes) != 0, level > 0
                        held[holding] = box
                        stack[waiting] = (box + shift[level]) * 16 + level - 1
                        holding += met & ~inner
                        waiting += met & inner
            spent = nodes + tests > most
            for lane in range(_LANES):
                if active >> lane & 1 and spent:
                    thickness[(packet - begin) * _LANES + lane] = UNMEASURED
                    active &= ~(1 << lane)
                elif active >> lane & 1:
                    best, bound = exact[6, lane], exact[7, lane]
                    if best <= bound or bound >= _UNBOUNDED * size:
                        if best < np.inf:
                            thickness[(packet - begin) * _LANES + lane] = best
                        active &= ~(1 << lane)
                    else:  # nothing found: the sphere grows
                        exact[7, lane] = _FAR * size if bound < _FAR * size else _UNBOUNDED * size
    work[lo // _GRAIN_PACKETS, NODES], work[lo // _GRAIN_PACKETS, PAIRS] = nodes, tests
