"""A ray, the facets that it crosses and the leaves of the tree that it meets. All rays run in one fixed direction.

Vertices in general position (:func:`kernels.solid.winding.general_position`) are sheared so that it is +z. A
facet lies on the ray of ``(x, y)`` when the point's half line ``y = const`` crosses the projected facet's edges an odd
number of times. Each edge is decided from its two end points in index order, so the two facets at an edge always agree.
The tree is not sheared: its boxes are compared with the ray as it runs, eight at a time.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import at_most8, double8, load8, lowest_bit, max8, min8, splat8
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import cross, edge
from pricing_engine.kernels.spatial.bvh import first_child

SHEAR_X, SHEAR_Y = 0.31830988618379067, 0.22507907903927651  # the rays' direction is (SHEAR_X, SHEAR_Y, 1)


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
    n = cross(edge(moved, a, b), edge(moved, a, c))
    return ((moved[a, 0] - x) * n[0] + (moved[a, 1] - y) * n[1] + (moved[a, 2] - z) * n[2]) / n[2]


@inlined
def _on_ray8(x, y, z, up, boxes, first):
    """Mask of the eight boxes of the tree (not sheared) from ``first`` on that the ray from a sheared point meets.

    The ray runs upwards, or not ``up``: downwards.
    """
    slope_x, slope_y = splat8(1 / SHEAR_X), splat8(1 / SHEAR_Y)
    ox, oy, oz = splat8(x + SHEAR_X * z), splat8(y + SHEAR_Y * z), splat8(z)
    near = max8(splat8(0.0 if up else -np.inf), double8(load8(boxes, 2, first)) - oz)
    near = max8(near, (double8(load8(boxes, 0, first)) - ox) * slope_x)
    near = max8(near, (double8(load8(boxes, 1, first)) - oy) * slope_y)
    far = min8(splat8(np.inf if up else 0.0), double8(load8(boxes, 5, first)) - oz)
    far = min8(far, (double8(load8(boxes, 3, first)) - ox) * slope_x)
    far = min8(far, (double8(load8(boxes, 4, first)) - oy) * slope_y)
    return at_most8(near, far)


@inlined
def _push_boxes(x, y, z, up, boxes, first, level, stack, depth):
    near = _on_ray8(x, y, z, up, boxes, first)
    while near:
        depth = push(stack, depth, first + lowest_bit(near), level)
        near &= near - 1
    return depth


@inlined
def start_ray(x, y, z, up, boxes, level_start, stack):
    """Push the boxes of the top level that the ray from a sheared point meets; returns the depth of the stack."""
    last = len(level_start) - 1
    return _push_boxes(x, y, z, up, boxes, level_start[last], last, stack, 0)


@inlined
def next_leaf(x, y, z, up, boxes, level_start, stack, depth):
    """Descend to the next leaf that the ray meets: its number, or -1; the new depth; and how many boxes were opened."""
    opened = 0
    while depth > 0:
        depth, box, level = pop(stack, depth)
        opened += 1
        if level == 0:
            return box, depth, opened
        depth = _push_boxes(x, y, z, up, boxes, first_child(level_start, box, level), level - 1, stack, depth)
    return np.int64(-1), depth, opened


@inlined
def may_cross8(x, y, pad, corners, base):
    """Mask of the eight facets from ``base`` on that :func:`crossing` must test; it is 0 for the others.

    ``corners`` are the tree's, in float32 and neither sheared nor moved: ``pad`` is more than the difference.
    """
    px, py, pad8 = splat8(np.float32(x)), splat8(np.float32(y)), splat8(pad)
    shear_x, shear_y = splat8(np.float32(SHEAR_X)), splat8(np.float32(SHEAR_Y))
    az, bz, cz = load8(corners, 2, base), load8(corners, 5, base), load8(corners, 8, base)
    a, b, c = (
        load8(corners, 1, base) - shear_y * az,
        load8(corners, 4, base) - shear_y * bz,
        load8(corners, 7, base) - shear_y * cz,
    )
    mask = at_most8(min8(a, min8(b, c)), py + pad8) & at_most8(py - pad8, max8(a, max8(b, c)))
    if mask == 0:
        return mask
    a, b, c = (
        load8(corners, 0, base) - shear_x * az,
        load8(corners, 3, base) - shear_x * bz,
        load8(corners, 6, base) - shear_x * cz,
    )
    return mask & at_most8(min8(a, min8(b, c)), px + pad8) & at_most8(px - pad8, max8(a, max8(b, c)))
