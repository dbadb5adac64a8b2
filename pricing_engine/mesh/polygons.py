"""Triangulate polygons: a fan for strictly convex ones, ear clipping (Meisters 1975) for the others.

A polygon lies in the plane of its Newell normal. It may touch itself: cuts of no width (keyholes) join holes to the
outline, so corners repeat and edges run both ways. Repeated neighbours merge, and spikes (an edge there and back) are
removed. All other corners stay, also those within a straight edge: the adjacent polygon may have them too, and the
surface stays closed.

An ear is a corner b with neighbours a and c where the diagonal from c to a lies inside: b is convex, the diagonal
leaves a and c between their edges (which distinguishes copies of a repeated corner), and no other corner lies in the
triangle. Each pass searches with a smaller margin: in the first no corner may lie on or close to the triangle, to
avoid flat facets; in the last one may lie on its edge, and the ear may be flat. Ear clipping is O(n^2) to O(n^3) for n
corners, so the work per model is bounded. Beyond the bound, or where a polygon crosses itself, the remainder becomes a
fan, and the count of such polygons is returned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import MAX_FACETS, ReaderNote

_MAX_CLIP_TESTS = 1_000_000_000  # about two seconds of corner tests
_COLLINEAR_TOLERANCE = 1e-6  # of the polygon's size: float32 rounding moves corners this far off a straight edge
_PASSES = 4
_LAST_PASS = _PASSES - 1


def triangulate(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], corners: NDArray[np.int64]
) -> tuple[NDArray[np.int32], tuple[ReaderNote, ...]]:
    """Return facets (F, 3) int32 of the polygons ``corners[starts[i]:starts[i + 1]]`` (indices checked), and notes.

    Triangles stay unchanged. Polygons of fewer than three different corners have no area and are skipped with a note.
    Raises :class:`CorruptModel` for too many facets.
    """
    sizes = np.diff(starts)
    if len(sizes) == 0:
        return np.empty((0, 3), np.int32), ()
    if int(sizes.min()) == int(sizes.max()) == 3:
        return corners.reshape(-1, 3).astype(np.int32), ()
    total = int(np.maximum(sizes - 2, 0).sum())
    if total > MAX_FACETS:
        raise CorruptModel(f"the model has {total} facets, more than {MAX_FACETS}; decimate it")
    facets = np.empty((total, 3), np.int32)
    largest = int(sizes.max())
    points = np.empty((largest, 2))
    names, after, before = np.empty((3, largest), np.int64)
    count, flat, fanned = _triangulate(vertices, starts, corners, facets, points, names, after, before, _MAX_CLIP_TESTS)
    notes: tuple[ReaderNote, ...] = ()
    if flat:
        notes += (ReaderNote("faces_without_area", f"{flat} faces have fewer than three corners and were skipped"),)
    if fanned:
        text = f"{fanned} concave polygons could not be triangulated exactly and became fans"
        notes += (ReaderNote("concave_fan", text),)
    return facets[:count], notes


@inlined
def _turn(points, a, b, c):  # type: ignore[no-untyped-def]
    """Return twice the signed area of a, b, c in the polygon's plane."""
    return (points[b, 0] - points[a, 0]) * (points[c, 1] - points[a, 1]) - (points[b, 1] - points[a, 1]) * (
        points[c, 0] - points[a, 0]
    )


@inlined
def _span(points, a, b, c):  # type: ignore[no-untyped-def]
    """Return the longer side of the box around a, b, c."""
    return max(
        max(points[a, 0], points[b, 0], points[c, 0]) - min(points[a, 0], points[b, 0], points[c, 0]),
        max(points[a, 1], points[b, 1], points[c, 1]) - min(points[a, 1], points[b, 1], points[c, 1]),
    )


@inlined
def _same_position(vertices, names, i, j):  # type: ignore[no-untyped-def]
    """Return whether corners ``i`` and ``j`` are at one position, which the weld merges."""
    p, q = names[i], names[j]
    return p == q or (
        vertices[p, 0] == vertices[q, 0] and vertices[p, 1] == vertices[q, 1] and vertices[p, 2] == vertices[q, 2]
    )


@kernel
def _remove_spikes(vertices, corners, names):  # type: ignore[no-untyped-def]
    """Copy the corners' vertices into ``names`` without repeated neighbours and spikes; return their count."""
    n = 0
    for corner in corners:
        names[n] = corner
        n += 1
        if n > 1 and _same_position(vertices, names, n - 1, n - 2):
            n -= 1
        elif n > 2 and _same_position(vertices, names, n - 1, n - 3):
            n -= 2
    first = 0
    while n - first > 1:  # the same across the start of the ring
        if _same_position(vertices, names, first, n - 1):
            n -= 1
        elif n - first > 2 and _same_position(vertices, names, first, n - 2):
            n -= 2
        elif n - first > 2 and _same_position(vertices, names, first + 1, n - 1):
            first += 2
        else:
            break
    names[: n - first] = names[first:n].copy()
    return n - first


@kernel
def _project(vertices, names, n, points):  # type: ignore[no-untyped-def]
    """Project along the largest axis of the Newell normal, counter-clockwise.

    Return ``(whether the ring is strictly convex, distance at which a corner still counts as on a straight edge)``.
    """
    nx, ny, nz = 0.0, 0.0, 0.0
    o = names[0]
    for i in range(n):
        p, q = names[i], names[(i + 1) % n]
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
    extent = 0.0
    for i in range(n):
        p = names[i]
        points[i, 0] = vertices[p, u] - vertices[o, u]
        points[i, 1] = vertices[p, v] - vertices[o, v]
        if flip:
            points[i, 0] = -points[i, 0]
        extent = max(extent, abs(points[i, 0]), abs(points[i, 1]))
    close = _COLLINEAR_TOLERANCE * extent
    for i in range(n - 2):  # a fan from corner 0 is valid if none of its triangles is reversed or flat ...
        if _turn(points, 0, i + 1, i + 2) <= close * _span(points, 0, i + 1, i + 2):
            return False, close
    for i in range(n):  # ... and no corner is reflex (a star may wind twice)
        j, k = (i + 1) % n, (i + 2) % n
        if _turn(points, i, j, k) <= close * _span(points, i, j, k):
            return False, close
    return True, close


@kernel
def _is_ear(vertices, names, points, after, before, b, distance, flat):  # type: ignore[no-untyped-def]
    """Return ``(whether b is an ear, corners tested)``.

    ``distance``: minimum distance of other corners; negative: depth allowed inside. ``flat``: allow ears without area.
    """
    a, c = before[b], after[b]
    margin = distance * _span(points, a, b, c)
    size = _turn(points, a, b, c)
    if size <= margin if flat else size <= max(margin, 0.0):
        return False, 1
    outer_a, outer_c = before[a], after[c]
    inside_a = _turn(points, outer_a, a, b) <= 0 or _turn(points, a, c, outer_a) > margin
    inside_c = _turn(points, b, c, outer_c) <= 0 or _turn(points, c, outer_c, a) > margin
    # where the next corner is at the diagonal's other end, its edge is removed with the ear
    if not (inside_a or _same_position(vertices, names, outer_a, c)) or not (
        inside_c or _same_position(vertices, names, outer_c, a)
    ):
        return False, 1
    low_x, high_x = min(points[a, 0], points[b, 0], points[c, 0]), max(points[a, 0], points[b, 0], points[c, 0])
    low_y, high_y = min(points[a, 1], points[b, 1], points[c, 1]), max(points[a, 1], points[b, 1], points[c, 1])
    tested = 1
    p = outer_c
    while p != a:
        tested += 1
        if low_x <= points[p, 0] <= high_x and low_y <= points[p, 1] <= high_y:
            depth = min(_turn(points, a, b, p), _turn(points, b, c, p), _turn(points, c, a, p))
            if depth >= -margin and not (
                _same_position(vertices, names, p, a)
                or _same_position(vertices, names, p, b)
                or _same_position(vertices, names, p, c)
            ):
                return False, tested
        p = after[p]
    return True, tested


@inlined
def _drop_spikes(vertices, names, after, before, a, c, remaining):  # type: ignore[no-untyped-def]
    """Unlink repeated neighbours and spikes at the new neighbours ``a`` and ``c``; return ``(c, remaining)``."""
    while remaining > 2:
        if _same_position(vertices, names, a, c):
            c = after[c]
            remaining -= 1
        elif _same_position(vertices, names, before[a], c):
            a, c = before[a], after[c]
            remaining -= 2
        elif _same_position(vertices, names, a, after[c]):
            c = after[after[c]]
            remaining -= 2
        else:
            break
        after[a], before[c] = c, a
    return c, remaining


@kernel
def _clip(vertices, names, points, n, close, after, before, facets, done, budget):  # type: ignore[no-untyped-def]
    """Clip the ears of a ring of ``n`` corners; return ``(facet count, remaining budget, fan needed)``."""
    for i in range(n):
        after[i], before[i] = (i + 1) % n, (i + n - 1) % n
    remaining, b, failures, search_pass = n, 0, 0, 0
    while remaining > 3 and search_pass < _PASSES and budget > 0:
        distance = close if search_pass == 0 else 0.0 if search_pass == 1 else -close
        ear, tested = _is_ear(vertices, names, points, after, before, b, distance, search_pass == _LAST_PASS)
        budget -= tested
        if not ear:
            b = before[b]
            failures += 1
            if failures == remaining:
                failures = 0
                search_pass += 1
            continue
        a, c = before[b], after[b]
        facets[done, 0], facets[done, 1], facets[done, 2] = names[a], names[b], names[c]
        done += 1
        after[a], before[c] = c, a
        c, remaining = _drop_spikes(vertices, names, after, before, a, c, remaining - 1)
        b = after[c]  # adjacent ears are slivers; if this is none, c and a follow, whose edges are new
        failures = search_pass = 0
    fanned = remaining > 3
    first, second = b, after[b]
    for _ in range(remaining - 2):
        third = after[second]
        facets[done, 0], facets[done, 1], facets[done, 2] = names[first], names[second], names[third]
        done += 1
        second = third
    return done, budget, fanned


@kernel
def _triangulate(vertices, starts, corners, facets, points, names, after, before, budget):  # type: ignore[no-untyped-def]
    """Triangulate all polygons; return ``(facets, polygons without area, polygons that became a fan)``."""
    done, flat, fans = 0, 0, 0
    for polygon in range(len(starts) - 1):
        start, end = starts[polygon], starts[polygon + 1]
        n = end - start
        if n == 3:
            for i in range(3):
                facets[done, i] = corners[start + i]
            done += 1
            continue
        names[:n] = corners[start:end]
        convex, close = _project(vertices, names, n, points) if n > 3 else (False, 0.0)
        if not convex:  # a strictly convex ring has no repeated corners or spikes
            n = _remove_spikes(vertices, corners[start:end], names)
            if n < 3:
                flat += 1
                continue
            convex, close = _project(vertices, names, n, points)
        if convex or n == 3:
            for i in range(1, n - 1):
                facets[done, 0], facets[done, 1], facets[done, 2] = names[0], names[i], names[i + 1]
                done += 1
        else:
            done, budget, fanned = _clip(vertices, names, points, n, close, after, before, facets, done, budget)
            fans += fanned
    return done, flat, fans
