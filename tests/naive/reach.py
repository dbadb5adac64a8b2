"""Naive reach: test the ball at every facet's centroid against every facet; flood the grid with a set."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def touchable_share(mesh: trimesh.Trimesh, radius: float) -> float:
    """Return the share of area whose centroids a ball of ``radius`` can touch, regardless of its path."""
    centres = mesh.triangles_center + radius * mesh.face_normals
    nearest = np.array([_distance(mesh, centre) for centre in centres])
    return float(mesh.area_faces[nearest >= radius * 0.998].sum() / mesh.area)


def _distance(mesh: trimesh.Trimesh, point: Floats) -> float:
    """Return the distance from ``point`` to the nearest facet."""
    closest = trimesh.triangles.closest_point(mesh.triangles, np.broadcast_to(point, (len(mesh.faces), 3)))
    return float(np.linalg.norm(closest - point, axis=1).min())


def squared_distance(p: Floats, a: Floats, b: Floats, c: Floats) -> float:
    """Return the distance to a facet (Ericson, Real-Time Collision Detection, 5.1.5): one rounding per operation."""
    u, v, w = b - a, c - a, p - a
    uu, uv, vv, wu, wv = _dot(u, u), _dot(u, v), _dot(v, v), _dot(w, u), _dot(w, v)
    d3, d4, d5, d6 = wu - uu, wv - uv, wu - uv, wv - vv
    vc, vb, va = wu * d4 - d3 * wv, d5 * wv - wu * d6, d3 * d6 - d5 * d4
    s = t = 0.0
    if wu <= 0 and wv <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        s = 1.0
    elif vc <= 0 and wu >= 0 and d3 <= 0:
        s = wu / (wu - d3) if wu > d3 else 0.0
    elif d6 >= 0 and d5 <= d6:
        t = 1.0
    elif vb <= 0 and wv >= 0 and d6 <= 0:
        t = wv / (wv - d6) if wv > d6 else 0.0
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        span = (d4 - d3) + (d5 - d6)
        t = (d4 - d3) / span if span > 0 else 0.0
        s = 1.0 - t
    else:
        with np.errstate(invalid="ignore"):
            total = va + vb + vc
            s, t = vb / total, vc / total
    d = w - s * u - t * v
    return _dot(d, d)


def _dot(a: Floats, b: Floats) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def is_free(point: Floats, facets: Floats, radius: float) -> bool:
    """Return whether none of ``facets`` (n, 3, 3) is nearer than ``radius`` to the point."""
    return not any(squared_distance(point, *facet) < radius * radius for facet in facets)


def travel(free: NDArray[np.bool_]) -> set[tuple[int, ...]]:
    """Return the points of a grid ``free`` (I, J, K) that are reached from the first, which counts as free."""
    reached: set[tuple[int, ...]] = {(0, 0, 0)}
    waiting = list(reached)
    while waiting:
        point = np.array(waiting.pop())
        for axis in range(3):
            for step in (-1, 1):
                other = tuple((point + step * np.eye(3, dtype=int)[axis]).tolist())
                inside = all(0 <= at < size for at, size in zip(other, free.shape, strict=True))
                if inside and free[other] and other not in reached:
                    reached.add(other)
                    waiting.append(other)
    return reached
