"""Facets that meet others beyond shared vertices and edges.

Two facets intersect when their relative interiors have a point in common: they cross, overlap in one plane, or are the
same facet twice. A vertex or an edge on a face, an edge on an edge and whatever happens on one boundary only is
touching and doesn't count; facets without area have no interior and meet nothing. One definition serves all pairs,
neighbours or not.

Pairs from :mod:`pair_search` are filtered in float64 once more, without a margin (:mod:`facet_pairs`), and what that
can't tell apart is decided exactly (:mod:`facet_crossing`). The answer is that of exact arithmetic on the welded
coordinates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.facet_crossing import interiors_meet
from pricing_engine.kernels.facet_pairs import may_meet
from pricing_engine.kernels.pair_search import STACK, Pairs, boxes_of_facets
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.mesh.model import Mesh

_GRAIN_PAIRS = 4096
_GRAIN_LEAVES = 64


def self_intersections(mesh: Mesh, bvh: Bvh, pairs: Pairs, threads: int) -> NDArray[np.bool_]:
    """Which facets (F,) meet another in a point of both relative interiors: exact, ``pairs`` complete or not.

    ``pairs``: from :func:`find_pairs` of the same mesh. Where it is not complete, each facet is searched for by itself,
    until one is found that it meets: in a tangle that is soon.
    """
    flags = np.zeros(mesh.facet_count, np.bool_)
    if pairs.complete:
        found = meeting(mesh, pairs, threads)
        flags[pairs.first[found]] = flags[pairs.second[found]] = True
    else:
        leaves = bvh.corners.shape[1] // WIDTH
        facet_boxes, _ = boxes_of_facets(bvh, 0.0, threads)
        run_ranges(_flag_leaves, leaves, _GRAIN_LEAVES, threads, mesh.vertices, mesh.facets, bvh.boxes, bvh.level_start,
                   facet_boxes, flags)  # fmt: skip
    return flags


def meeting(mesh: Mesh, pairs: Pairs, threads: int) -> NDArray[np.bool_]:
    """Which of the pairs (P,) intersect, exactly."""
    found = np.zeros(len(pairs.first), np.bool_)
    run_ranges(_decide, len(found), _GRAIN_PAIRS, threads, mesh.vertices, mesh.facets, pairs.first, pairs.second, found)
    return found


@kernel
def _decide(lo, hi, vertices, facets, first, second, found):
    for pair in range(lo, hi):
        f, g = first[pair], second[pair]
        found[pair] = may_meet(vertices, facets, f, g, 0.0) and interiors_meet(vertices, facets, f, g)


@kernel
def _flag_leaves(lo, hi, vertices, facets, boxes, level_start, facet_boxes, flags):
    stack = np.empty((STACK, 2), np.int64)
    top_level = len(level_start) - 1
    for f in range(lo * WIDTH, min(hi * WIDTH, len(facets))):
        if flags[f]:
            continue
        leaf, i = f // WIDTH, f % WIDTH
        x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
        x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
        stack[0, 0], stack[0, 1] = level_start[top_level], top_level
        depth = 1
        while depth > 0:
            depth -= 1
            block, level = stack[depth, 0], stack[depth, 1]
            for box in range(block, block + WIDTH):
                if not (boxes[0, box] <= x1 and boxes[3, box] >= x0 and boxes[1, box] <= y1):
                    continue
                if not (boxes[4, box] >= y0 and boxes[2, box] <= z1 and boxes[5, box] >= z0):
                    continue
                if level > 0:
                    stack[depth, 0] = level_start[level - 1] + WIDTH * (box - level_start[level])
                    stack[depth, 1] = level - 1
                    depth += 1
                elif _meets_leaf(f, box, vertices, facets, facet_boxes, flags):
                    flags[f] = True
                    depth = 0
                    break


@kernel
def _meets_leaf(f, other, vertices, facets, facet_boxes, flags):
    leaf, i = f // WIDTH, f % WIDTH
    x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
    x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
    for k in range(min(WIDTH, len(facets) - other * WIDTH)):
        g = other * WIDTH + k
        hit = (facet_boxes[other, 0, k] <= x1) & (facet_boxes[other, 3, k] >= x0)
        hit &= (facet_boxes[other, 1, k] <= y1) & (facet_boxes[other, 4, k] >= y0)
        hit &= (facet_boxes[other, 2, k] <= z1) & (facet_boxes[other, 5, k] >= z0)
        if hit and g != f and may_meet(vertices, facets, f, g, 0.0) and interiors_meet(vertices, facets, f, g):
            flags[g] = True  # whichever thread says so, it is so
            return True
    return False
