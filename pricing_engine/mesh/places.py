"""Sample points that locate a finding on the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh

Places = tuple[tuple[float, float, float], ...]

MAX_PLACES = 8
"""Most points of one finding."""


def evenly_spaced(items: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return up to :data:`MAX_PLACES` evenly spaced ``items``; canonical order distributes them over the model."""
    count = min(len(items), MAX_PLACES)
    return items[np.arange(count) * len(items) // max(count, 1)]


def facet_places(mesh: Mesh, facets: NDArray[np.integer]) -> Places:
    """Return centroids (mm) of a sample of the facets."""
    return as_places(mesh.vertices[mesh.facets[evenly_spaced(facets)]].mean(axis=1))


def edge_places(mesh: Mesh, facet: NDArray[np.integer], corner: NDArray[np.integer]) -> Places:
    """Return midpoints (mm) of a sample of the edges from ``corner`` of ``facet`` to the next, without repeats."""
    rows = evenly_spaced(np.arange(len(facet)))
    start, end = mesh.facets[facet[rows], corner[rows]], mesh.facets[facet[rows], (corner[rows] + 1) % 3]
    return tuple(dict.fromkeys(as_places((mesh.vertices[start] + mesh.vertices[end]) / 2)))


def first_members(group: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return the first member (count,) of each group; ``group`` (n,) is the group of each member."""
    first = np.zeros(count, np.int64)
    first[group[::-1]] = np.arange(len(group) - 1, -1, -1)
    return first


def as_places(points: NDArray[np.floating]) -> Places:
    """Return points (n, 3) as tuples of float."""
    return tuple((float(x), float(y), float(z)) for x, y, z in points)
