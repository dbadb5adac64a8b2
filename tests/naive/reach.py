"""Reach, the obvious way: try the ball at every facet's centroid against every facet, walk the grid with a set."""

from __future__ import annotations

import numpy as np
import trimesh


def touchable_share(mesh: trimesh.Trimesh, radius: float) -> float:
    """Share of area whose centroids a ball of ``radius`` can touch, without asking how it got there."""
    centres = mesh.triangles_center + radius * mesh.face_normals
    nearest = np.array([_distance(mesh, centre) for centre in centres])
    return float(mesh.area_faces[nearest >= radius * 0.998].sum() / mesh.area)


def _distance(mesh: trimesh.Trimesh, point: np.ndarray) -> float:
    """From ``point`` to the nearest of all facets."""
    closest = trimesh.triangles.closest_point(mesh.triangles, np.broadcast_to(point, (len(mesh.faces), 3)))
    return float(np.linalg.norm(closest - point, axis=1).min())
