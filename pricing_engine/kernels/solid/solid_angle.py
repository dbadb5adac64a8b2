"""Solid angles of the caps that close a surface: exact near by, one dipole for a box of their tree that is far away.

Near: Van Oosterom and Strackee 1983. Far: Barill et al., "Fast winding numbers for soups and clouds", 2018, of order
one. O(log n) a point away from the caps.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.stack import pop, push
from pricing_engine.kernels.runtime.vec3 import cross, dot, point
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, first_child

_FAR = 3.0  # a box is one dipole where it is this many radii away
_MIDDLE, _RADIUS = 3, 6  # columns of the dipoles, after the area vector


class Caps(NamedTuple):
    """The caps of a closed mesh, from facet ``first`` on: ``level_start`` of their tree and :func:`cap_dipoles`."""

    first: Any
    level_start: Any
    dipoles: Any


def cap_dipoles(mesh: Mesh, tree: Bvh) -> NDArray[np.float64]:
    """For each box of the tree (boxes, 7): summed area vector, area-weighted middle, radius."""
    corners = mesh.vertices[mesh.facets] - tree.centre
    vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    area = np.linalg.norm(vector, axis=1)
    sums = np.zeros((tree.boxes.shape[1] * WIDTH, 7))
    sums[: len(area), :3] = vector
    sums[: len(area), 3:6] = corners.mean(axis=1) * area[:, None]
    sums[: len(area), 6] = area
    dipoles = np.zeros((tree.boxes.shape[1], 7))
    below = sums.reshape(-1, WIDTH, 7).sum(axis=1)[: len(dipoles)]
    ends = [*tree.level_start[1:], len(dipoles)]
    for start, end in zip(tree.level_start, ends, strict=True):
        level = np.zeros((end - start, 7))
        filled = min(len(level), len(below))
        level[:filled] = below[:filled]
        dipoles[start:end] = level
        below = level.reshape(-1, WIDTH, 7).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.where(dipoles[:, 6:] > 0, dipoles[:, 3:6] / dipoles[:, 6:], 0.0)
        reach = np.maximum(np.abs(tree.boxes[:3].T - middle), np.abs(tree.boxes[3:].T - middle))
    radius = np.linalg.norm(np.where(np.isfinite(reach), reach, 0.0), axis=1)
    return np.ascontiguousarray(np.column_stack([dipoles[:, :3], middle, radius]))


@inlined
def _from_point(x, y, z, moved, v):
    """Return the vector from the (unsheared) point x, y, z to a sheared vertex."""
    height = moved[v, 2]
    return moved[v, 0] + SHEAR_X * height - x, moved[v, 1] + SHEAR_Y * height - y, height - z


@inlined
def _solid_angle(x, y, z, moved, facets, f):
    """Solid angle of facet f from the (unsheared) point x, y, z; positive from inside."""
    a, b, c = (
        _from_point(x, y, z, moved, facets[f, 0]),
        _from_point(x, y, z, moved, facets[f, 1]),
        _from_point(x, y, z, moved, facets[f, 2]),
    )
    la, lb, lc = math.sqrt(dot(a, a)), math.sqrt(dot(b, b)), math.sqrt(dot(c, c))
    return 2 * math.atan2(dot(cross(a, b), c), la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb)


@kernel
def caps_angle(x, y, z, moved, facets, caps, stack, work, line):
    """Solid angle of all :class:`Caps` from the sheared point (x, y, z); ``work[line]`` grows by the terms it took."""
    level_start, dipoles = caps.level_start, caps.dipoles
    x, y = x + SHEAR_X * z, y + SHEAR_Y * z
    total = 0.0
    last = len(level_start) - 1
    depth = 0
    for box in range(level_start[last], len(dipoles)):
        depth = push(stack, depth, box, last)
    while depth > 0:
        depth, box, level = pop(stack, depth)
        work[line] += 1
        d = dipoles[box, _MIDDLE] - x, dipoles[box, _MIDDLE + 1] - y, dipoles[box, _MIDDLE + 2] - z
        square = dot(d, d)
        reach = _FAR * dipoles[box, _RADIUS]
        if square > reach * reach:
            total += dot(d, point(dipoles, box)) / (square * math.sqrt(square))
        elif level > 0:
            first = first_child(level_start, box, level)
            for child in range(first, first + WIDTH):
                depth = push(stack, depth, child, level - 1)
        else:
            first = caps.first + WIDTH * box
            for f in range(first, min(first + WIDTH, len(facets))):
                total += _solid_angle(x, y, z, moved, facets, f)
                work[line] += 1
    return total
