"""Generalized winding numbers of surfaces with holes (Jacobson et al. 2013), and the volume where they are >= 1/2.

Closed with caps, the surface has an integer winding number w, found by counting crossings along a line. The
generalized number of the open surface is w less the solid angle of the caps over 4 pi, so the expensive sum runs over
the caps alone: exact near by (Van Oosterom and Strackee 1983), one dipole for a box of the caps' tree that is far away
(Barill et al. 2018).
The two solids differ near the caps only, so 2048 lines of a fixed low-discrepancy set through their box measure that
small difference and not the volume.

Bounded work: thousands of caps piled on one another make every line long. Lines are taken in batches until their terms
exceed a limit, and the rest of a line past its own limit counts as for the closed surface: a rougher estimate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import record
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.ray_crossings import crossing, height_above, next_leaf, start_ray
from pricing_engine.kernels.solid.solid_angle import Caps, cap_dipoles, caps_angle
from pricing_engine.kernels.solid.winding import STACK, general_position
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh

_LINES = 2048
_GRAIN_LINES = 4
_BATCH_LINES = 32
_MAX_WORK, _MAX_LINE_WORK = 24_000_000, 500_000  # solid angles, dipoles, boxes: some 2 s in all, 30 ms a line
_SAMPLES = 5
_BISECTIONS = 14


def mean_excess(closed: Mesh, bvh: Bvh, first_cap: int, threads: int) -> float:
    """Volume (mm3) where the generalized winding number without caps is >= 1/2, less that where w >= 1.

    ``closed``: the facets of the open surface, then from ``first_cap`` on its caps; ``bvh``: its tree.
    """
    moved = general_position(closed, bvh, 0.0, threads)
    caps = Mesh(closed.vertices, closed.facets[first_cap:])
    tree = build_bvh(caps, threads)
    dipoles = cap_dipoles(caps, tree)
    rims = moved[np.unique(caps.facets)]
    lo, hi = rims.min(axis=0), rims.max(axis=0)
    index = np.arange(1, _LINES + 1)
    spread = np.stack([0.5 + index * 0.7548776662466927, 0.5 + index * 0.5698402909980532], axis=1) % 1.0
    lines = lo[:2] + spread * (hi - lo)[:2]
    caps_tree = Caps(first_cap, tree.level_start, dipoles)
    arguments = (lo[2], hi[2], moved, closed.facets, bvh, caps_tree)
    parts: list[NDArray[np.float64]] = []
    terms = 0
    for first in range(0, _LINES, _BATCH_LINES):
        excess, work = np.zeros(_BATCH_LINES), np.zeros(_BATCH_LINES, np.int64)
        batch = lines[first : first + _BATCH_LINES]
        run_ranges(_line_excess, _BATCH_LINES, _GRAIN_LINES, threads, batch, *arguments, excess, work)
        parts.append(excess)
        terms += int(work.sum())
        record("generalized_winding", np.column_stack([np.zeros_like(work), work]))
        if terms > _MAX_WORK:
            break
    area = float((hi - lo)[0] * (hi - lo)[1])
    return area * float(np.concatenate(parts).mean())


@kernel
def _line_hits(x, y, z, moved, facets, bvh, stack, hits, work, line):
    """All crossings (n, 2) above (x, y, z), their height and sign, from the lowest up; ``work[line]`` grows."""
    boxes, level_start = bvh.boxes, bvh.level_start
    count, depth = 0, start_ray(x, y, z, True, boxes, level_start, stack)
    work[line] += boxes.shape[1] - level_start[-1]
    while True:
        leaf, depth, opened = next_leaf(x, y, z, True, boxes, level_start, stack, depth)
        if leaf < 0:
            work[line] += WIDTH * opened
            break
        work[line] += WIDTH * (opened - 1)  # the last box opened is the leaf: it has no children to compare
        for f in range(WIDTH * leaf, min(WIDTH * leaf + WIDTH, len(facets))):
            sign = crossing(x, y, moved, facets, f)
            if sign != 0:
                height = height_above(x, y, z, moved, facets, f)
                if height > 0:
                    if count == len(hits):
                        more = np.empty((2 * count, 2))
                        more[:count] = hits
                        hits = more
                    hits[count, 0], hits[count, 1] = z + height, sign
                    count += 1
    return hits[:count][np.argsort(hits[:count, 0])]


@kernel
def _line_excess(lo, hi, lines, z_low, z_high, moved, facets, bvh, caps, excess, work):
    stack = np.empty((STACK, 2), np.int64)
    scratch = np.empty((64, 2))
    for i in range(lo, hi):
        x, y = lines[i, 0], lines[i, 1]
        hits = _line_hits(x, y, z_low, moved, facets, bvh, stack, scratch, work, i)
        winding = int(hits[:, 1].sum())
        low = z_low
        for k in range(len(hits) + 1):
            high = min(hits[k, 0], z_high) if k < len(hits) else z_high
            if high > low and work[i] < _MAX_LINE_WORK:
                held = 0.0
                z0, inside0 = low, False
                for sample in range(_SAMPLES):
                    if work[i] >= _MAX_LINE_WORK:
                        break
                    z = low + (high - low) * min(1 - 1e-4, max(1e-4, sample / (_SAMPLES - 1)))
                    angle = caps_angle(x, y, z, moved, facets, caps, stack, work, i)
                    inside = winding - angle / (4 * math.pi) >= 0.5
                    if sample > 0 and inside == inside0:
                        held += z - z0 if inside else 0.0
                    elif sample > 0:
                        below, above = z0, z
                        for _ in range(_BISECTIONS if work[i] < _MAX_LINE_WORK else 0):
                            middle = 0.5 * (below + above)
                            angle = caps_angle(x, y, middle, moved, facets, caps, stack, work, i)
                            if (winding - angle / (4 * math.pi) >= 0.5) == inside0:
                                below = middle
                            else:
                                above = middle
                        held += below - z0 if inside0 else z - below
                    z0, inside0 = z, inside
                held /= 1 - 2e-4
                if work[i] < _MAX_LINE_WORK:
                    excess[i] += held - (high - low if winding >= 1 else 0.0)
            if k < len(hits):
                winding -= int(hits[k, 1])
                low = max(low, hits[k, 0])
            if low >= z_high:
                break
