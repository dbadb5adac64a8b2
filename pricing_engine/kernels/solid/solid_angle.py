"""Solid angles of the caps that close a surface: exact near by, one dipole for a box of their tree that is far away.

Near: Van Oosterom and Strackee 1983. Far: Barill et al., "Fast winding numbers for soups and clouds", 2018, of order
one. O(log n) a point away from the caps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh

_FAR = 3.0  # a box is one dipole where it is this many radii away


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
def _solid_angle(x, y, z, moved, facets, f):
    """Solid angle of facet f from the (unsheared) point x, y, z; positive from inside."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    az, bz, cz = moved[a, 2], moved[b, 2], moved[c, 2]
    ax, ay = moved[a, 0] + SHEAR_X * az - x, moved[a, 1] + SHEAR_Y * az - y
    bx, by = moved[b, 0] + SHEAR_X * bz - x, moved[b, 1] + SHEAR_Y * bz - y
    cx, cy = moved[c, 0] + SHEAR_X * cz - x, moved[c, 1] + SHEAR_Y * cz - y
    az, bz, cz = az - z, bz - z, cz - z
    la, lb, lc = (
        math.sqrt(ax * ax + ay * ay + az * az),
        math.sqrt(bx * bx + by * by + bz * bz),
        math.sqrt(cx * cx + cy * cy + cz * cz),
    )
    top = (ay * bz - az * by) * cx + (az * bx - ax * bz) * cy + (ax * by - ay * bx) * cz
    ab, bc, ca = ax * bx + ay * by + az * bz, bx * cx + by * cy + bz * cz, cx * ax + cy * ay + cz * az
    return 2 * math.atan2(top, la * lb * lc + ab * lc + bc * la + ca * lb)


@kernel
def caps_angle(x, y, z, moved, facets, first_cap, level_start, dipoles, stack, work, line):
    """Solid angle of all caps from the sheared point (x, y, z); ``work[line]`` grows by the terms it took."""
    x, y = x + SHEAR_X * z, y + SHEAR_Y * z
    total = 0.0
    top = 0
    last = len(level_start) - 1
    for box in range(level_start[last], len(dipoles)):
        stack[top, 0], stack[top, 1] = box, last
        top += 1
    while top > 0:
        top -= 1
        work[line] += 1
        box, level = stack[top, 0], stack[top, 1]
        dx, dy, dz = dipoles[box, 3] - x, dipoles[box, 4] - y, dipoles[box, 5] - z
        square = dx * dx + dy * dy + dz * dz
        reach = _FAR * dipoles[box, 6]
        if square > reach * reach:
            dot = dx * dipoles[box, 0] + dy * dipoles[box, 1] + dz * dipoles[box, 2]
            total += dot / (square * math.sqrt(square))
        elif level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                stack[top, 0], stack[top, 1] = child, level - 1
                top += 1
        else:
            first = first_cap + WIDTH * box
            for f in range(first, min(first + WIDTH, len(facets))):
                total += _solid_angle(x, y, z, moved, facets, f)
                work[line] += 1
    return total
