"""Naive twins of the thickness kernels: every facet against every other, the definition spelled out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh

Floats = NDArray[np.float64]


def frames(mesh: Mesh) -> tuple[Floats, Floats, Floats]:
    """Return corners (F, 3, 3), centroids (F, 3), outward unit normals (F, 3), NaN for facets without area."""
    corners = mesh.vertices[mesh.facets]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit = np.divide(normals, length, out=np.full_like(normals, np.nan), where=length > 0)
    return corners, corners.mean(axis=1), unit


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


def sphere_thickness(mesh: Mesh, ray: Floats, halvings: int = 60) -> Floats:
    """(F,) diameter of the largest sphere tangent at p that no facing facet enters; the ray thickness where none faces.

    The spheres tangent at p are nested: by diameter d, the one about p + m d / 2. The least that touches a facet is
    found by bisection, with the facet's closest point to the centre. Exact up to rounding, O(F^2 halvings).
    """
    corners, centroids, normals = frames(mesh)
    thickness = ray.copy()
    for facet, (p, n) in enumerate(zip(centroids, normals, strict=True)):
        walls = corners[normals @ n < np.cos(np.radians(115))] - p
        height = walls @ -n
        with np.errstate(divide="ignore", invalid="ignore"):
            at_corners = np.where(height > 1e-12, np.sum(walls**2, axis=2) / height, np.inf)
        large = at_corners.min(axis=1, initial=np.inf)
        walls, large = walls[np.isfinite(large)], large[np.isfinite(large)]  # others lie behind the tangent plane
        small = np.zeros_like(large)
        for _ in range(halvings):
            middle = (small + large) / 2
            q = closest_points(walls, -n * middle[:, None] / 2)
            touched = np.sum(q**2, axis=1) <= middle * (q @ -n)  # |q - centre| <= d / 2 without cancellation
            small, large = np.where(touched, small, middle), np.where(touched, middle, large)
        if len(large):
            thickness[facet] = large.min()
    return thickness


def closest_points(triangles: Floats, points: Floats) -> Floats:
    """(F, 3) point of each triangle (F, 3, 3) that is closest to the point (F, 3) of the same row."""
    a, e, f = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal = np.cross(e, f)
    flat = points - normal * (np.sum((points - a) * normal, axis=1) / np.sum(normal**2, axis=1))[:, None]
    candidates, valid = [flat], [np.ones(len(points), bool)]
    for corner in range(3):
        start, along = triangles[:, corner], triangles[:, (corner + 1) % 3] - triangles[:, corner]
        valid[0] &= np.sum(np.cross(along, flat - start) * normal, axis=1) >= 0
        share = np.clip(np.sum((points - start) * along, axis=1) / np.sum(along**2, axis=1), 0, 1)
        candidates.append(start + along * share[:, None])
        valid.append(np.ones(len(points), bool))
    distances = [
        np.where(ok, np.sum((c - points) ** 2, axis=1), np.inf) for c, ok in zip(candidates, valid, strict=True)
    ]
    closest: Floats = np.stack(candidates)[np.argmin(distances, axis=0), np.arange(len(points))]
    return closest
