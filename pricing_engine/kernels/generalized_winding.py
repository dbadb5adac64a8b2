"""Generalized winding numbers of surfaces with holes (Jacobson et al. 2013), and the volume where they are >= 1/2.

Closed with caps, the surface has an integer winding number w, found by counting crossings along a line. The
generalized number of the open surface is w less the solid angle of the caps over 4 pi, so the expensive sum runs over
the caps alone: exact near by (Van Oosterom and Strackee 1983), one dipole for a box of the caps' tree that is far away
(Barill et al. 2018).
The two solids differ near the caps only, so 2048 lines of a fixed low-discrepancy set through their box measure that
small difference and not the volume.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh, build_bvh
from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.winding import SHEAR_X, SHEAR_Y, STACK, crossing, general_position, height_above, on_ray
from pricing_engine.mesh.model import Mesh

_FAR = 3.0  # a box is one dipole where it is this many radii away
_LINES = 2048
_GRAIN_LINES = 64
_SAMPLES = 5
_BISECTIONS = 14


def mean_excess(closed: Mesh, bvh: Bvh, first_cap: int, threads: int) -> float:
    """Volume (mm3) where the generalized winding number without caps is >= 1/2, less that where w >= 1.

    ``closed``: the facets of the open surface, then from ``first_cap`` on its caps; ``bvh``: its tree.
    """
    moved = general_position(closed, bvh, 0.0, threads)
    caps = Mesh(closed.vertices, closed.facets[first_cap:])
    tree = build_bvh(caps, threads)
    dipoles = _dipoles(caps, tree)
    rims = moved[np.unique(caps.facets)]
    lo, hi = rims.min(axis=0), rims.max(axis=0)
    index = np.arange(1, _LINES + 1)
    spread = np.stack([0.5 + index * 0.7548776662466927, 0.5 + index * 0.5698402909980532], axis=1) % 1.0
    lines = lo[:2] + spread * (hi - lo)[:2]
    excess = np.zeros(_LINES)
    arguments = (lines, lo[2], hi[2], moved, closed.facets, bvh.boxes, bvh.level_start, first_cap)
    run_ranges(_line_excess, _LINES, _GRAIN_LINES, threads, *arguments, tree.boxes, tree.level_start, dipoles, excess)
    area = float((hi - lo)[0] * (hi - lo)[1])
    return area * float(excess.mean())


def _dipoles(mesh: Mesh, tree: Bvh) -> NDArray[np.float64]:
    """For each box of the tree (boxes, 7): summed area vector, area-weighted middle, radius."""
    corners = mesh.vertices[mesh.facets] - tree.centre
    vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    area = np.linalg.norm(vector, axis=1)
    sums = np.zeros((tree.boxes.shape[1] * WIDTH, 7))
    sums[: len(area), :3] = vector
    sums[: len(area), 3:6] = corners.mean(axis=1) * area[:, None]
    sums[: len(area), 6] = area
    dipoles = np.zeros((tree.boxes.shape[1], 7))
    below = sums.reshape(-1, WIDTH, 7).sum(axis=1)[: len(dipoles)]
    ends = [*tree.level_start[1:], len(dipoles)]
    for start, end in zip(tree.level_start, ends, strict=True):
        level = np.zeros((end - start, 7))
        filled = min(len(level), len(below))
        level[:filled] = below[:filled]
        dipoles[start:end] = level
        below = level.reshape(-1, WIDTH, 7).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.where(dipoles[:, 6:] > 0, dipoles[:, 3:6] / dipoles[:, 6:], 0.0)
        reach = np.maximum(np.abs(tree.boxes[:3].T - middle), np.abs(tree.boxes[3:].T - middle))
    radius = np.linalg.norm(np.where(np.isfinite(reach), reach, 0.0), axis=1)
    return np.ascontiguousarray(np.column_stack([dipoles[:, :3], middle, radius]))


@inlined
def _solid_angle(x, y, z, moved, facets, f):  # type: ignore[no-untyped-def]
    """Solid angle of facet f from the (unsheared) point x, y, z; positive from inside."""
    a, b, c = facets[f, 0], facets[f, 1], facets[f, 2]
    az, bz, cz = moved[a, 2], moved[b, 2], moved[c, 2]
    ax, ay = moved[a, 0] + SHEAR_X * az - x, moved[a, 1] + SHEAR_Y * az - y
    bx, by = moved[b, 0] + SHEAR_X * bz - x, moved[b, 1] + SHEAR_Y * bz - y
    cx, cy = moved[c, 0] + SHEAR_X * cz - x, moved[c, 1] + SHEAR_Y * cz - y
    az, bz, cz = az - z, bz - z, cz - z
    la, lb, lc = (
        math.sqrt(ax * ax + ay * ay + az * az),
        math.sqrt(bx * bx + by * by + bz * bz),
        math.sqrt(cx * cx + cy * cy + cz * cz),
    )
    top = (ay * bz - az * by) * cx + (az * bx - ax * bz) * cy + (ax * by - ay * bx) * cz
    ab, bc, ca = ax * bx + ay * by + az * bz, bx * cx + by * cy + bz * cz, cx * ax + cy * ay + cz * az
    return 2 * math.atan2(top, la * lb * lc + ab * lc + bc * la + ca * lb)


@kernel
def caps_angle(x, y, z, moved, facets, first_cap, level_start, dipoles, stack):  # type: ignore[no-untyped-def]
    """Solid angle of all caps from the sheared point (x, y, z)."""
    x, y = x + SHEAR_X * z, y + SHEAR_Y * z
    total = 0.0
    top = 0
    last = len(level_start) - 1
    for box in range(level_start[last], len(dipoles)):
        stack[top, 0], stack[top, 1] = box, last
        top += 1
    while top > 0:
        top -= 1
        box, level = stack[top, 0], stack[top, 1]
        dx, dy, dz = dipoles[box, 3] - x, dipoles[box, 4] - y, dipoles[box, 5] - z
        square = dx * dx + dy * dy + dz * dz
        reach = _FAR * dipoles[box, 6]
        if square > reach * reach:
            dot = dx * dipoles[box, 0] + dy * dipoles[box, 1] + dz * dipoles[box, 2]
            total += dot / (square * math.sqrt(square))
        elif level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                stack[top, 0], stack[top, 1] = child, level - 1
                top += 1
        else:
            first = first_cap + WIDTH * box
            for f in range(first, min(first + WIDTH, len(facets))):
                total += _solid_angle(x, y, z, moved, facets, f)
    return total


@kernel
def _line_hits(x, y, z, moved, facets, boxes, level_start, stack, hits):  # type: ignore[no-untyped-def]
    """All crossings (n, 2) above (x, y, z), their height and sign, from the lowest up."""
    count = 0
    top = 0
    last = len(level_start) - 1
    for box in range(level_start[last], boxes.shape[1]):
        stack[top, 0], stack[top, 1] = box, last
        top += 1
    while top > 0:
        top -= 1
        box, level = stack[top, 0], stack[top, 1]
        if not on_ray(x, y, z, boxes, box):
            continue
        if level > 0:
            first = level_start[level - 1] + WIDTH * (box - level_start[level])
            for child in range(first, first + WIDTH):
                stack[top, 0], stack[top, 1] = child, level - 1
                top += 1
            continue
        for f in range(WIDTH * box, min(WIDTH * box + WIDTH, len(facets))):
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
def _line_excess(  # type: ignore[no-untyped-def]
    lo, hi, lines, z_low, z_high, moved, facets, boxes, level_start, first_cap, cap_boxes, cap_start, dipoles, excess
):
    stack = np.empty((STACK, 2), np.int64)
    scratch = np.empty((64, 2))
    for i in range(lo, hi):
        x, y = lines[i, 0], lines[i, 1]
        hits = _line_hits(x, y, z_low, moved, facets, boxes, level_start, stack, scratch)
        winding = int(hits[:, 1].sum())
        low = z_low
        for k in range(len(hits) + 1):
            high = min(hits[k, 0], z_high) if k < len(hits) else z_high
            if high > low:
                held = 0.0
                z0, inside0 = low, False
                for sample in range(_SAMPLES):
                    z = low + (high - low) * min(1 - 1e-4, max(1e-4, sample / (_SAMPLES - 1)))
                    angle = caps_angle(x, y, z, moved, facets, first_cap, cap_start, dipoles, stack)
                    inside = winding - angle / (4 * math.pi) >= 0.5
                    if sample > 0 and inside == inside0:
                        held += z - z0 if inside else 0.0
                    elif sample > 0:
                        below, above = z0, z
                        for _ in range(_BISECTIONS):
                            middle = 0.5 * (below + above)
                            angle = caps_angle(x, y, middle, moved, facets, first_cap, cap_start, dipoles, stack)
                            if (winding - angle / (4 * math.pi) >= 0.5) == inside0:
                                below = middle
                            else:
                                above = middle
                        held += below - z0 if inside0 else z - below
                    z0, inside0 = z, inside
                held /= 1 - 2e-4
                excess[i] += held - (high - low if winding >= 1 else 0.0)
            if k < len(hits):
                winding -= int(hits[k, 1])
                low = max(low, hits[k, 0])
            if low >= z_high:
                break
