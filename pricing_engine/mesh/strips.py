"""Triangle strips, as PLY and glTF store them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.raw_mesh import has_distinct_corners


def cut_strips(starts: NDArray[np.int64], corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the facets (F, 3) of the strips ``corners[starts[i]:starts[i + 1]]``; a -1 ends a strip early. O(n).

    Facet k of a strip is (k, k + 1, k + 2), reversed for odd k. Facets with a repeated corner only join strips and are
    dropped.
    """
    is_first = np.zeros(len(corners), bool)
    is_first[starts[:-1][np.diff(starts) > 0]] = True
    is_end = corners == -1
    is_first[1:] |= is_end[:-1]
    position = np.arange(len(corners))
    in_strip = position - np.maximum.accumulate(np.where(is_first, position, 0))
    third = np.flatnonzero((in_strip >= 2) & ~is_end)
    odd = (in_strip[third] & 1).astype(np.int64)
    facets = np.stack([corners[third - 2 + odd], corners[third - 1 - odd], corners[third]], axis=1)
    return facets[has_distinct_corners(facets)]
