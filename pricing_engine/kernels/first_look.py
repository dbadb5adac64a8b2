"""What one quick pass tells of a surface before anything is built on it: is it closed, and does it stand by itself.

The sum of the facets' area vectors is zero where every edge is matched; a hole adds the area vector of the surface that
would close it, a patch turned inside out twice its own. And with each axis pointing down, either way, the area that
overhangs off the platform, by the criterion of the orientation search. O(n); partial sums of fixed chunks are added in
order, so the threads leave no trace.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.threads import chunk_count, run_ranges
from pricing_engine.mesh.model import Floats, Mesh

_GRAIN = 16384
_SUMS = 9


class FirstLook(NamedTuple):
    """``area_vector`` (3,) mm2, rounded to some 1e-16 of the area; ``overhang`` (3, 2) mm2 for -x, +x, -y ... down."""

    area_vector: NDArray[np.float64]
    overhang: NDArray[np.float64]


def first_look(mesh: Mesh, low: Floats, high: Floats, rest: float, cosine: float, threads: int) -> FirstLook:
    """Look at ``mesh``, whose box is ``low`` to ``high`` (3,) mm.

    Facets within ``rest`` mm of the platform lie on it; others overhang if the angle from their normal to the direction
    down has a greater cosine than ``cosine``.
    """
    partial = np.zeros((chunk_count(mesh.facet_count, _GRAIN), _SUMS))
    run_ranges(_look, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, low, high, rest, cosine, partial)
    total = partial.sum(axis=0) / 2
    return FirstLook(total[:3], total[3:].reshape(3, 2))


@kernel
def _look(lo, hi, vertices, facets, low, high, rest, cosine, partial):
    chunk = lo // _GRAIN
    double = np.empty(3)
    for facet in range(lo, hi):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        vx, vy, vz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        double[0], double[1], double[2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        area = np.sqrt(double[0] * double[0] + double[1] * double[1] + double[2] * double[2])
        for k in range(3):
            partial[chunk, k] += double[k]
            if double[k] < -cosine * area:
                way, off = 0, max(vertices[a, k], vertices[b, k], vertices[c, k]) - low[k]
            elif double[k] > cosine * area:
                way, off = 1, high[k] - min(vertices[a, k], vertices[b, k], vertices[c, k])
            else:
                continue
            if off > rest:
                partial[chunk, 3 + 2 * k + way] += area
