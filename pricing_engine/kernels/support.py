"""Support volume below overhangs, for one direction, with an irregular z-buffer.

The overhanging surface is sampled: a facet that is small against the model by its centroid, a larger one by the
centroids of the triangles that longest-edge bisection cuts it into. For a direction *down*, the samples that overhang
are bucketed into square cells of the plane across it; then every triangle that faces up is streamed once over the
cells that it covers and raises the floor of the samples that lie above it. (Samples as irregular pixels: Johnson et
al., "The irregular z-buffer", ACM TOG 2005; Aila and Laine, "Alias-free shadow maps", EGSR 2004.) Only surfaces
facing up can lie below an overhang of a closed surface, so a sample never meets its own facet.

O(samples + triangles + triangle-cell overlaps) a direction; no tree, no rays, and one huge facet among a million small
ones costs its cells and no more. Heights are ``-point . down`` in float32 about the model's centre: errors of 1e-7 of
the model's size, within the 1e-6 at which surfaces count as touching.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import inlined, kernel


@inlined
def rests(corners, triangle, x, y, z, limit):
    """Whether all corners of the triangle are at most ``limit`` high, down being (x, y, z)."""
    low = True
    for k in range(3):
        height = -(corners[3 * k, triangle] * x + corners[3 * k + 1, triangle] * y + corners[3 * k + 2, triangle] * z)
        low = low and height <= limit
    return low


@kernel
def support_volumes(lo, hi, frames, platform, rest, corners, samples, owner, cosine, touch, volumes):
    """Support volume (mm3) for directions ``lo .. hi`` of ``frames`` (D, 9) float32: across, across, down.

    ``platform`` and ``rest`` (D,) float32: height of the platform and the height up to which facets rest on it.
    """
    for direction in range(lo, hi):
        volumes[direction] = _volume(
            frames[direction], platform[direction], rest[direction], corners, samples, owner, cosine, touch
        )


@inlined
def _volume(frame, platform, rest, corners, samples, owner, cosine, touch):
    ux, uy, uz, vx, vy, vz = frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]
    dx, dy, dz = frame[6], frame[7], frame[8]
    size, count = samples.shape[1], 0
    for s in range(size):
        count += samples[3, s] * dx + samples[4, s] * dy + samples[5, s] * dz > cosine * samples[6, s]
    chosen, found = np.empty((4, count), np.float32), 0
    ulo = vlo = np.float32(np.inf)
    uhi = vhi = np.float32(-np.inf)
    for s in range(size):
        area = samples[3, s] * dx + samples[4, s] * dy + samples[5, s] * dz
        if area > cosine * samples[6, s]:
            x, y, z = samples[0, s], samples[1, s], samples[2, s]
            height = -(x * dx + y * dy + z * dz)
            if height <= rest and rests(corners, owner[s], dx, dy, dz, rest):
                continue
            u, v = x * ux + y * uy + z * uz, x * vx + y * vy + z * vz
            ulo, uhi, vlo, vhi = min(ulo, u), max(uhi, u), min(vlo, v), max(vhi, v)
            chosen[0, found], chosen[1, found], chosen[2, found], chosen[3, found] = u, v, height, area
            found += 1
    if found == 0:
        return 0.0
    # square cells, about one sample each
    wide, deep = max(uhi - ulo, touch), max(vhi - vlo, touch)
    cell = max(np.sqrt(wide * deep / np.float32(found)), max(wide, deep) / np.float32(4096))
    scale = np.float32(1) / cell
    columns, rows = int(wide * scale) + 1, int(deep * scale) + 1
    start = np.zeros(columns * rows + 1, np.int32)
    for s in range(found):
        start[int((chosen[1, s] - vlo) * scale) * columns + int((chosen[0, s] - ulo) * scale) + 1] += 1
    for k in range(columns * rows):
        start[k + 1] += start[k]
    us, vs, heights, floors = (
        np.empty(found, np.float32),
        np.empty(found, np.float32),
        np.empty(found, np.float32),
        np.empty(found, np.float32),
    )
    weights = np.empty(found, np.float32)
    for s in range(found - 1, -1, -1):
        k = int((chosen[1, s] - vlo) * scale) * columns + int((chosen[0, s] - ulo) * scale)
        start[k + 1] -= 1
        at = start[k + 1]
        us[at], vs[at], heights[at], weights[at] = chosen[0, s], chosen[1, s], chosen[2, s], chosen[3, s]
        floors[at] = platform
    # start[k + 1] now is where cell k begins
    for t in range(corners.shape[1]):
        ax, ay, az = corners[0, t], corners[1, t], corners[2, t]
        bx, by, bz = corners[3, t], corners[4, t], corners[5, t]
        cx, cy, cz = corners[6, t], corners[7, t], corners[8, t]
        au, av = ax * ux + ay * uy + az * uz, ax * vx + ay * vy + az * vz
        bu, bv = bx * ux + by * uy + bz * uz, bx * vx + by * vy + bz * vz
        cu, cv = cx * ux + cy * uy + cz * uz, cx * vx + cy * vy + cz * vz
        double = (bu - au) * (cv - av) - (bv - av) * (cu - au)
        if not double < 0:
            continue
        tulo, tuhi, tvlo, tvhi = min(au, bu, cu), max(au, bu, cu), min(av, bv, cv), max(av, bv, cv)
        if tuhi < ulo or tulo > uhi or tvhi < vlo or tvlo > vhi:
            continue
        first_row, last_row = int(max(tvlo - touch - vlo, 0) * scale), min(int((tvhi + touch - vlo) * scale), rows - 1)
        first_column, last_column = (
            int(max(tulo - touch - ulo, 0) * scale),
            min(int((tuhi + touch - ulo) * scale), columns - 1),
        )
        narrow = last_column - first_column < 2 or last_row - first_row < 1
        for row in range(first_row, last_row + 1):
            left, right = first_column, last_column
            if not narrow:  # the columns that the triangle covers within this row
                below, above = vlo + row * cell - touch, vlo + (row + 1) * cell + touch
                near, far = np.float32(np.inf), np.float32(-np.inf)
                near, far = _strip(au, av, bu, bv, below, above, near, far)
                near, far = _strip(bu, bv, cu, cv, below, above, near, far)
                near, far = _strip(cu, cv, au, av, below, above, near, far)
                if near > far:
                    continue
                left = max(left, int(max(near - touch - ulo, 0) * scale))
                right = min(right, int(max(far + touch - ulo, 0) * scale))
                if left > right:
                    continue
            begin, end = row * columns + left, row * columns + right
            stop = start[end + 2] if end + 2 < len(start) else found
            for s in range(start[begin + 1], stop):
                u, v = us[s], vs[s]
                # twice the signed areas, negative within; an edge counts as within, so neighbours leave no crack
                across_c = (bu - au) * (v - av) - (bv - av) * (u - au)
                across_b = (au - cu) * (v - cv) - (av - cv) * (u - cu)
                across_a = (cu - bu) * (v - bv) - (cv - bv) * (u - bu)
                if (
                    across_c <= touch * (abs(bu - au) + abs(bv - av))
                    and across_b <= touch * (abs(au - cu) + abs(av - cv))
                    and across_a <= touch * (abs(cu - bu) + abs(cv - bv))
                ):
                    ah, bh = -(ax * dx + ay * dy + az * dz), -(bx * dx + by * dy + bz * dz)
                    ch = -(cx * dx + cy * dy + cz * dz)
                    floor = ah + ((bh - ah) * across_b + (ch - ah) * across_c) / double
                    floor = min(max(floor, min(ah, bh, ch)), max(ah, bh, ch))
                    if floor <= heights[s] + np.float32(10) * touch:
                        floors[s] = max(floors[s], floor)
    volume = 0.0
    for s in range(found):
        volume += np.float64(weights[s]) * max(np.float64(heights[s]) - np.float64(floors[s]), 0.0)
    return volume


@inlined
def _strip(pu, pv, qu, qv, below, above, near, far):
    """Widen [near, far] by the u of segment pq where its v is within [below, above]."""
    if pv > qv:
        pu, pv, qu, qv = qu, qv, pu, pv
    if qv < below or pv > above:
        return near, far
    slope = (qu - pu) / (qv - pv) if qv > pv else np.float32(0)
    from_u = pu + (below - pv) * slope if pv < below else pu
    to_u = qu + (above - qv) * slope if qv > above else qu
    return min(near, from_u, to_u), max(far, from_u, to_u)
