"""Winding numbers by signed ray crossings.

The winding number of a closed surface at a point is the signed number of its facets above the point along any line. All
rays run in one fixed generic direction, so the vertices are sheared once until that direction is +z; a facet lies on
the ray of ``(x, y)`` when the point's half line ``y = const`` crosses the projected facet's edges an odd number of
times. Each edge is decided from its two end points in index order, so the two facets at an edge always agree: no ray
slips between facets, and the crossings of a closed surface along a line sum to exactly zero. Shears preserve volumes.

Where facets touch each other (coplanar faces, T-junctions) the vertices are also moved by at most 1e-8 of the model's
size, each by a hash of its position, which puts everything in general position. O(log n + crossings) a ray on common
models; searches are bounded by the boxes that they open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel, uncounted
from pricing_engine.kernels.runtime.search_counters import NODES, record, work_array, work_limit
from pricing_engine.kernels.runtime.simd import lowest_bit
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.ray_crossings import (
    SHEAR_X,
    SHEAR_Y,
    crossing,
    height_above,
    may_cross8,
    next_leaf,
    normal_z,
    start_ray,
)
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh

JITTER = 1e-8
STACK = 128
_GRAIN = 65536
GRAIN_POINTS = 256
_BATCH_CHUNKS, CHUNK_SHARE = 8, 8
NODES_PER_FACET, MIN_NODES = 16.0, 20_000_000  # boxes opened, 20 to 90 ns each


def general_position(mesh: Mesh, bvh: Bvh, jitter: float, threads: int) -> NDArray[np.float64]:
    """Vertices (V, 3) about the box's centre, moved by up to ``jitter`` of the box's size and sheared."""
    size = 2 * float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0)) if jitter > 0 else 0.0
    moved = np.empty((len(mesh.vertices), 3))
    run_ranges(_move, len(moved), _GRAIN, threads, mesh.vertices, bvh.centre, jitter * size, moved)
    return moved


def ray_pad(bvh: Bvh) -> np.float32:
    """How far the tree's float32 corners, moved and sheared, may lie from those in general position (mm), and more."""
    return np.float32(bvh.diagonal * 2.0**-21)


def outer_winding(
    mesh: Mesh, bvh: Bvh, moved: NDArray[np.float64], which: NDArray[np.int64], threads: int
) -> NDArray[np.int64] | None:
    """Return the winding number just outside of the centroid of each facet in ``which`` (N,).

    None where that opens more than :data:`NODES_PER_FACET` * n log2 n boxes, as in a stack of thousands of bodies.
    """
    winding, work = np.empty(len(which), np.int64), work_array(len(which), GRAIN_POINTS)
    most = work_limit(mesh.facet_count, NODES_PER_FACET, MIN_NODES)
    arguments = (which, moved, mesh.facets, bvh, ray_pad(bvh), most // CHUNK_SHARE, winding, work)
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
def centroid(moved, facets, f):
    """Mean of the corners of facet f."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    return (
        (moved[a, 0] + moved[b, 0] + moved[c, 0]) / 3,
        (moved[a, 1] + moved[b, 1] + moved[c, 1]) / 3,
        (moved[a, 2] + moved[b, 2] + moved[c, 2]) / 3,
    )


@inlined
def _coincide(facets, f, g):
    for corner in range(3):
        v = facets[f, corner]
        if v != facets[g, 0] and v != facets[g, 1] and v != facets[g, 2]:
            return False
    return True


@uncounted
def winding_above(x, y, z, skip, moved, facets, bvh, pad, stack):
    """Sum of the signed crossings strictly above (x, y, z), facet ``skip`` left out; and the number of boxes opened.

    The crossings of a closed surface along a line sum to zero, so the ray runs to the nearer side of the model.
    ``pad``: :func:`ray_pad` of the tree. ``stack``: (STACK, 2) int64.
    """
    corners, boxes, level_start = bvh.corners, bvh.boxes, bvh.level_start
    up = z + SHEAR_X * (x + SHEAR_X * z) + SHEAR_Y * (y + SHEAR_Y * z) > 0
    total = 0 if up or skip < 0 else crossing(x, y, moved, facets, skip)
    nodes, depth = 0, start_ray(x, y, z, up, boxes, level_start, stack)
    while True:
        leaf, depth, opened = next_leaf(x, y, z, up, boxes, level_start, stack, depth)
        nodes += opened
        if leaf < 0:
            break
        near = may_cross8(x, y, pad, corners, WIDTH * leaf)
        while near:
            f = WIDTH * leaf + lowest_bit(near)
            near &= near - 1
            sign = crossing(x, y, moved, facets, f) if f != skip else 0
            if sign == 0:
                continue
            if skip >= 0 and _coincide(facets, f, skip):
                total += sign if (f > skip) == up else 0  # as if each bulged a little above those before it
            elif (height_above(x, y, z, moved, facets, f) > 0) == up:
                total += sign
    return total if up else -total, nodes


@kernel
def _wind_facets(lo, hi, skip, which, moved, facets, bvh, pad, budget, winding, work):
    stack = np.empty((STACK, 2), np.int64)
    spent = 0
    for i in range(lo + skip, hi + skip):
        if spent > budget:
            break
        f = which[i]
        x, y, z = centroid(moved, facets, f)
        above, nodes = winding_above(x, y, z, f, moved, facets, bvh, pad, stack)
        winding[i] = above if normal_z(moved, facets, f) > 0 else above - 1
        spent += nodes
    work[(lo + skip) // GRAIN_POINTS, NODES] = spent
