"""Naive twins of the orientation kernels: a few lines of numpy each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def overhanging(triangles: Floats, down: Floats, layer_height: float, size: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the area (N,) and whether each of ``triangles`` (N, 3, 3) overhangs for the unit direction ``down``."""
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    areas = np.linalg.norm(cross, axis=1) / 2
    platform = (triangles @ down).max()
    rests = (platform - triangles @ down <= layer_height / 2 + 1e-6 * size).all(axis=1)
    return areas, (cross @ down / 2 > (np.cos(np.pi / 4) + 0.001) * areas) & ~rests


def support_volume(triangles: Floats, down: Floats, layer_height: float, columns: int = 200) -> float:
    """Return the support volume (mm3) by ``columns`` squared columns along ``down``, each against every triangle."""
    size = np.ptp(triangles.reshape(-1, 3), axis=0).max()
    u = np.cross(down, np.eye(3)[np.argmin(np.abs(down))])
    u /= np.linalg.norm(u)
    v = np.cross(down, u)
    _, overhangs = overhanging(triangles, down, layer_height, size)
    x, y, height = triangles @ u, triangles @ v, -(triangles @ down)
    platform = height.min()
    xs = x.min() + (np.arange(columns) + 0.5123) / columns * np.ptp(x)
    ys = y.min() + (np.arange(columns) + 0.4871) / columns * np.ptp(y)
    cell = np.ptp(x) * np.ptp(y) / columns**2
    double = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    solid = np.flatnonzero(np.abs(double) > 1e-12 * size**2)
    x, y, height, double, overhangs = x[solid], y[solid], height[solid], double[solid], overhangs[solid]
    total = 0.0
    for py in ys:
        weights = np.stack(
            [
                (
                    (x[:, (k + 2) % 3] - x[:, (k + 1) % 3])[:, None] * (py - y[:, (k + 1) % 3])[:, None]
                    - (y[:, (k + 2) % 3] - y[:, (k + 1) % 3])[:, None] * (xs - x[:, (k + 1) % 3, None])
                )
                / double[:, None]
                for k in range(3)
            ]
        )
        facet, column = np.nonzero((weights >= 0).all(axis=0))
        at = np.einsum("kh,hk->h", weights[:, facet, column], height[facet])
        for above in np.flatnonzero(overhangs[facet]):
            below = at[(column == column[above]) & (at < at[above] + 1e-6 * size) & (facet != facet[above])]
            total += cell * (at[above] - min(below.max(initial=platform), at[above]))
    return total


def largest_empty_balls(corners: Floats, points: Floats, normals: Floats, maximum: float) -> Floats:
    """Return diameters (S,) of balls tangent at ``points`` without a point of a grid on facets that may face up."""
    steps = np.linspace(0, 1, 25)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    weights = np.stack([u * v, u * (1 - v), 1 - u], axis=1)
    grid = weights @ corners  # (F, 625, 3)
    own = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    found = np.full(len(points), maximum)
    for k, (point, normal) in enumerate(zip(points, normals, strict=True)):
        offset = grid[own @ normal < 0.715] - point
        height = offset @ normal
        ahead = height > 1e-9
        found[k] = min(maximum, ((offset * offset).sum(axis=2)[ahead] / height[ahead]).min(initial=np.inf))
    return found
