"""Volume, first moments and area of a solid from the triangles that bound it (divergence theorem), O(n)."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.boundary import WHOLE, Boundary
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.threads import chunk_count, run_ranges
from pricing_engine.mesh.model import Floats, Mesh

_GRAIN = 65536


def boundary_moments(mesh: Mesh, boundary: Boundary, centre: Floats, threads: int) -> Floats:
    """(4,): six times the volume and 24 times the first moments about ``centre`` (3,)."""
    whole = np.zeros((chunk_count(mesh.facet_count, _GRAIN), 4))
    run_ranges(_facets, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, boundary.status, centre, whole)
    cut = np.zeros((chunk_count(len(boundary.pieces), _GRAIN), 4))
    run_ranges(_pieces, len(boundary.pieces), _GRAIN, threads, boundary.pieces, centre, cut)
    total: Floats = whole.sum(axis=0) + cut.sum(axis=0)
    return total


def boundary_areas(mesh: Mesh, boundary: Boundary, threads: int) -> Floats:
    """(facets + pieces,): the area (mm2) that each facet and each piece adds to the solid's surface.

    0 for facets that are cut or bound nothing, and for closings of holes, which are no surface.
    """
    count, pieces = mesh.facet_count, boundary.pieces
    areas = np.empty(count + len(pieces))
    run_ranges(_whole_areas, count, _GRAIN, threads, mesh.vertices, mesh.facets, boundary.status, areas)
    cross = np.cross(pieces[:, 1] - pieces[:, 0], pieces[:, 2] - pieces[:, 0])
    areas[count:] = np.where(boundary.piece_facet >= 0, np.linalg.norm(cross, axis=1) / 2, 0.0)
    return areas


@inlined
def _add(ax, ay, az, bx, by, bz, cx, cy, cz, row, sums):
    volume = (ay * bz - az * by) * cx + (az * bx - ax * bz) * cy + (ax * by - ay * bx) * cz
    sums[row, 0] += volume
    sums[row, 1] += volume * (ax + bx + cx)
    sums[row, 2] += volume * (ay + by + cy)
    sums[row, 3] += volume * (az + bz + cz)


@kernel
def _facets(lo, hi, vertices, facets, status, centre, sums):
    x, y, z = centre[0], centre[1], centre[2]
    for f in range(lo, hi):
        if status[f] == WHOLE:
            a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
            ax, ay, az = vertices[a, 0] - x, vertices[a, 1] - y, vertices[a, 2] - z
            bx, by, bz = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
            _add(ax, ay, az, bx, by, bz, vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z, lo // _GRAIN, sums)


@kernel
def _pieces(lo, hi, pieces, centre, sums):
    x, y, z = centre[0], centre[1], centre[2]
    for i in range(lo, hi):
        ax, ay, az = pieces[i, 0, 0] - x, pieces[i, 0, 1] - y, pieces[i, 0, 2] - z
        bx, by, bz = pieces[i, 1, 0] - x, pieces[i, 1, 1] - y, pieces[i, 1, 2] - z
        cx, cy, cz = pieces[i, 2, 0] - x, pieces[i, 2, 1] - y, pieces[i, 2, 2] - z
        _add(ax, ay, az, bx, by, bz, cx, cy, cz, lo // _GRAIN, sums)


@kernel
def _whole_areas(lo, hi, vertices, facets, status, areas):
    for f in range(lo, hi):
        areas[f] = 0.0
        if status[f] == WHOLE:
            a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
            ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
            ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
            vx, vy, vz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            areas[f] = np.sqrt(x * x + y * y + z * z) / 2
