"""Candidate directions for down, and the extent of a model along each."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.orientation.support_bound import height_ranges
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges

CANDIDATES = 512
_HULL_FACES = 100
_GRAIN = 16_384


def candidate_directions(hull_directions: Floats) -> Floats:
    """Return unit directions (>= 500, 3): down as given, the other axes, hull faces, and a Fibonacci sphere."""
    axes = np.array([[0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]], np.float64)
    faces = hull_directions[:_HULL_FACES]
    faces = faces[(np.abs(faces).max(axis=1) < 1 - 1e-12)] if len(faces) else faces.reshape(0, 3)
    count = CANDIDATES - len(axes) - len(faces)
    k = np.arange(count) + 0.5
    z, angle = 1 - 2 * k / count, np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - z * z)
    return np.vstack([axes, faces, np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])])


def extents(vertices: Floats, centre: Floats, directions: Floats, threads: int) -> tuple[Floats, Floats]:
    """Return for each direction the maximum of (vertex - centre) . direction and its range, mm."""
    shape = chunk_count(len(vertices), _GRAIN), len(directions)
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    run_ranges(
        height_ranges,
        len(vertices),
        _GRAIN,
        threads,
        _GRAIN,
        vertices,
        centre,
        np.ascontiguousarray(directions.T),
        lowest,
        highest,
    )
    deepest = highest.max(axis=0)
    return deepest, deepest - lowest.min(axis=0)


def frames(directions: Floats) -> Floats:
    """Return right-handed frames (D, 9): two unit vectors perpendicular to each direction, and the direction."""
    axis = np.eye(3)[np.argmin(np.abs(directions), axis=1)]
    u = np.cross(axis, directions)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return np.hstack([u, np.cross(directions, u), directions])


def model_size(mesh: Mesh) -> float:
    """Return the longest side of the model's box, mm."""
    low, high = mesh.box()
    return float((high - low).max())
