"""The traversals behind repair: consistent winding and renumbering.

A breadth-first search carries the winding from facet to facet over edges that exactly two facets share; in each patch
so reached the facets that disagree with the majority are to be flipped. One visit a facet, O(n).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import kernel


@kernel
def may_repeat(facets, neighbours):
    """(F,) bool: which facets may repeat another: not those with an edge shared with one facet on other vertices."""
    found = np.ones(len(facets), np.bool_)
    for facet in range(len(facets)):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        for corner in range(3):
            other = neighbours[facet, corner]
            if other >= 0:
                x, y, z = facets[other, 0], facets[other, 1], facets[other, 2]
                same = (a in (x, y, z)) and (b in (x, y, z)) and (c in (x, y, z))
                found[facet] = found[facet] and same
    return found


@kernel
def minority_flips(facets, neighbours):
    """(F,) uint8: one where the facet must be flipped. Ties keep the patch's first facet as it is."""
    flip = np.zeros(len(facets), np.uint8)
    visited = np.zeros(len(facets), np.uint8)
    queue = np.empty(len(facets), np.int32)
    for seed in range(len(facets)):
        if visited[seed]:
            continue
        visited[seed] = 1
        queue[0] = seed
        head, tail, flipped = 0, 1, 0
        while head < tail:
            facet = queue[head]
            head += 1
            for corner in range(3):
                other = neighbours[facet, corner]
                if other < 0 or visited[other]:
                    continue
                a, b = facets[facet, corner], facets[facet, (corner + 1) % 3]
                same = False
                for k in range(3):
                    if neighbours[other, k] == facet and facets[other, k] == a and facets[other, (k + 1) % 3] == b:
                        same = True
                flip[other] = flip[facet] ^ same
                flipped += flip[other]
                visited[other] = 1
                queue[tail] = other
                tail += 1
        if 2 * flipped > tail:
            for i in range(tail):
                flip[queue[i]] ^= 1
    return flip


@kernel
def renumber(vertices, facets):
    """Vertices and facets renumbered by first appearance, without vertices that no facet uses."""
    number = np.full(len(vertices), -1, np.int32)
    old = np.empty(len(vertices), np.int32)
    out = np.empty_like(facets)
    count = 0
    for facet in range(len(facets)):
        for corner in range(3):
            v = facets[facet, corner]
            if number[v] < 0:
                number[v] = count
                old[count] = v
                count += 1
            out[facet, corner] = number[v]
    moved = np.empty((count, 3), np.float64)
    for v in range(count):
        for axis in range(3):
            moved[v, axis] = vertices[old[v], axis]
    return moved, out
