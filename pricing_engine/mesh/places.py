"""Points on a model that show where a finding is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh

Places = tuple[tuple[float, float, float], ...]

MOST_PLACES = 8
"""Points that a finding shows at most."""


def spread(found: NDArray[np.integer]) -> NDArray[np.integer]:
    """At most :data:`MOST_PLACES` of ``found``, evenly spaced: in canonical order these are spread over the model."""
    count = min(len(found), MOST_PLACES)
    return found[np.arange(count) * len(found) // max(count, 1)]


def facet_places(mesh: Mesh, facets: NDArray[np.integer]) -> Places:
    """The middles (mm) of some of the facets."""
    return as_places(mesh.vertices[mesh.facets[spread(facets)]].mean(axis=1))


def edge_places(mesh: Mesh, facet: NDArray[np.integer], corner: NDArray[np.integer]) -> Places:
    """The middles (mm) of some of the edges, each from ``corner`` of ``facet`` to the next, each once."""
    rows = spread(np.arange(len(facet)))
    start, end = mesh.facets[facet[rows], corner[rows]], mesh.facets[facet[rows], (corner[rows] + 1) % 3]
    return tuple(dict.fromkeys(as_places((mesh.vertices[start] + mesh.vertices[end]) / 2)))


def first_members(group: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The first member (count,) of each group, for the group (n,) of each of n members."""
    first = np.zeros(count, np.int64)
    first[group[::-1]] = np.arange(len(group) - 1, -1, -1)
    return first


def as_places(points: NDArray[np.floating]) -> Places:
    """Points (n, 3) as plain numbers."""
    return tuple((float(x), float(y), float(z)) for x, y, z in points)
