"""Fans, facets around one vertex, that a plane through it separates.

The boxes of a fan's leaves all overlap at its hub, so a tree alone would compare all of n facets with all others. Two
leaves of a fan are tested as a unit instead: the plane that halves the angle between their mean directions from the hub
mostly has one of them on each side. O(1) a pair of leaves; no pair nearer than ``near`` is ever separated.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel, uncounted
from pricing_engine.kernels.runtime.vec3 import dot, edge
from pricing_engine.kernels.spatial.bvh import WIDTH


@kernel
def find_hubs(lo, hi, vertices, facets, hub, axis):
    """Find the vertex that all facets of a leaf share, or -1, and the mean direction (unit) from it."""
    for leaf in range(lo, hi):
        hub[leaf] = -1
        end = min(leaf * WIDTH + WIDTH, len(facets))
        for corner in range(3):
            v = facets[leaf * WIDTH, corner]
            shared = True
            for f in range(leaf * WIDTH + 1, end):
                shared = shared and (facets[f, 0] == v or facets[f, 1] == v or facets[f, 2] == v)
            if shared:
                hub[leaf] = v
        if hub[leaf] < 0:
            continue
        x = y = z = 0.0
        for f in range(leaf * WIDTH, end):
            for corner in range(3):
                x += vertices[facets[f, corner], 0] - vertices[hub[leaf], 0]
                y += vertices[facets[f, corner], 1] - vertices[hub[leaf], 1]
                z += vertices[facets[f, corner], 2] - vertices[hub[leaf], 2]
        length = max(np.sqrt(x * x + y * y + z * z), 1e-300)
        axis[leaf, 0], axis[leaf, 1], axis[leaf, 2] = x / length, y / length, z / length


@uncounted
def fans_separated(leaf, other, hub, axis, vertices, facets, near):
    """Whether the plane that halves the angle of two fans around ``hub`` separates all their other corners."""
    normal = edge(axis, other, leaf)
    size = abs(normal[0]) + abs(normal[1]) + abs(normal[2])
    for side in range(2):
        fan, sign = (leaf, 1.0) if side == 0 else (other, -1.0)
        for f in range(fan * WIDTH, min(fan * WIDTH + WIDTH, len(facets))):
            for corner in range(3):
                v = facets[f, corner]
                if v == hub:
                    continue
                u = edge(vertices, hub, v)
                margin = size * (near + 2.0**-48 * max(abs(u[0]), abs(u[1]), abs(u[2])))
                if not sign * dot(normal, u) > margin:
                    return False
    return True
