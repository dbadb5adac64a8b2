"""Ray thickness: from each facet's centroid inward along its normal to the next facet.

One ray a facet over the shared tree (:mod:`ray_cast`), O(n log n) on common models. Facets lie along a space-filling
curve, so each ray first tries the facet that its predecessor hit. The search is float32; the distance to the facet
found is then taken in float64. Hits nearer than ``CONTACT`` of the model's diagonal are the surface that the ray starts
from (slivers that float32 folds over, shells that touch) and do not count.

Where all boxes overlap a ray visits every node. A chunk of rays may visit ``_MAX_VISITS`` log2 n a ray; when that is
spent, the rest of its facets are not measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED, log2_of
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, record, work_array
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge, sub
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.spatial.ray_cast import STACK, closest

CONTACT = 1e-5
_GRAIN = 4096
_MAX_VISITS = 256  # a ray, times log2 n; common models need 1 to 3
SLIVER = 2.0**-46  # height of a facet over the model's size below which its normal is rounding noise


def ray_thickness(mesh: Mesh, bvh: Bvh, threads: int, facets: range) -> NDArray[np.float64]:
    """(n,) mm of consecutive ``facets``, from a multiple of 4,096 on.

    NaN where the ray meets nothing and for facets without area; UNMEASURED where the budget of visits ended.
    """
    thickness, work = np.full(len(facets), np.nan), work_array(len(facets), _GRAIN)
    budget = _MAX_VISITS * log2_of(mesh.facet_count)
    run_ranges(
        _measure, len(facets), _GRAIN, threads, facets.start, mesh.vertices, mesh.facets, bvh, budget, thickness, work
    )
    record("ray_thickness", work)
    return thickness


@inlined
def frame(vertices, facets, facet, centre, size):
    """Centroid (x, y, z) relative to ``centre`` (3,), and inward unit normal (0, 0, 0 for a facet without area)."""
    i, j, k = facets[facet, 0], facets[facet, 1], facets[facet, 2]
    ax, ay, az = vertices[i, 0] - centre[0], vertices[i, 1] - centre[1], vertices[i, 2] - centre[2]
    u, v = edge(vertices, i, j), edge(vertices, i, k)
    nx, ny, nz = cross(v, u)
    area = np.sqrt(nx * nx + ny * ny + nz * nz)
    longest = np.sqrt(max(dot(u, u), dot(v, v)))
    scale = 1.0 / area if area > SLIVER * size * longest else 0.0
    middle = ax + (u[0] + v[0]) / 3, ay + (u[1] + v[1]) / 3, az + (u[2] + v[2]) / 3
    return middle, (nx * scale, ny * scale, nz * scale)


@kernel
def _measure(lo, hi, begin, vertices, facets, bvh, budget, thickness, work):
    centre, size = bvh.centre, bvh.diagonal
    stack_t, stack_box, found = np.empty(STACK, np.float32), np.empty(STACK, np.int64), np.full(2, -1, np.int64)
    left, rays = budget * (hi - lo), 0
    for facet in range(begin + lo, begin + hi):
        p, m = frame(vertices, facets, facet, centre, size)
        if m[0] == 0.0 and m[1] == 0.0 and m[2] == 0.0:
            continue
        guess = found[0]
        found[0] = -1
        t = closest(p, m, CONTACT * size, facet, guess, left, bvh, stack_t, stack_box, found)
        hit, left, rays = found[0], left - found[1], rays + 1
        if hit < 0:
            if hit == -2:
                thickness[facet - begin] = UNMEASURED
            continue
        q, w = frame(vertices, facets, hit, centre, size)
        exact = dot(sub(q, p), w) / dot(m, w)
        # At a grazing facet the quotient is inaccurate: the search's own distance is better there.
        thickness[facet - begin] = exact if abs(exact - t) <= 1e-6 * size else t
    work[lo // _GRAIN, NODES], work[lo // _GRAIN, PAIRS] = budget * (hi - lo) - left, rays
