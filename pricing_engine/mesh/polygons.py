"""Polygons to triangles: a fan where the polygon is convex, ear clipping (Meisters 1975) where it is not.

A polygon is judged in the plane of its Newell normal. A fan of a concave polygon would fold over itself: right in
signed volume, wrong in area and thickness. Ear clipping is O(n^2) to O(n^3) for n corners, so the work over the whole
model is bounded; polygons beyond the bound get a fan, and the caller is told how many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.parsed import MAX_FACETS, Note

_CLIP_BUDGET = 1_000_000_000  # about two seconds of corner tests


def triangulate(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], corners: NDArray[np.int64]
) -> tuple[NDArray[np.int32], tuple[Note, ...]]:
    """Facets (F, 3) int32 of the polygons ``corners[starts[i]:starts[i + 1]]`` (indices already checked).

    Triangles pass unchanged. Raises :class:`CorruptModel` for a polygon of fewer than three corners.
    """
    sizes = np.diff(starts)
    if len(sizes) == 0:
        return np.empty((0, 3), np.int32), ()
    if int(sizes.min()) < 3:
        raise CorruptModel(f"face {int(np.argmin(sizes)) + 1} has fewer than three corners; export the model again")
    if int(sizes.max()) == 3:
        return corners.reshape(-1, 3).astype(np.int32), ()
    total = int(sizes.sum()) - 2 * len(sizes)
    if total > MAX_FACETS:
        raise CorruptModel(f"the model has {total} facets, more than {MAX_FACETS}; decimate it")
    facets = np.empty((total, 3), np.int32)
    largest = int(sizes.max())
    scratch = np.empty((largest, 2)), np.empty(largest, np.int64)
    fanned = _triangulate(vertices, starts, corners, facets, *scratch, _CLIP_BUDGET)
    if fanned:
        return facets, (Note("concave_fan", f"{fanned} concave polygons could not be cut into ears and became fans"),)
    return facets, ()


@inlined
def _turn(points, a, b, c):  # type: ignore[no-untyped-def]
    """Twice the signed area of a, b, c in the polygon's plane."""
    return (points[b, 0] - points[a, 0]) * (points[c, 1] - points[a, 1]) - (points[b, 1] - points[a, 1]) * (
        points[c, 0] - points[a, 0]
    )


@inlined
def _project(vertices, corners, start, n, points):  # type: ignore[no-untyped-def]
    """Drop the largest axis of the Newell normal, keeping counter-clockwise; returns whether the polygon is convex."""
    nx, ny, nz = 0.0, 0.0, 0.0
    o = corners[start]
    for i in range(n):
        p, q = corners[start + i], corners[start + (i + 1) % n]
        px, py, pz = vertices[p, 0] - vertices[o, 0], vertices[p, 1] - vertices[o, 1], vertices[p, 2] - vertices[o, 2]
        qx, qy, qz = vertices[q, 0] - vertices[o, 0], vertices[q, 1] - vertices[o, 1], vertices[q, 2] - vertices[o, 2]
        nx += py * qz - pz * qy
        ny += pz * qx - px * qz
        nz += px * qy - py * qx
    u, v, flip = 0, 1, nz < 0
    if abs(nx) >= abs(ny) and abs(nx) >= abs(nz):
        u, v, flip = 1, 2, nx < 0
    elif abs(ny) >= abs(nz):
        u, v, flip = 2, 0, ny < 0
    for i in range(n):
        p = corners[start + i]
        points[i, 0] = vertices[p, u] - vertices[o, u]
        points[i, 1] = vertices[p, v] - vertices[o, v]
        if flip:
            points[i, 0] = -points[i, 0]
    for i in range(n - 2):  # a fan from corner 0 is right if none of its triangles is turned over ...
        if _turn(points, 0, i + 1, i + 2) < 0:
            return False
    for i in range(n):  # noqa: SIM110 - ... and no corner is reflex (a star may wind twice)
        if _turn(points, i, (i + 1) % n, (i + 2) % n) < 0:
            return False
    return True


@kernel
def _triangulate(vertices, starts, corners, facets, points, ring, budget):  # type: ignore[no-untyped-def]
    done, fanned = 0, 0
    for polygon in range(len(starts) - 1):
        start = starts[polygon]
        n = starts[polygon + 1] - start
        left = 0
        if n > 3 and not _project(vertices, corners, start, n, points):
            left = n
            for i in range(n):
                ring[i] = i
            at, misses = 0, 0
            while left > 3 and misses < left and budget > 0:
                at %= left
                a, b, c = ring[(at + left - 1) % left], ring[at], ring[(at + 1) % left]
                ear = _turn(points, a, b, c) > 0
                budget -= 1
                if ear:
                    for k in range(left):
                        p = ring[k]
                        budget -= 1
                        if p in (a, b, c):
                            continue
                        inside = (
                            _turn(points, a, b, p) >= 0 and _turn(points, b, c, p) >= 0 and _turn(points, c, a, p) >= 0
                        )
                        if inside:
                            ear = False
                            break
                if ear:
                    facets[done, 0], facets[done, 1] = corners[start + a], corners[start + b]
                    facets[done, 2] = corners[start + c]
                    done += 1
                    for k in range(at, left - 1):
                        ring[k] = ring[k + 1]
                    budget -= left - at
                    left -= 1
                    misses = 0
                else:
                    at += 1
                    misses += 1
            if left > 3:
                fanned += 1
        if left == 0:
            left = n
            for i in range(n):
                ring[i] = i
        for i in range(1, left - 1):
            facets[done, 0], facets[done, 1] = corners[start + ring[0]], corners[start + ring[i]]
            facets[done, 2] = corners[start + ring[i + 1]]
            done += 1
    return fanned
