"""Points at equal steps of area along the facets of a boundary.

The golden-ratio sequences make the points of one large facet a low-discrepancy set (R2, Roberts 2018).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel

_TURN_U, _TURN_V = 0.7548776662466927, 0.5698402909980532


@kernel
def place_samples(vertices, facets, pieces, total, centre, points, normals):
    """Fill ``points`` (S, 3), relative to ``centre``, and unit ``normals`` (S, 3); the number of those that have one.

    ``total`` (F + P,): running sum of the areas of ``facets`` (F, 3) and, behind them, of ``pieces`` (P, 3, 3).
    """
    count, found, facet = len(points), 0, 0
    step = total[-1] / count
    corners = np.empty((3, 3))
    for sample in range(count):
        while facet < len(total) - 1 and total[facet] <= (sample + 0.5) * step:
            facet += 1
        for k in range(3):
            for axis in range(3):
                if facet < len(facets):
                    corners[k, axis] = vertices[facets[facet, k], axis]
                else:
                    corners[k, axis] = pieces[facet - len(facets), k, axis]
        ux, uy, uz = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1], corners[1, 2] - corners[0, 2]
        vx, vy, vz = corners[2, 0] - corners[0, 0], corners[2, 1] - corners[0, 1], corners[2, 2] - corners[0, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        if not length > 0:
            continue
        u, v = (sample + 0.5) * _TURN_U % 1.0, (sample + 0.5) * _TURN_V % 1.0
        if u + v > 1:
            u, v = 1 - u, 1 - v
        points[found, 0] = corners[0, 0] + u * ux + v * vx - centre[0]
        points[found, 1] = corners[0, 1] + u * uy + v * vy - centre[1]
        points[found, 2] = corners[0, 2] + u * uz + v * vz - centre[2]
        normals[found, 0], normals[found, 1], normals[found, 2] = nx / length, ny / length, nz / length
        found += 1
    return found
