"""Winding numbers where facets repeat one another: one ray for each group of equal facets, not one for each facet.

A group counts with the sum of its facets' signs. Within a group each facet lies a little above those before it, as in
:func:`winding.winding_above`, so what its copies add is a running sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, work_array, work_limit
from pricing_engine.kernels.solid.ray_crossings import crossing, height_above, normal_z, on_ray
from pricing_engine.kernels.solid.winding import (
    CHUNK_SHARE,
    GRAIN_POINTS,
    LEAST_NODES,
    NODES_PER_FACET,
    STACK,
    run_bounded,
)
from pricing_engine.kernels.spatial.bvh import WIDTH, build_bvh


def repeated_outer_winding(
    mesh: Mesh, moved: NDArray[np.float64], same: Ints, which: NDArray[np.int64], threads: int
) -> NDArray[np.int64] | None:
    """As :func:`winding.outer_winding`; ``same`` (F,): the first facet with the same vertices as each."""
    kept = np.flatnonzero(same == np.arange(len(same)))
    group = np.searchsorted(kept, same)
    turned = _turned(mesh.facets, mesh.facets[same])
    weight = np.bincount(group, np.where(turned, -1.0, 1.0), len(kept)).astype(np.int64)
    distinct = Mesh(mesh.vertices, mesh.facets[kept])
    bvh = build_bvh(distinct, threads)
    asked = np.unique(group[which])
    above, own, up = (np.empty(len(asked), np.int64) for _ in range(3))
    work = work_array(len(asked), GRAIN_POINTS)
    most = work_limit(mesh.facet_count, NODES_PER_FACET, LEAST_NODES)
    arguments = (asked, moved, distinct.facets, weight, bvh.boxes, bvh.level_start, most // CHUNK_SHARE)
    if not run_bounded(_wind_groups, len(asked), threads, most, work, *arguments, above, own, up, work):
        return None
    order = np.argsort(group, kind="stable")
    signs = np.where(turned[order], -1, 1)
    running = np.cumsum(signs)
    ends = np.cumsum(np.bincount(group, minlength=len(kept)))
    after = np.empty(len(group), np.int64)
    after[order] = running[ends[group[order]] - 1] - running  # signs of the copies above each facet
    row = np.searchsorted(asked, group[which])
    leaves = up[row] * np.where(turned[which], -1, 1) > 0
    winding: NDArray[np.int64] = above[row] + own[row] * after[which] - np.where(leaves, 0, 1)
    return winding


def _turned(facets: Ints, others: Ints) -> NDArray[np.bool_]:
    """Which facets (F, 3) run the other way round than ``others`` (F, 3), on the same vertices."""
    rows = np.arange(len(facets))
    at = (others == facets[:, :1]).argmax(axis=1)
    turned: NDArray[np.bool_] = others[rows, (at + 1) % 3] != facets[:, 1]
    return turned


@kernel
def _wind_groups(lo, hi, skip, asked, moved, facets, weight, boxes, level_start, most, above, own, up, work):
    """``above``: what other groups add over a group's centroid; ``own``: its first facet's sign; ``up``: +1 or -1."""
    stack = np.empty((STACK, 2), np.int64)
    nodes = 0
    for i in range(lo + skip, hi + skip):
        if nodes > most:
            break
        f = asked[i]
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        x = (moved[a, 0] + moved[b, 0] + moved[c, 0]) / 3
        y = (moved[a, 1] + moved[b, 1] + moved[c, 1]) / 3
        z = (moved[a, 2] + moved[b, 2] + moved[c, 2]) / 3
        own[i], up[i] = crossing(x, y, moved, facets, f), 1 if normal_z(moved, facets, f) > 0 else -1
        total, top = 0, 0
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
            for g in range(WIDTH * box, min(WIDTH * box + WIDTH, len(facets))):
                if g != f and weight[g] != 0:
                    sign = crossing(x, y, moved, facets, g)
                    if sign != 0 and height_above(x, y, z, moved, facets, g) > 0:
                        total += sign * weight[g]
        above[i] = total
    work[(lo + skip) // GRAIN_POINTS, NODES] = nodes
