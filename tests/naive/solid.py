"""Winding numbers and volumes in a few obvious lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def signed_volume(triangles: Floats) -> float:
    """Volume (mm3) of ``triangles`` (n, 3, 3), overlaps counted twice."""
    return float(np.einsum("ni,ni->n", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6)


def generalized_winding(triangles: Floats, points: Floats) -> Floats:
    """Solid angle of ``triangles`` (n, 3, 3) over 4 pi from each of ``points`` (m, 3)."""
    total = np.zeros(len(points))
    for triangle in triangles:
        a, b, c = triangle[:, None] - points
        la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
        top = np.einsum("ni,ni->n", a, np.cross(b, c))
        dots = [np.einsum("ni,ni->n", u, v) for u, v in ((a, b), (b, c), (c, a))]
        total += 2 * np.arctan2(top, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb)
    return total / (4 * np.pi)


def sampled_volume(triangles: Floats, level: float, steps: int) -> float:
    """Volume (mm3) where the generalized winding number is at least ``level``, on a grid of ``steps`` cells a side."""
    lo, hi = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    axes = [lo[k] + (np.arange(steps) + 0.5) / steps * (hi[k] - lo[k]) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return float((generalized_winding(triangles, points) >= level).mean() * np.prod(hi - lo))
