"""Sphere thickness: diameter of the largest sphere tangent at a facet's centroid that the opposite wall allows.

For centroid p with inward unit m it is the least |q-p|^2 / (m.(q-p)) over the points q, m.(q-p) > 0, of facets that
face p's facet by more than 115 degrees: the diameter of the sphere through p and q that is tangent to the facet at p
(the "shrinking ball" of Ma, Bae and Choi, "3D medial axis point approximation using nearest neighbors and the normal
field", 2012, but with the exact nearest point of each facet instead of nearest samples).

The sixteen facets of two leaves are one packet, since their spheres nearly coincide. Each starts with the least sphere
through one of the points touched lately, and first measures the leaves that the packet before touched. Then one descent
of the tree collects leaves that may meet any of the spheres. A box is tested twice: beside its siblings against a
sphere and a cone around all spheres and normals, then by itself against each of the sixteen. Two tests: the cone of its
normals holds none that faces p; the box misses the cap that the sphere has beyond the slab, across the cone's axis,
that holds the box's facets (:mod:`normal_cones`). Batches of siblings are tested without a branch on any outcome,
which is hard to predict. Facets that a sphere meets are measured in float64 in closed form (:mod:`tangent_sphere`) and
shrink it. About O(log n) a facet on common models; the value is the exact minimum up to rounding, whatever the order.
Where facets lie on or across one another the spheres meet many: a chunk of packets may visit and test ``_MAX_TESTS``
log2 n a facet, and what it has not measured by then stays unmeasured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED, log2_of
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, record, work_array
from pricing_engine.kernels.runtime.simd import splat8
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.runtime.vec3 import splat3
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh
from pricing_engine.kernels.thickness.normal_cones import (
    LANE_DIRECTION,
    LANE_MIDDLE,
    LANE_RADIUS,
    LANE_SQUARE,
    lanes16,
    siblings8,
)
from pricing_engine.kernels.thickness.ray_thickness import frame
from pricing_engine.kernels.thickness.sphere_packets import (
    BEST,
    BOUND,
    INWARD,
    MEAN,
    MIDDLE,
    PACKET,
    POINT,
    SPREAD,
    SQUARE,
    Leaves,
    Packet,
    measure_held,
    set_enclosing_sphere,
    set_mean_direction,
    shrink,
    store_seed,
    through8,
)
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS, NORMAL, gather_leaf

_GRAIN_PACKETS = 64
_MAX_TESTS = 128  # a facet, times log2 n; common models need 2 to 4
_BATCH = 4  # groups of siblings that are tested as one batch
_MAX_LEVELS = 16  # an entry of the stack is a group or box * _MAX_LEVELS + level
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
    thickness, packets = np.full(len(facets), np.nan), -(-len(facets) // PACKET)
    work = work_array(packets, _GRAIN_PACKETS)
    leaves = Leaves(walls, bvh.corners, mesh.vertices, mesh.facets, bvh.centre, bvh.diagonal)
    budget = _MAX_TESTS * PACKET * log2_of(mesh.facet_count)
    run_ranges(
        _measure, packets, _GRAIN_PACKETS, threads, facets.start // PACKET, leaves, bvh.level_start, budget, thickness,
        work,
    )  # fmt: skip
    record("sphere_thickness", work)
    if ray is not None:
        np.copyto(thickness, ray, where=np.isnan(thickness))
    return thickness


@inlined
def _distinct_leaves(touched, leaves, held, seeds, newest):
    """Hold each leaf that the packet before touched, and store its points as seeds; their number, the next column."""
    holding = 0
    for lane in range(PACKET):
        if touched[lane] >= 0:
            leaf, first = touched[lane] // WIDTH, True
            for other in range(holding):
                first = first and held[other] != leaf
            if first:
                held[holding] = leaf
                holding += 1
            if lane == 0 or touched[lane] != touched[lane - 1]:
                p, m = frame(leaves.vertices, leaves.facets, touched[lane], leaves.centre, leaves.size)
                store_seed(seeds, newest, p, m)
                newest = (newest + 1) % _RING
    return holding, newest


@inlined
def _fill_packet(number, packet, leaves, leaf64, bounds):
    """Set the points and directions of a packet's facets; the mask of those with an area."""
    exact, lanes, active = packet.exact, packet.lanes, 0
    for lane in range(PACKET):
        side = lane % WIDTH
        if side == 0:
            leaf = number * 2 + lane // WIDTH
            gather_leaf(leaf, leaves.vertices, leaves.facets, leaves.centre, leaves.size, leaf64)
        for axis in range(3):
            exact[POINT + axis, lane] = (leaf64[axis, side] + leaf64[3 + axis, side] + leaf64[6 + axis, side]) / 3
            exact[INWARD + axis, lane] = -leaf64[NORMAL + axis, side]
            lanes[LANE_DIRECTION + axis, lane] = np.float32(exact[INWARD + axis, lane])
            lanes[LANE_MIDDLE + axis, lane] = np.float32(exact[POINT + axis, lane])
        exact[BEST, lane] = np.inf
        bounds[0, lane], packet.touched[lane] = np.float32(np.inf), -1
        if exact[INWARD, lane] != 0.0 or exact[INWARD + 1, lane] != 0.0 or exact[INWARD + 2, lane] != 0.0:
            active |= 1 << lane
    return active


@inlined
def _collect_leaves(stack, waiting, held, holding, walls, shift, lanes, around, some):
    """Descend from the groups on the stack until leaves that a sphere may meet fill ``held``, or no group waits.

    Returns the new depth, the number of leaves held and the nodes visited. Neither loop has a branch on the outcome of
    a test, which is hard to predict.
    """
    m, spread = splat3((around[MEAN], around[MEAN + 1], around[MEAN + 2])), splat8(around[SPREAD])
    c, square = splat3((around[MIDDLE], around[MIDDLE + 1], around[MIDDLE + 2])), splat8(around[SQUARE])
    nodes = 0
    while waiting > 0 and holding <= _HOLD - WIDTH * _BATCH:
        batch, count = min(waiting, _BATCH), 0
        waiting -= batch
        for slot in range(waiting, waiting + batch):
            group, level = stack[slot] // _MAX_LEVELS, stack[slot] % _MAX_LEVELS
            mask, _ = siblings8(walls, group, m, spread, c, square)
            for lane in range(WIDTH):
                some[count] = (group * WIDTH + lane) * _MAX_LEVELS + level
                count += mask >> lane & 1
        nodes += batch + count
        for slot in range(count):
            box, level = some[slot] // _MAX_LEVELS, some[slot] % _MAX_LEVELS
            met, inner = lanes16(walls, box // WIDTH, box % WIDTH, lanes) != 0, level > 0
            held[holding] = box
            stack[waiting] = (box + shift[level]) * _MAX_LEVELS + level - 1
            holding += met & ~inner
            waiting += met & inner
    return waiting, holding, nodes


@inlined
def _settle(active, out_of_budget, exact, size, thickness, first):
    """Write the diameters that are final, from ``thickness[first]`` on; the mask of the lanes that go on."""
    for lane in range(PACKET):
        if active >> lane & 1 and out_of_budget:
            thickness[first + lane] = UNMEASURED
            active &= ~(1 << lane)
        elif active >> lane & 1:
            best, bound = exact[BEST, lane], exact[BOUND, lane]
            if best <= bound or bound >= _UNBOUNDED * size:
                if best < np.inf:
                    thickness[first + lane] = best
                active &= ~(1 << lane)
            else:  # nothing found: the sphere grows
                exact[BOUND, lane] = _FAR * size if bound < _FAR * size else _UNBOUNDED * size
    return active


@kernel
def _measure(lo, hi, begin, leaves, level_start, budget, thickness, work):
    walls, vertices, facets, centre, size = leaves.walls, leaves.vertices, leaves.facets, leaves.centre, leaves.size
    stack, some = np.empty(_STACK, np.int64), np.empty(WIDTH * _BATCH + WIDTH, np.int64)
    leaf64 = np.empty((LEAF_ROWS, WIDTH))
    exact, lanes = np.empty((8, PACKET)), np.empty((8, PACKET), np.float32)
    around, bounds = np.empty(8, np.float32), np.empty((1, PACKET), np.float32)
    held, shift = np.empty(_HOLD, np.int64), np.zeros(len(level_start), np.int64)
    touched, seeds, newest = np.full(PACKET, -1, np.int64), np.empty((6, _RING), np.float32), 0
    packet = Packet(exact, lanes, touched)
    slack = np.float32(size * 2.0**-20)
    top = len(level_start) - 1
    for level in range(1, top + 1):
        shift[level] = level_start[level - 1] // WIDTH - level_start[level]  # from a box to the group of its children
    for seed in range(_RING):
        p, m = frame(vertices, facets, seed * len(facets) // _RING, centre, size)
        store_seed(seeds, seed, p, m)
    nodes, tests, budget = 0, 0, budget * (hi - lo)
    for number in range(begin + lo, begin + hi):
        # The leaves that the packet before touched are measured first.
        holding, newest = _distinct_leaves(touched, leaves, held, seeds, newest)
        active = _fill_packet(number, packet, leaves, leaf64, bounds)
        if active == 0:
            continue
        for first in range(0, PACKET, WIDTH):
            through8(lanes, first, seeds, slack, bounds)
        for lane in range(PACKET):
            exact[BOUND, lane] = min(np.float64(bounds[0, lane]), _FAR * size)
        set_mean_direction(active, lanes, around)
        while active:
            for lane in range(PACKET):
                if active >> lane & 1:
                    shrink(lane, exact, lanes, slack)
                else:
                    for axis in range(3):
                        lanes[LANE_MIDDLE + axis, lane] = np.float32(0)
                    lanes[LANE_RADIUS, lane], lanes[LANE_SQUARE, lane] = np.float32(-1e30), np.float32(-1)
            waiting, started = 0, False
            while True:
                tests += measure_held(held, holding, packet, leaves, slack, leaf64)
                holding = 0
                if nodes + tests > budget:
                    break
                if not started:
                    stack[0], waiting, started = level_start[top] // WIDTH * _MAX_LEVELS + top, 1, True
                if waiting == 0:
                    break
                set_enclosing_sphere(active, lanes, around)
                waiting, holding, visits = _collect_leaves(
                    stack, waiting, held, holding, walls, shift, lanes, around, some
                )
                nodes += visits
            active = _settle(active, nodes + tests > budget, exact, size, thickness, (number - begin) * PACKET)
    work[lo // _GRAIN_PACKETS, NODES], work[lo // _GRAIN_PACKETS, PAIRS] = nodes, tests
