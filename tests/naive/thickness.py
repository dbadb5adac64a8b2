"""Naive twins of the thickness kernels: every facet against every other, the definition spelled out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh

Floats = NDArray[np.float64]


def frames(mesh: Mesh) -> tuple[Floats, Floats, Floats]:
    """Corners (F, 3, 3), centroids (F, 3), outward unit normals (F, 3) of facets with area."""
    corners = mesh.vertices[mesh.facets]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return corners, corners.mean(axis=1), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def cast(corners: Floats, origin: Floats, direction: Floats) -> Floats:
    """(F,) distance at which the ray meets each facet, inf where it does not: solve o + t d = a + u e + v f."""
    a, e, f = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.cross(direction, f)
        determinant = np.sum(e * p, axis=1)
        u = np.sum((origin - a) * p, axis=1) / determinant
        q = np.cross(origin - a, e)
        v = q @ direction / determinant
        t = np.sum(f * q, axis=1) / determinant
        met = (u >= -1e-12) & (v >= -1e-12) & (u + v <= 1 + 1e-12) & (t > 0)
    return np.where(met, t, np.inf)


def ray_thickness(mesh: Mesh, contact: float = 0.0) -> Floats:
    """(F,) distance inward along the normal to the next facet beyond ``contact``, NaN where there is none."""
    corners, centroids, normals = frames(mesh)
    thickness = np.empty(len(corners))
    for facet, (p, n) in enumerate(zip(centroids, normals, strict=True)):
        t = cast(corners, p, -n)
        t[facet] = np.inf
        thickness[facet] = t[t > contact].min(initial=np.inf)
    return np.where(np.isfinite(thickness), thickness, np.nan)


def sphere_thickness(mesh: Mesh, ray: Floats, steps: int = 10, rounds: int = 8) -> Floats:
    """(F,) least |q-p|^2 / ((q-p).m) over a grid of points of each facing facet, refined about the best point."""
    corners, centroids, normals = frames(mesh)
    i, j = np.triu_indices(steps + 1)
    grid = np.stack([i / steps, (j - i) / steps, 1 - j / steps], axis=1)
    thickness = ray.copy()
    for facet, (p, n) in enumerate(zip(centroids, normals, strict=True)):
        walls = corners[normals @ n < np.cos(np.radians(115))] - p
        if not len(walls):
            continue
        least, weights = _least(walls, np.broadcast_to(grid, (len(walls), *grid.shape)), -n)
        for zoom in range(1, rounds):  # corners of the next grid: about the best point, kept within the facet
            finer = weights[:, None] + (grid - 1 / 3) * 0.3**zoom
            finer = np.clip(finer, 0, None)
            finer /= finer.sum(axis=2, keepdims=True)
            value, better = _least(walls, finer, -n)
            weights = np.where((value < least)[:, None], better, weights)
            least = np.minimum(least, value)
        if np.isfinite(least.min()):
            thickness[facet] = least.min()
    return thickness


def _least(walls: Floats, weights: Floats, m: Floats) -> tuple[Floats, Floats]:
    points = weights @ walls
    height = points @ m
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(height > 1e-12, np.sum(points**2, axis=2) / height, np.inf)
    best = value.argmin(axis=1)
    rows = np.arange(len(walls))
    return value[rows, best], weights[rows, best]
