"""Points at equal steps of area along the facets of a boundary.

The golden-ratio sequences make the points of one large facet a low-discrepancy set (R2, Roberts, "The unreasonable
effectiveness of quasirandom sequences", 2018). O(facets + samples).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge

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
        one, two = edge(corners, 0, 1), edge(corners, 0, 2)
        n = cross(one, two)
        length = np.sqrt(dot(n, n))
        if not length > 0:
            continue
        u, v = (sample + 0.5) * _TURN_U % 1.0, (sample + 0.5) * _TURN_V % 1.0
        if u + v > 1:
            u, v = 1 - u, 1 - v
        points[found, 0] = corners[0, 0] + u * one[0] + v * two[0] - centre[0]
        points[found, 1] = corners[0, 1] + u * one[1] + v * two[1] - centre[1]
        points[found, 2] = corners[0, 2] + u * one[2] + v * two[2] - centre[2]
        normals[found, 0], normals[found, 1], normals[found, 2] = n[0] / length, n[1] / length, n[2] / length
        found += 1
    return found
