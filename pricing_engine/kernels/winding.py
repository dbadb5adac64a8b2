"""Winding numbers by signed ray crossings.

The winding number of a closed surface at a point is the signed number of its facets above the point along any line. All
rays run in one fixed generic direction, so the vertices are sheared once until that direction is +z; a facet lies on
the ray of ``(x, y)`` when the point's half line ``y = const`` crosses the projected facet's edges an odd number of
times. Each edge is decided from its two end points in index order, so the two facets at an edge always agree: no ray
slips between facets, and the crossings of a closed surface along a whole line sum to exactly zero. Shears keep volumes.

For questions about facets that touch each other (coplanar faces, T-junctions) the vertices are also moved by at most
1e-8 of the model's size, each by a hash of its position, which puts everything in general position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.work import NODES, record, work_array, work_limit
from pricing_engine.mesh.model import Mesh

SHEAR_X, SHEAR_Y = 0.31830988618379067, 0.22507907903927651  # the rays' direction is (SHEAR_X, SHEAR_Y, 1)
JITTER = 1e-8
STACK = 128
_GRAIN = 65536
GRAIN_POINTS = 256
_BATCH_CHUNKS, CHUNK_SHARE = 8, 8
NODES_PER_FACET, LEAST_NODES = 16.0, 20_000_000  # boxes opened, 20 to 90 ns each


def general_position(mesh: Mesh, bvh: Bvh, jitter: float, threads: int) -> NDArray[np.float64]:
    """Vertices (V, 3) about the box's centre, moved by up to ``jitter`` of the box's size and sheared."""
    size = 2 * float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0)) if jitter > 0 else 0.0
    moved = np.empty((len(mesh.vertices), 3))
    run_ranges(_move, len(moved), _GRAIN, threads, mesh.vertices, bvh.centre, jitter * size, moved)
    return moved


def winding_numbers(mesh: Mesh, bvh: Bvh, points: NDArray[np.float64], threads: int) -> NDArray[np.int64]:
    """The winding number (N,) of a closed mesh at ``points`` (N, 3) mm; O(log n + crossings) each.

    For points on the surface itself the answer is that of one of the sides.
    """
    moved = general_position(mesh, bvh, 0.0, threads)
    winding = np.empty(len(points), np.int64)
    local = np.ascontiguousarray(points, np.float64) - bvh.centre
    run_ranges(
        _wind, len(points), GRAIN_POINTS, threads, local, moved, mesh.facets, bvh.boxes, bvh.level_start, winding
    )
    return winding


def outer_winding(
    mesh: Mesh, bvh: Bvh, moved: NDArray[np.float64], which: NDArray[np.int64], threads: int
) -> NDArray[np.int64] | None:
    """The winding number just outside of the centroid of each facet in ``which`` (N,).

    None where that opens more than :data:`NODES_PER_FACET` * n log2 n boxes, as in a stack of thousands of bodies.
    """
    winding, work = np.empty(len(which), np.int64), work_array(len(which), GRAIN_POINTS)
    most = work_limit(mesh.facet_count, NODES_PER_FACET, LEAST_NODES)
    arguments = (which, moved, mesh.facets, bvh.boxes, bvh.level_start, most // CHUNK_SHARE, winding, work)
    return winding if run_bounded(_wind_facets, len(which), threads, most, work, *arguments) else None


def run_bounded(
    kernel: Callable[..., Any],
    count: int,
    threads: int,
    most: int,
    work: NDArray[np.int64],
    *arguments: Any,
    search: str = "winding",
) -> bool:
    """Run a kernel ``(lo, hi, skip, ...)`` over points in batches; False once ``work`` or a chunk's share is spent."""
    batch = _BATCH_CHUNKS * GRAIN_POINTS
    within = True
    for skip in range(0, count, batch):
        run_ranges(kernel, min(batch, count - skip), GRAIN_POINTS, threads, skip, *arguments)
        steps = work.sum(axis=1)
        within = steps.max() <= most // CHUNK_SHARE and steps.sum() <= most
        if not within:
            break
    record(search, work)
    return bool(within)


@inlined
def _mix(h):
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@kernel
def _move(lo, hi, vertices, centre, amount, moved):
    bits = vertices.view(np.uint64)
    for i in range(lo, hi):
        h = np.uint64(0x9E3779B97F4A7C15)
        for axis in range(3):
            # -0.0 and 0.0 are one position
            h = _mix(h + (bits[i, axis] if vertices[i, axis] != 0 else np.uint64(0)))
        for axis in range(3):
            h = _mix(h + np.uint64(0x9E3779B97F4A7C15))
            unit = np.float64(h >> np.uint64(11)) * 2.0**-52 - 1.0
            moved[i, axis] = vertices[i, axis] - centre[axis] + amount * unit
        moved[i, 0] -= SHEAR_X * moved[i, 2]
        moved[i, 1] -= SHEAR_Y * moved[i, 2]


@inlined
def _edge(x, y, moved, i, j):
    """Signed crossing of the half line from (x, y) towards +x by the edge i -> j; antisymmetric to the bit."""
    up = moved[j, 1] > y
    if up == (moved[i, 1] > y):
        return 0
    a, b = (i, j) if i < j else (j, i)
    dx, dy = moved[b, 0] - moved[a, 0], moved[b, 1] - moved[a, 1]
    left = dx * (y - moved[a, 1]) - (x - moved[a, 0]) * dy
    if i > j:
        left = -left
    if up:
        return 1 if left > 0 else 0
    return -1 if left < 0 else 0


@inlined
def crossing(x, y, moved, facets, f):
    """+1 where the line through (x, y) leaves the solid through facet f, -1 where it enters, 0 where it misses."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    return _edge(x, y, moved, a, b) + _edge(x, y, moved, b, c) + _edge(x, y, moved, c, a)


@inlined
def normal_z(moved, facets, f):
    """Twice the signed area of facet f seen along the rays."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    ux, uy = moved[b, 0] - moved[a, 0], moved[b, 1] - moved[a, 1]
    return ux * (moved[c, 1] - moved[a, 1]) - uy * (moved[c, 0] - moved[a, 0])


@inlined
def height_above(x, y, z, moved, facets, f):
    """How far facet f's plane lies above (x, y, z) along the ray."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    ux, uy, uz = moved[b, 0] - moved[a, 0], moved[b, 1] - moved[a, 1], moved[b, 2] - moved[a, 2]
    vx, vy, vz = moved[c, 0] - moved[a, 0], moved[c, 1] - moved[a, 1], moved[c, 2] - moved[a, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return ((moved[a, 0] - x) * nx + (moved[a, 1] - y) * ny + (moved[a, 2] - z) * nz) / nz


@inlined
def _coincide(facets, f, g):
    for corner in range(3):
        v = facets[f, corner]
        if v != facets[g, 0] and v != facets[g, 1] and v != facets[g, 2]:
            return False
    return True


@inlined
def on_ray(x, y, z, boxes, box):
    """Whether the ray upwards from the sheared point (x, y, z) meets a box of the tree (which is not sheared)."""
    near, far = max(0.0, boxes[2, box] - z), boxes[5, box] - z
    ox, oy = x + SHEAR_X * z, y + SHEAR_Y * z
    near = max(near, (boxes[0, box] - ox) * (1 / SHEAR_X), (boxes[1, box] - oy) * (1 / SHEAR_Y))
    far = min(far, (boxes[3, box] - ox) * (1 / SHEAR_X), (boxes[4, box] - oy) * (1 / SHEAR_Y))
    return near <= far


@kernel
def winding_above(x, y, z, skip, moved, facets, boxes, level_start, stack):
    """Sum of the signed crossings strictly above (x, y, z), facet ``skip`` left out; and how many boxes it opened.

    ``stack``: (STACK, 2) int64.
    """
    total = 0
    top = nodes = 0
    last = len(level_start) - 1
    for box in range(level_start[last], boxes.shape[1]):
        if on_ray(x, y, z, boxes, box):
            stack[top, 0], stack[top, 1] = box, last
            top += 1
    while top > 0:
        top -= 1
        nodes += 1
        box, level = stack[top, 0], stack[top, 1]
        if level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                if on_ray(x, y, z, boxes, child):
                    stack[top, 0], stack[top, 1] = child, level - 1
                    top += 1
            continue
        for f in range(WIDTH * box, min(WIDTH * box + WIDTH, len(facets))):
            if f != skip:
                sign = crossing(x, y, moved, facets, f)
                if sign == 0:
                    continue
                if skip >= 0 and _coincide(facets, f, skip):
                    total += sign if f > skip else 0  # as if each bulged a little above those before it
                elif height_above(x, y, z, moved, facets, f) > 0:
                    total += sign
    return total, nodes


@kernel
def _wind(lo, hi, points, moved, facets, boxes, level_start, winding):
    stack = np.empty((STACK, 2), np.int64)
    for i in range(lo, hi):
        z = points[i, 2]
        x, y = points[i, 0] - SHEAR_X * z, points[i, 1] - SHEAR_Y * z
        winding[i], _ = winding_above(x, y, z, -1, moved, facets, boxes, level_start, stack)


@kernel
def _wind_facets(lo, hi, skip, which, moved, facets, boxes, level_start, most, winding, work):
    stack = np.empty((STACK, 2), np.int64)
    spent = 0
    for i in range(lo + skip, hi + skip):
        if spent > most:
            break
        f = which[i]
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        x = (moved[a, 0] + moved[b, 0] + moved[c, 0]) / 3
        y = (moved[a, 1] + moved[b, 1] + moved[c, 1]) / 3
        z = (moved[a, 2] + moved[b, 2] + moved[c, 2]) / 3
        above, nodes = winding_above(x, y, z, f, moved, facets, boxes, level_start, stack)
        winding[i] = above if normal_z(moved, facets, f) > 0 else above - 1
        spent += nodes
    work[(lo + skip) // GRAIN_POINTS, NODES] = spent
