"""An implicit 8-wide bounding volume hierarchy over facets in canonical order.

Because the mesh's facets already lie along a space-filling curve, the tree needs no pointers and no sort: leaf ``i``
holds facets ``8 i .. 8 i + 7``, and box ``j`` of level ``l + 1`` is the union of boxes ``8 j .. 8 j + 7`` of level
``l``. Building is one streaming pass, O(n). The levels lie one after another in ``boxes``, each padded to a multiple
of eight with empty boxes, the leaves (level 0) first, so the eight children of a box are contiguous in memory.

Box ``b`` (absolute index) of level ``l > 0`` has the eight children from :func:`first_child` on, of level ``l - 1``; a
box of level 0 is the leaf with facets ``8 b .. 8 b + 7``. The top level holds at most eight boxes, starting at
``level_start[-1]``. A stack for a descent holds at most 7 siblings for each level but the last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.threads import run_ranges

WIDTH = 8
_GRAIN_LEAVES = 4096


class Bvh(NamedTuple):
    """The tree, as kernels take it too.

    ``corners`` (9, 8 * leaves) float32: rows ax ay az bx by bz cx cy cz relative to ``centre``, padded with NaN.

    ``boxes`` (6, boxes) float32: rows lo x y z, hi x y z, relative to ``centre``, widened so that they hold the
    float64 facets too; empty boxes are lo = +inf, hi = -inf. ``level_start`` (levels,) int64. ``centre`` (3,) float64
    is the middle of the model's box, ``diagonal`` (mm) its size.
    """

    corners: NDArray[np.float32]
    boxes: NDArray[np.float32]
    level_start: NDArray[np.int64]
    centre: NDArray[np.float64]
    diagonal: float


@inlined
def first_child(level_start, box, level):
    """First of the eight children of a box of ``level`` > 0."""
    return level_start[level - 1] + WIDTH * (box - level_start[level])


def build_bvh(mesh: Mesh, threads: int) -> Bvh:
    """Build the tree: O(n), 36 bytes a facet for the corners and 3.5 for the boxes."""
    lo, hi = mesh.box()
    centre = (lo + hi) / 2
    pad = np.float32(np.abs(hi - centre).max() * 2.0**-22)
    leaves = -(-mesh.facet_count // WIDTH)
    starts, sizes = [0], [-(-leaves // WIDTH) * WIDTH]
    while sizes[-1] > WIDTH:
        starts.append(starts[-1] + sizes[-1])
        sizes.append(-(-(sizes[-1] // WIDTH) // WIDTH) * WIDTH)
    boxes = np.empty((6, starts[-1] + sizes[-1]), np.float32)
    boxes[:3], boxes[3:] = np.inf, -np.inf
    corners = np.full((9, leaves * WIDTH), np.nan, np.float32)
    run_ranges(_fill_leaves, leaves, _GRAIN_LEAVES, threads, mesh.vertices, mesh.facets, centre, pad, corners, boxes)
    for start, size, below in zip(starts[1:], sizes[1:], starts, strict=False):
        parents = (start - below) // WIDTH
        run_ranges(_fill_level, min(parents, size), _GRAIN_LEAVES, threads, start, below, boxes)
    return Bvh(corners, boxes, np.array(starts, np.int64), centre, float(np.linalg.norm(hi - lo)))


@kernel
def _fill_leaves(lo, hi, vertices, facets, centre, pad, corners, boxes):
    for leaf in range(lo, hi):
        for axis in range(3):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for facet in range(leaf * WIDTH, min(leaf * WIDTH + WIDTH, len(facets))):
                for corner in range(3):
                    x = np.float32(vertices[facets[facet, corner], axis] - centre[axis])
                    corners[3 * corner + axis, facet] = x
                    low, high = min(low, x), max(high, x)
            boxes[axis, leaf] = low - pad
            boxes[3 + axis, leaf] = high + pad


@kernel
def _fill_level(lo, hi, start, below, boxes):
    for box in range(lo, hi):
        for axis in range(3):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for child in range(below + box * WIDTH, below + box * WIDTH + WIDTH):
                low, high = min(low, boxes[axis, child]), max(high, boxes[3 + axis, child])
            boxes[axis, start + box] = low
            boxes[3 + axis, start + box] = high
