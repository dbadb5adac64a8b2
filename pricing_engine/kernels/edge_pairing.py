"""Pair the facets at edges that more than two share, so that a mesh falls into shells, each closed by itself.

Round such an edge every facet begins or ends material. Sorted by angle they match like brackets: each that begins
material with the next that ends it, the inner pairs first; within a patch, connected over edges of just two facets,
where it has as many of both at the edge, then among what is left. So two solids that share an edge or a whole face fall
apart, whichever of them is inside out. Facets that lie on one another are taken as if each patch lay a little further
along its normal than those before it, the same order at all edges of the patch, and as if what ends there came before
what begins: solids side by side stay apart. O(k log k) in the facets at such edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import kernel
from pricing_engine.mesh.model import Mesh

Longs = NDArray[np.int64]

_SAME_ANGLE = 1e-6


def pair_links(mesh: Mesh, neighbours: NDArray[np.int32], patch: NDArray[np.int32]) -> NDArray[np.int32]:
    """``neighbours`` (F, 3) with the facet that each is paired with at a shared edge instead of -1.

    ``patch`` (F,) int32: components over ``neighbours``. What remains -1 is a border: an edge of one facet alone, or of
    a facet too many in one direction.
    """
    facet, corner = np.nonzero(neighbours < 0)
    start, end = mesh.facets[facet, corner], mesh.facets[facet, (corner + 1) % 3]
    tip = mesh.facets[facet, (corner + 2) % 3].astype(np.int64)
    low, high = np.minimum(start, end).astype(np.int64), np.maximum(start, end).astype(np.int64)
    _, edge, uses = np.unique(low * len(mesh.vertices) + high, return_inverse=True, return_counts=True)
    shared = np.flatnonzero((uses[edge] > 1) & (low != high))
    if len(shared) == 0:
        return neighbours
    facet, corner, low, high, tip, edge = (rows[shared] for rows in (facet, corner, low, high, tip, edge))
    begins = start[shared] > end[shared]
    angle = _angles(mesh.vertices, low, high, tip, edge)
    order = np.lexsort((angle, edge))
    apart = (np.diff(angle[order]) > _SAME_ANGLE) | (np.diff(edge[order]) > 0)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(np.append(False, apart))
    layer = np.where(begins, -1, 1) * patch[facet]
    patches = int(patch.max()) + 1
    _, group = np.unique(edge * patches + patch[facet], return_inverse=True)
    even = np.bincount(group, np.where(begins, 1, -1)) == 0
    group = np.where(even[group], group, len(even) + edge)
    order = np.lexsort((layer, begins, place, group))
    partner = np.empty(len(order), np.int64)
    _match_brackets(group[order], begins[order], partner)
    links = neighbours.copy()
    links[facet[order], corner[order]] = np.where(partner < 0, -1, facet[order][partner])
    return links


def _angles(vertices: NDArray[np.float64], low: Longs, high: Longs, tip: Longs, edge: Longs) -> NDArray[np.float64]:
    """Angle of each facet's tip round its edge, from the first facet of that edge on."""
    along = vertices[high] - vertices[low]
    out = vertices[tip] - vertices[low]
    _, first = np.unique(edge, return_index=True)
    row = np.searchsorted(edge[first], edge)
    ahead = np.cross(along, out)
    zero = ahead[first][row]  # across the first facet of the edge
    length = np.linalg.norm(along, axis=1)
    sine = np.einsum("ni,ni->n", along, np.cross(zero, ahead))
    cosine = np.einsum("ni,ni->n", zero, ahead) * length
    angle: NDArray[np.float64] = np.arctan2(sine, cosine)
    return np.where(angle < _SAME_ANGLE - np.pi, angle + 2 * np.pi, angle)


@kernel
def _match_brackets(group, begins, partner):
    """``partner``: the row that each is matched with, -1 where it has none; rows of one group lie side by side."""
    stack, early = np.empty(len(group), np.int64), np.empty(len(group), np.int64)
    first = 0
    while first < len(group):
        last, top, waiting = first, 0, 0
        while last < len(group) and group[last] == group[first]:
            partner[last] = -1
            if begins[last]:
                stack[top] = last
                top += 1
            elif top > 0:
                top -= 1
                partner[last], partner[stack[top]] = stack[top], last
            else:
                early[waiting] = last
                waiting += 1
            last += 1
        for i in range(min(top, waiting)):  # round the circle: the last that begins, with the first that ends
            row = stack[top - 1 - i]
            partner[early[i]], partner[row] = row, early[i]
        first = last
