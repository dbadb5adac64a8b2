"""Volume and first moments of a solid from the triangles that bound it (divergence theorem), O(n)."""

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
