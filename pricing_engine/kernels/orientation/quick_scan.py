"""One quick pass over a surface before a tree is built: whether it is closed, and stands without supports.

The sum of the facets' area vectors is zero where every edge is matched; a hole adds the area vector of the surface that
would close it, a patch turned inside out twice its own. And with each axis pointing down, either way, the area that
overhangs off the platform, by the criterion of the orientation search. O(n); partial sums of fixed chunks are added in
order, so the result does not depend on the threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.runtime.vec3 import cross, edge

_GRAIN = 16384
_SUMS = 9


class QuickScan(NamedTuple):
    """``area_vector`` (3,) mm2, rounded to some 1e-16 of the area; ``overhang`` (3, 2) mm2 for -x, +x, -y ... down."""

    area_vector: NDArray[np.float64]
    overhang: NDArray[np.float64]


def quick_scan(mesh: Mesh, low: Floats, high: Floats, rest: float, cosine: float, threads: int) -> QuickScan:
    """Scan ``mesh``, whose box is ``low`` to ``high`` (3,) mm.

    Facets within ``rest`` mm of the platform lie on it; others overhang if the angle from their normal to the direction
    down has a greater cosine than ``cosine``, which is at least that of 45 degrees.
    """
    partial = np.zeros((chunk_count(mesh.facet_count, _GRAIN), _SUMS))
    run_ranges(_scan, mesh.facet_count, _GRAIN, threads, mesh.vertices, mesh.facets, low, high, rest, cosine, partial)
    total = partial.sum(axis=0) / 2
    return QuickScan(total[:3], total[3:].reshape(3, 2))


@kernel
def _scan(lo, hi, vertices, facets, low, high, rest, cosine, partial):
    x = y = z = 0.0
    overhang, steep = np.zeros(6), cosine * cosine
    for facet in range(lo, hi):
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        nx, ny, nz = cross(edge(vertices, a, b), edge(vertices, a, c))
        x, y, z = x + nx, y + ny, z + nz
        squared = nx * nx + ny * ny + nz * nz
        largest, axis = nx, 0  # no other axis can be within 45 degrees of the normal
        if abs(ny) > abs(largest):
            largest, axis = ny, 1
        if abs(nz) > abs(largest):
            largest, axis = nz, 2
        if largest * largest > steep * squared:
            if largest < 0:
                way, off = 0, max(vertices[a, axis], vertices[b, axis], vertices[c, axis]) - low[axis]
            else:
                way, off = 1, high[axis] - min(vertices[a, axis], vertices[b, axis], vertices[c, axis])
            if off > rest:
                overhang[2 * axis + way] += np.sqrt(squared)
    chunk = lo // _GRAIN
    partial[chunk, 0], partial[chunk, 1], partial[chunk, 2] = x, y, z
    partial[chunk, 3:] = overhang
