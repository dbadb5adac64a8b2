"""Pair the facets at edges that more than two share, so that a mesh falls into shells, each closed by itself.

Round such an edge every facet begins or ends material. Sorted by angle they match like brackets: each that begins
material with the next that ends it, the inner pairs first; within a patch, connected over edges of just two facets,
where it has as many of both at the edge, then among what is left. So two solids that share an edge or a whole face are
separated, whichever of them is inside out. Coincident facets are taken as if each patch lay a little further
along its normal than those before it, the same order at all edges of the patch, and as if what ends there lay before
what begins: solids side by side stay separate. O(k log k) in the facets at such edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge

Longs = NDArray[np.int64]

_SAME_ANGLE = 1e-6
_FEW = 32


def pair_links(mesh: Mesh, neighbours: NDArray[np.int32], patch: NDArray[np.int32]) -> NDArray[np.int32]:
    """``neighbours`` (F, 3) with the facet that each is paired with at a shared edge instead of -1.

    ``patch`` (F,) int32: components over ``neighbours``. What remains -1 is a border: an edge of one facet alone, or of
    a facet too many in one direction.
    """
    facet, corner = np.nonzero(neighbours < 0)
    start, end = mesh.facets[facet, corner].astype(np.int64), mesh.facets[facet, (corner + 1) % 3].astype(np.int64)
    edge = _numbered(np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end))
    shared = np.flatnonzero((np.bincount(edge)[edge] > 1) & (start != end))
    if len(shared) == 0:
        return neighbours
    facet, corner, edge, begins = facet[shared], corner[shared], edge[shared], (start > end)[shared]
    patches = int(patch.max()) + 1
    group = _numbered(edge * patches + patch[facet])
    even = np.bincount(group, np.where(begins, 1, -1)) == 0
    group = np.where(even[group], group, len(even) + edge)
    size, net = np.bincount(group), np.bincount(group, np.where(begins, 1, -1))
    crowded = size[group] > 2
    links = neighbours.copy()
    two = np.flatnonzero(~crowded & (size[group] == 2) & (net[group] == 0))
    two = two[np.argsort(group[two])]
    links[facet[two], corner[two]] = facet[two].reshape(-1, 2)[:, ::-1].ravel()
    rows = np.flatnonzero(crowded)
    if len(rows):
        rows = rows[np.argsort(group[rows], kind="stable")]
        facet, corner, group, begins = facet[rows], corner[rows], group[rows], begins[rows]
        order = np.arange(len(rows))
        angle, layer = np.empty(len(rows)), np.where(begins, -1, 1) * patch[facet].astype(np.int64)
        _measure_angles(mesh.vertices, mesh.facets, facet, corner, group, angle)
        _sort_few(group, angle, begins, layer, order)
        many = np.flatnonzero(size[group] > _FEW)
        if len(many):
            order[many] = many[_sort_many(group[many], angle[many], begins[many], layer[many])]
        partner = np.empty(len(order), np.int64)
        _match_brackets(group[order], begins[order], partner)
        links[facet[order], corner[order]] = np.where(partner < 0, -1, facet[order][partner])
    return links


def _numbered(keys: Longs) -> Longs:
    """Equal numbers from 0 on for equal keys, in their order."""
    order = np.argsort(keys)
    numbers = np.empty(len(keys), np.int64)
    numbers[order] = np.cumsum(np.append(0, np.diff(keys[order]) > 0)) if len(keys) else 0
    return numbers


@kernel
def _measure_angles(vertices, facets, facet, corner, group, angle):
    """``angle`` of each facet's tip round its edge, from the first facet of its group on."""
    zero = (0.0, 0.0, 0.0)  # the normal from which the angles of a group are measured
    for i in range(len(facet)):
        f, c = facet[i], corner[i]
        a, b, tip = facets[f, c], facets[f, (c + 1) % 3], facets[f, (c + 2) % 3]
        low, high = min(a, b), max(a, b)
        u = edge(vertices, low, high)
        normal = cross(u, edge(vertices, low, tip))
        if i == 0 or group[i] != group[i - 1]:
            zero = normal
        sine = dot(u, cross(zero, normal))
        cosine = dot(zero, normal) * np.sqrt(dot(u, u))
        turn = np.arctan2(sine, cosine)
        angle[i] = turn + 2 * np.pi if turn < _SAME_ANGLE - np.pi else turn


@inlined
def _before(i, j, begins, layer):
    """Whether row i precedes row j, both in one place round the edge."""
    if begins[i] != begins[j]:
        return begins[j]
    return layer[i] < layer[j]


@kernel
def _sort_few(group, angle, begins, layer, order):
    """Sort the rows of each group of at most :data:`_FEW`: by angle, equal ones as at the head of the file."""
    first = 0
    while first < len(group):
        last = first + 1
        while last < len(group) and group[last] == group[first]:
            last += 1
        if last - first <= _FEW:
            for i in range(first + 1, last):
                row, k = order[i], i
                while k > first and angle[order[k - 1]] > angle[row]:
                    order[k] = order[k - 1]
                    k -= 1
                order[k] = row
            place = first
            for i in range(first + 1, last):
                row, k = order[i], i
                if angle[row] - angle[order[i - 1]] > _SAME_ANGLE:
                    place = i
                while k > place and _before(row, order[k - 1], begins, layer):
                    order[k] = order[k - 1]
                    k -= 1
                order[k] = row
        first = last


def _sort_many(group: Longs, angle: NDArray[np.float64], begins: NDArray[np.bool_], layer: Longs) -> Longs:
    """Sort the rows of groups of any size as :func:`_sort_few` does; return the order."""
    order = np.lexsort((angle, group))
    differs = (np.diff(angle[order]) > _SAME_ANGLE) | (np.diff(group[order]) > 0)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(np.append(False, differs))
    return np.lexsort((layer, begins, place))


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
