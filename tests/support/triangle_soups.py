"""Small meshes for kernels: soups on a lattice, where repeated corners, shared edges and ties are common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def lattice_facets(rng: np.random.Generator, count: int, side: int = 3, proper: bool = False) -> NDArray[np.float64]:
    """Return corners (F, 3, 3) of whole numbers 0 .. ``side``; without repeated corners in a facet if ``proper``."""
    corners = rng.integers(0, side + 1, (count, 3, 3)).astype(np.float64)
    while proper:
        bad = (corners == np.roll(corners, 1, axis=1)).all(axis=2).any(axis=1)
        if not bad.any():
            break
        corners[bad] = rng.integers(0, side + 1, (int(bad.sum()), 3, 3))
    return corners


def along_x(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the facets sorted along x, which is enough of an order for a tree."""
    return corners[np.lexsort(corners.mean(axis=1).T[::-1])]
