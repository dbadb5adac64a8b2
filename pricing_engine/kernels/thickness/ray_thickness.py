"""Ray thickness: from each facet's centroid inward along its normal to the next facet.

One ray a facet over the shared tree (:mod:`ray_cast`), O(n log n) on common models. Facets lie along a space-filling
curve, so each ray first tries the facet that its predecessor hit. The search is float32; the distance to the facet
found is then taken in float64. Hits nearer than ``CONTACT`` of the model's diagonal are the surface that the ray starts
from (slivers that float32 folds over, shells that touch) and do not count.

Where all boxes overlap a ray visits every node. A chunk of rays may visit ``_MOST_VISITS`` log2 n a ray; when that is
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
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.spatial.ray_cast import STACK, closest

CONTACT = 1e-5
_GRAIN = 4096
_MOST_VISITS = 256  # a ray, times log2 n; common models need 1 to 3
SLIVER = 2.0**-46  # height of a facet over the model's size below which its normal is rounding noise


def ray_thickness(mesh: Mesh, bvh: Bvh, threads: int, facets: range) -> NDArray[np.float64]:
    """(n,) mm of consecutive ``facets``, from a multiple of 4,096 on.

    NaN where the ray meets nothing and for facets without area; UNMEASURED where the budget of visits ended.
    """
    thickness, work = np.full(len(facets), np.nan), work_array(len(facets), _GRAIN)
    run_ranges(
        _measure, len(facets), _GRAIN, threads, facets.start,
        mesh.vertices, mesh.facets, bvh.corners, bvh.boxes, bvh.level_start, bvh.centre, bvh.diagonal, thickness,
        _MOST_VISITS * log2_of(mesh.facet_count), work,
    )  # fmt: skip
    record("ray_thickness", work)
    return thickness


@inlined
def frame(vertices, facets, facet, centre, size):
    """Centroid relative to ``centre``, inward unit normal (0, 0, 0 for a facet without area)."""
    i, j, k = facets[facet, 0], facets[facet, 1], facets[facet, 2]
    ax, ay, az = vertices[i, 0] - centre[0], vertices[i, 1] - centre[1], vertices[i, 2] - centre[2]
    ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
    vx, vy, vz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
    nx, ny, nz = uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy
    area = np.sqrt(nx * nx + ny * ny + nz * nz)
    longest = np.sqrt(max(ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz))
    scale = 1.0 / area if area > SLIVER * size * longest else 0.0
    return ax + (ux + vx) / 3, ay + (uy + vy) / 3, az + (uz + vz) / 3, nx * scale, ny * scale, nz * scale


@kernel
def _measure(lo, hi, begin, vertices, facets, corners, boxes, level_start, centre, size, thickness, most, work):
    stack_t, stack_box, found = np.empty(STACK, np.float32), np.empty(STACK, np.int64), np.full(2, -1, np.int64)
    left, rays = most * (hi - lo), 0
    for facet in range(begin + lo, begin + hi):
        px, py, pz, mx, my, mz = frame(vertices, facets, facet, centre, size)
        if mx == 0.0 and my == 0.0 and mz == 0.0:
            continue
        guess = found[0]
        found[0] = -1
        t = closest(
            px, py, pz, mx, my, mz, CONTACT * size, facet, guess, left, corners, boxes, level_start,
            stack_t, stack_box, found,
        )  # fmt: skip
        hit, left, rays = found[0], left - found[1], rays + 1
        if hit < 0:
            if hit == -2:
                thickness[facet - begin] = UNMEASURED
            continue
        qx, qy, qz, wx, wy, wz = frame(vertices, facets, hit, centre, size)
        exact = ((qx - px) * wx + (qy - py) * wy + (qz - pz) * wz) / (mx * wx + my * wy + mz * wz)
        # A grazing facet says little about where along it the ray goes: the search's own distance is better there.
        thickness[facet - begin] = exact if abs(exact - t) <= 1e-6 * size else t
    work[lo // _GRAIN, NODES], work[lo // _GRAIN, PAIRS] = most * (hi - lo) - left, rays
