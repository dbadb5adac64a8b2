"""Fans, facets around one vertex, that a plane through it keeps apart.

The boxes of a fan's leaves all overlap at its hub, so a tree alone would compare all of n facets with all others. Two
leaves of a fan are tried as wholes instead: the plane that halves the angle between their mean directions from the hub
mostly has one of them on each side. O(1) a pair of leaves; it never keeps apart what comes nearer than asked.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel, uncounted
from pricing_engine.kernels.spatial.bvh import WIDTH


@kernel
def find_hubs(lo, hi, vertices, facets, hub, axis):
    """The vertex that all facets of a leaf share, or -1, and the mean direction (unit) from it."""
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
def fans_apart(leaf, other, hub, axis, vertices, facets, near):
    """Whether the plane that halves the angle of two fans around ``hub`` keeps all their other corners apart."""
    x, y, z = axis[leaf, 0] - axis[other, 0], axis[leaf, 1] - axis[other, 1], axis[leaf, 2] - axis[other, 2]
    size = abs(x) + abs(y) + abs(z)
    for side in range(2):
        fan, sign = (leaf, 1.0) if side == 0 else (other, -1.0)
        for f in range(fan * WIDTH, min(fan * WIDTH + WIDTH, len(facets))):
            for corner in range(3):
                v = facets[f, corner]
                if v == hub:
                    continue
                u0, u1, u2 = (
                    vertices[v, 0] - vertices[hub, 0],
                    vertices[v, 1] - vertices[hub, 1],
                    vertices[v, 2] - vertices[hub, 2],
                )
                margin = size * (near + 2.0**-48 * max(abs(u0), abs(u1), abs(u2)))
                if not sign * (x * u0 + y * u1 + z * u2) > margin:
                    return False
    return True
