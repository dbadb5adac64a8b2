"""Volume, first moments and area of a solid from the triangles that bound it (divergence theorem), O(n)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge, point, sub
from pricing_engine.kernels.solid.boundary import UNCUT, Boundary

_GRAIN = 65536


def boundary_moments(mesh: Mesh, boundary: Boundary, centre: Floats, threads: int) -> Floats:
    """(4,): six times the volume and 24 times the first moments about ``centre`` (3,)."""
    uncut = np.zeros((chunk_count(mesh.facet_count, _GRAIN), 4))
    run_ranges(_facets, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, boundary.status, centre, uncut)
    cut = np.zeros((chunk_count(len(boundary.pieces), _GRAIN), 4))
    run_ranges(_pieces, len(boundary.pieces), _GRAIN, threads, boundary.pieces, centre, cut)
    total: Floats = uncut.sum(axis=0) + cut.sum(axis=0)
    return total


def boundary_areas(mesh: Mesh, boundary: Boundary, threads: int) -> Floats:
    """(facets + pieces,): the area (mm2) that each facet and each piece adds to the solid's surface.

    0 for facets that are cut or bound nothing, and for closings of holes.
    """
    uncut = triangle_areas(mesh.vertices, mesh.facets, boundary.status == UNCUT, threads)
    corners = np.arange(3 * len(boundary.pieces), dtype=np.int32).reshape(-1, 3)
    cut = triangle_areas(boundary.pieces.reshape(-1, 3), corners, boundary.piece_facet >= 0, threads)
    return np.concatenate([uncut, cut])


def triangle_areas(points: Floats, triangles: Ints, counted: NDArray[np.bool_], threads: int) -> Floats:
    """(N,): areas of ``triangles`` (N, 3) between ``points`` (V, 3), 0 for those that are not ``counted`` (N,)."""
    areas = np.empty(len(triangles))
    run_ranges(_areas, len(triangles), _GRAIN // 8, threads, points, triangles, counted, areas)
    return areas


@inlined
def _add(a, b, c, row, sums):
    volume = dot(cross(a, b), c)
    sums[row, 0] += volume
    sums[row, 1] += volume * (a[0] + b[0] + c[0])
    sums[row, 2] += volume * (a[1] + b[1] + c[1])
    sums[row, 3] += volume * (a[2] + b[2] + c[2])


@kernel
def _facets(lo, hi, vertices, facets, status, centre, sums):
    origin = centre[0], centre[1], centre[2]
    for f in range(lo, hi):
        if status[f] == UNCUT:
            a, b = sub(point(vertices, facets[f, 0]), origin), sub(point(vertices, facets[f, 1]), origin)
            _add(a, b, sub(point(vertices, facets[f, 2]), origin), lo // _GRAIN, sums)


@kernel
def _pieces(lo, hi, pieces, centre, sums):
    origin = centre[0], centre[1], centre[2]
    for i in range(lo, hi):
        a = pieces[i, 0, 0], pieces[i, 0, 1], pieces[i, 0, 2]
        b = pieces[i, 1, 0], pieces[i, 1, 1], pieces[i, 1, 2]
        c = pieces[i, 2, 0], pieces[i, 2, 1], pieces[i, 2, 2]
        _add(sub(a, origin), sub(b, origin), sub(c, origin), lo // _GRAIN, sums)


@kernel
def _areas(lo, hi, points, triangles, counted, areas):
    for t in range(lo, hi):
        areas[t] = 0.0
        if counted[t]:
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            normal = cross(edge(points, a, b), edge(points, a, c))
            areas[t] = np.sqrt(dot(normal, normal)) / 2
