"""Where a ray meets facets, in float64 by Moeller and Trumbore, each facet by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def crossings(corners: Floats, origin: Any, direction: Any) -> tuple[Floats, Floats]:
    """Return the distance (F,) to each facet's plane along a unit direction, and the least barycentric coordinate.

    The ray meets the facets whose coordinate is at least 0; NaN for facets parallel to the ray or without area.
    """
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(direction, v)
    determinant = (p * u).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        w = origin - a
        s = (p * w).sum(axis=1) / determinant
        q = np.cross(w, u)
        t = (q * direction).sum(axis=1) / determinant
        distance = (q * v).sum(axis=1) / determinant
        inside = np.minimum(np.minimum(s, t), 1 - s - t)
    return distance, np.where(np.isfinite(distance), inside, np.nan)
