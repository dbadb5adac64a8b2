"""Winding numbers where facets repeat one another: one ray for each group of equal facets, not one for each facet.

A group counts with the sum of its facets' signs. Within a group each facet lies a little above those before it, as in
:func:`winding.winding_above`, so the contribution of its copies is a running sum. O(log n + crossings) a group on
common models; bounded like :mod:`winding`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, work_array, work_limit
from pricing_engine.kernels.solid.ray_crossings import crossing, height_above, next_leaf, normal_z, start_ray
from pricing_engine.kernels.solid.winding import (
    CHUNK_SHARE,
    GRAIN_POINTS,
    MIN_NODES,
    NODES_PER_FACET,
    STACK,
    centroid,
    run_bounded,
)
from pricing_engine.kernels.spatial.bvh import WIDTH, build_bvh


class _Groups(NamedTuple):
    """Per group (N,) int64, the terms of its winding number.

    ``above``: what other groups add over its centroid; ``own``: its first facet's sign; ``up``: +1 or -1.
    """

    above: Any
    own: Any
    up: Any


def repeated_outer_winding(
    mesh: Mesh, moved: NDArray[np.float64], same: Ints, which: NDArray[np.int64], threads: int
) -> NDArray[np.int64] | None:
    """As :func:`winding.outer_winding`; ``same`` (F,): the first facet with the same vertices as each."""
    firsts = np.flatnonzero(same == np.arange(len(same)))
    group = np.searchsorted(firsts, same)
    turned = _turned(mesh.facets, mesh.facets[same])
    weight = np.bincount(group, np.where(turned, -1.0, 1.0), len(firsts)).astype(np.int64)
    distinct = Mesh(mesh.vertices, mesh.facets[firsts])
    bvh = build_bvh(distinct, threads)
    groups = np.unique(group[which])
    above, own, up = (np.empty(len(groups), np.int64) for _ in range(3))
    work = work_array(len(groups), GRAIN_POINTS)
    most = work_limit(mesh.facet_count, NODES_PER_FACET, MIN_NODES)
    arguments = (groups, moved, distinct.facets, weight, bvh, most // CHUNK_SHARE, _Groups(above, own, up), work)
    if not run_bounded(_wind_groups, len(groups), threads, most, work, *arguments):
        return None
    order = np.argsort(group, kind="stable")
    signs = np.where(turned[order], -1, 1)
    running = np.cumsum(signs)
    ends = np.cumsum(np.bincount(group, minlength=len(firsts)))
    after = np.empty(len(group), np.int64)
    after[order] = running[ends[group[order]] - 1] - running  # signs of the copies above each facet
    row = np.searchsorted(groups, group[which])
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
def _wind_groups(lo, hi, skip, which, moved, facets, weight, bvh, budget, result, work):
    """Write the :class:`_Groups` ``result`` of the groups ``which``."""
    boxes, level_start, (above, own, up) = bvh.boxes, bvh.level_start, result
    stack = np.empty((STACK, 2), np.int64)
    nodes = 0
    for i in range(lo + skip, hi + skip):
        if nodes > budget:
            break
        f = which[i]
        x, y, z = centroid(moved, facets, f)
        own[i], up[i] = crossing(x, y, moved, facets, f), 1 if normal_z(moved, facets, f) > 0 else -1
        total, depth = 0, start_ray(x, y, z, True, boxes, level_start, stack)
        while True:
            leaf, depth, opened = next_leaf(x, y, z, True, boxes, level_start, stack, depth)
            nodes += opened
            if leaf < 0:
                break
            for g in range(WIDTH * leaf, min(WIDTH * leaf + WIDTH, len(facets))):
                if g != f and weight[g] != 0:
                    sign = crossing(x, y, moved, facets, g)
                    if sign != 0 and height_above(x, y, z, moved, facets, g) > 0:
                        total += sign * weight[g]
        above[i] = total
    work[(lo + skip) // GRAIN_POINTS, NODES] = nodes
