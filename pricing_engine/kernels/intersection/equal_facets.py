"""Facets on the same three vertices, and facets without area: exact. O(n log n)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.predicates import orient2d
from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import run_ranges

_GRAIN = 8192


def first_equals(facets: Ints) -> Ints:
    """For each facet (F,) int32 the first one with the same three vertices, in any order; itself if none is before.

    O(n log n).
    """
    corners = np.sort(facets, axis=1)
    order = np.lexsort(corners.T)  # stable: equal facets stay in order
    ordered = corners[order]
    begins = np.ones(len(facets), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(facets), np.int32)
    first[order] = order[begins][np.cumsum(begins) - 1]
    return first


def have_area(mesh: Mesh, threads: int) -> NDArray[np.bool_]:
    """Whether each facet (F,) has an interior: exact. O(n)."""
    proper = np.empty(mesh.facet_count, np.bool_)
    run_ranges(_have_area, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, proper)
    return proper


@kernel
def _have_area(lo, hi, v, facets, proper):
    for f in range(lo, hi):
        a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
        proper[f] = False
        if b in (a, c) or a == c:
            continue
        for x, y in ((0, 1), (1, 2), (2, 0)):
            if orient2d(v[a, x], v[a, y], v[b, x], v[b, y], v[c, x], v[c, y]) != 0:
                proper[f] = True
                break
