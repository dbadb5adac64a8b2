"""Mass properties by numpy over float64 corners."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mass(vertices: Floats, facets: NDArray[np.integer]) -> dict[str, Any]:
    """Return volume, area, centre of mass and inertia, tetrahedra against the box's centre."""
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    corners = vertices[facets] - centre
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volumes = np.einsum("ij,ij->i", corners[:, 0], normals) / 6
    volume = volumes.sum()
    offset = (volumes[:, None] * corners.sum(axis=1) / 4).sum(axis=0) / volume
    moved = np.concatenate((corners, corners.sum(axis=1, keepdims=True)), axis=1)
    second = np.einsum("f,fki,fkj->ij", volumes, moved, moved) / 20 - volume * np.outer(offset, offset)
    return {
        "volume": volume,
        "area": np.linalg.norm(normals, axis=1).sum() / 2,
        "center_of_mass": centre + offset,
        "inertia": np.eye(3) * np.trace(second) - second,
    }
