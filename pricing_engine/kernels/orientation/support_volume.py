"""Support volume below overhangs, for many directions, with an irregular z-buffer.

The overhanging surface is sampled: a facet that is small against the model by its centroid, a larger one by the
centroids of the triangles that longest-edge bisection cuts it into. For a direction *down*, the samples that overhang
are bucketed into square cells of the plane across it; then every triangle that faces up is streamed once over the
cells that it covers and raises the floor of the samples that lie above it. (Samples as irregular pixels: Johnson et
al., "The irregular z-buffer", ACM TOG 2005; Aila and Laine, "Alias-free shadow maps", EGSR 2004.) Only surfaces
facing up can lie below an overhang of a closed surface, so a sample never meets its own facet.

A call measures one *band* of a direction: the samples whose distance from the middle, across, is in [near, far). All
terms are at least 0, so the bands measured so far bound the volume from below, and their sum is it once all are.

O(samples + triangles + triangle-cell overlaps) a direction; no tree, no rays, and one huge facet among a million small
ones costs its cells and no more. Eight samples or triangles are projected and culled at once, blocks of 64 by their
boxes. Heights are ``-point . down`` in float32 about the model's centre: errors of 1e-7 of the model's size, within
the 1e-6 at which surfaces count as touching.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.orientation.support_samples import BLOCK, dot8, extent, most_along, overhanging, strip
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import at_most8, less8, load8, lowest_bit, max8, min8, select8, splat8, store8

_ZERO, _ONE = np.float32(0), np.float32(1)
_MOST_CELLS = np.float32(4096)  # along a side
_SIDE = 4  # cells whose highest sample is known for a block of triangles to pass by
_UPRIGHT = np.float32(2e-3)  # a normal's part along down from where no rounding makes its triangle look up
_A_CELL = np.float32(4)  # samples: they are tested eight at once, so fewer would cost more cells for nothing


@kernel
def support_volumes(
    lo,
    hi,
    frames,
    platform,
    rest,
    near,
    far,
    corners,
    blocks,
    normals,
    samples,
    owner,
    sample_blocks,
    sample_normals,
    sample_groups,
    cosine,
    touch,
    unit,
    most,
    volumes,
    work,
):
    """Support volume (mm3) of a band each for directions ``lo .. hi`` of ``frames``.

    ``frames`` (D, 9) float32: across, across, down; ``platform`` and ``rest`` (D,) float32: height of the platform and
    the height up to which facets rest on it;
    ``near`` and ``far`` (D,): the band. ``corners`` (9, N) and ``samples`` (7, S), their columns a multiple of eight,
    padded by NaN and by zeros, and the boxes of their blocks (:func:`block_boxes`).

    ``unit`` (mm3), a power of two: each sample's share is rounded to a multiple of it, so that sums are exact and do
    not depend on the bands. ``work`` (D, 2): rows of cells visited, and tests of a triangle with eight samples. A
    direction that needs more than ``most`` of both gets UNMEASURED.
    """
    lanes = np.empty(8 * 16, np.float32)
    for d in range(lo, hi):
        frame = frames[d]
        chosen = overhanging(
            frame, rest[d], near[d], far[d], corners, samples, owner, sample_blocks, sample_normals, sample_groups,
            cosine, touch, lanes,
        )  # fmt: skip
        volumes[d] = _volume(
            frame, platform[d], near[d], corners, blocks, normals, chosen, touch, unit, most, lanes, work[d]
        )


@kernel
def _volume(frame, platform, near, corners, boxes, normals, chosen, touch, unit, most, lanes, work):
    found = chosen.shape[1]
    if found == 0:
        return 0.0
    ulo = vlo = np.float32(np.inf)
    uhi = vhi = highest = np.float32(-np.inf)
    for s in range(found):
        u, v = chosen[0, s], chosen[1, s]
        ulo, uhi, vlo, vhi = min(ulo, u), max(uhi, u), min(vlo, v), max(vhi, v)
        highest = max(highest, chosen[2, s])
    # square cells of equal numbers of samples, on average
    wide, deep = max(uhi - ulo, touch), max(vhi - vlo, touch)
    cell = max(np.sqrt(_A_CELL * wide * deep / np.float32(found)), max(wide, deep) / _MOST_CELLS)
    scale = _ONE / cell
    columns, rows = int(wide * scale) + 1, int(deep * scale) + 1
    start = np.zeros(columns * rows + 1, np.int32)
    for s in range(found):
        start[int((chosen[1, s] - vlo) * scale) * columns + int((chosen[0, s] - ulo) * scale) + 1] += 1
    for k in range(columns * rows):
        start[k + 1] += start[k]
    peaks = np.full(columns * rows, -np.inf, np.float32)  # the highest sample of each cell
    held = np.zeros((5, found + 8), np.float32)  # u, v, height, weight, floor
    floors = held[4]
    for s in range(found - 1, -1, -1):
        k = int((chosen[1, s] - vlo) * scale) * columns + int((chosen[0, s] - ulo) * scale)
        start[k + 1] -= 1
        at = start[k + 1]
        held[0, at], held[1, at], held[2, at], held[3, at] = chosen[0, s], chosen[1, s], chosen[2, s], chosen[3, s]
        floors[at] = platform
        peaks[k] = max(peaks[k], chosen[2, s])
    # start[k + 1] now is where cell k begins
    wide_columns = columns // _SIDE + 1
    wide_peaks = np.full(wide_columns * (rows // _SIDE + 1), -np.inf, np.float32)  # of every _SIDE * _SIDE cells
    for row in range(rows):
        for column in range(columns):
            k = row // _SIDE * wide_columns + column // _SIDE
            wide_peaks[k] = max(wide_peaks[k], peaks[row * columns + column])
    ux8, uy8, uz8 = splat8(frame[0]), splat8(frame[1]), splat8(frame[2])
    vx8, vy8, vz8 = splat8(frame[3]), splat8(frame[4]), splat8(frame[5])
    dx8, dy8, dz8 = splat8(-frame[6]), splat8(-frame[7]), splat8(-frame[8])
    edge = np.float32(2) * touch  # a sample so near a triangle may count as above it, whatever the band
    ulo8, uhi8, vlo8, vhi8 = splat8(ulo - edge), splat8(uhi + edge), splat8(vlo - edge), splat8(vhi + edge)
    zero8, platform8, highest8 = splat8(_ZERO), splat8(platform), splat8(highest + np.float32(10) * touch)
    above8 = splat8(np.float32(10) * touch)
    inner, near8, slack = near - edge, splat8(near - edge), np.float32(4) * touch
    visits, tests = 0, 0
    for block in range(boxes.shape[1]):
        if visits + tests > most:
            break
        if -most_along(normals, block, -frame[6], -frame[7], -frame[8]) > _UPRIGHT:
            continue  # all look down
        v, deep = extent(boxes, block, frame[3], frame[4], frame[5])
        deep += slack
        if abs(v) + deep < inner or v - deep > vhi or v + deep < vlo:
            continue
        u, wide = extent(boxes, block, frame[0], frame[1], frame[2])
        wide += slack
        height, tall = extent(boxes, block, -frame[6], -frame[7], -frame[8])
        lowest = height - tall - slack - np.float32(10) * touch
        if u - wide > uhi or u + wide < ulo or lowest > highest:
            continue
        last_column = int(min(u + wide - ulo, uhi - ulo) * scale) // _SIDE
        peak = np.float32(-np.inf)
        for row in range(
            int(max(v - deep - vlo, _ZERO) * scale) // _SIDE, int(min(v + deep - vlo, vhi - vlo) * scale) // _SIDE + 1
        ):
            for column in range(int(max(u - wide - ulo, _ZERO) * scale) // _SIDE, last_column + 1):
                peak = max(peak, wide_peaks[row * wide_columns + column])
            if lowest <= peak:
                break
        if lowest > peak:
            continue  # there is nothing above any
        for t in range(block * BLOCK, min(block * BLOCK + BLOCK, corners.shape[1]), 8):
            av8, bv8, cv8 = (
                dot8(corners, 0, t, vx8, vy8, vz8),
                dot8(corners, 3, t, vx8, vy8, vz8),
                dot8(corners, 6, t, vx8, vy8, vz8),
            )
            tvlo8, tvhi8 = min8(min8(av8, bv8), cv8), max8(max8(av8, bv8), cv8)
            mask = at_most8(tvlo8, vhi8) & at_most8(vlo8, tvhi8) & at_most8(near8, max8(tvhi8, zero8 - tvlo8))
            if mask == 0:
                continue
            au8, bu8, cu8 = (
                dot8(corners, 0, t, ux8, uy8, uz8),
                dot8(corners, 3, t, ux8, uy8, uz8),
                dot8(corners, 6, t, ux8, uy8, uz8),
            )
            double8 = (bu8 - au8) * (cv8 - av8) - (bv8 - av8) * (cu8 - au8)
            tulo8, tuhi8 = min8(min8(au8, bu8), cu8), max8(max8(au8, bu8), cu8)
            mask &= less8(double8, zero8) & at_most8(tulo8, uhi8) & at_most8(ulo8, tuhi8)
            if mask == 0:
                continue
            ah8, bh8, ch8 = (
                dot8(corners, 0, t, dx8, dy8, dz8),
                dot8(corners, 3, t, dx8, dy8, dz8),
                dot8(corners, 6, t, dx8, dy8, dz8),
            )
            low8, high8 = min8(min8(ah8, bh8), ch8), max8(max8(ah8, bh8), ch8)
            mask &= at_most8(low8, highest8) & less8(platform8, high8)
            if mask == 0:
                continue
            store8(lanes, 0, au8)
            store8(lanes, 8, av8)
            store8(lanes, 16, bu8)
            store8(lanes, 24, bv8)
            store8(lanes, 32, cu8)
            store8(lanes, 40, cv8)
            store8(lanes, 48, ah8)
            store8(lanes, 56, bh8)
            store8(lanes, 64, ch8)
            store8(lanes, 72, double8)
            store8(lanes, 80, tulo8)
            store8(lanes, 88, tuhi8)
            store8(lanes, 96, tvlo8)
            store8(lanes, 104, tvhi8)
            store8(lanes, 112, low8)
            store8(lanes, 120, high8)
            while mask != 0:
                k = lowest_bit(mask)
                mask &= mask - 1
                au, av, bu, bv = lanes[k], lanes[8 + k], lanes[16 + k], lanes[24 + k]
                cu, cv = lanes[32 + k], lanes[40 + k]
                first_row = int(max(lanes[96 + k] - edge - vlo, _ZERO) * scale)
                last_row = min(int((lanes[104 + k] + edge - vlo) * scale), rows - 1)
                first_column = int(max(lanes[80 + k] - edge - ulo, _ZERO) * scale)
                last_column = min(int((lanes[88 + k] + edge - ulo) * scale), columns - 1)
                narrow = last_column - first_column < 5 or last_row - first_row < 1
                ah, low, high = lanes[48 + k], lanes[112 + k], lanes[120 + k]
                if last_column - first_column + last_row - first_row < 3:  # mostly there is nothing above it
                    peak = np.float32(-np.inf)
                    for row in range(first_row, last_row + 1):
                        for column in range(first_column, last_column + 1):
                            peak = max(peak, peaks[row * columns + column])
                    if low > peak + np.float32(10) * touch:
                        continue
                over = _ONE / lanes[72 + k]
                bh, ch = splat8((lanes[56 + k] - ah) * over), splat8((lanes[64 + k] - ah) * over)
                abu, abv, cau, cav, bcu, bcv = bu - au, bv - av, au - cu, av - cv, cu - bu, cv - bv
                within_c, within_b = splat8(touch * (abs(abu) + abs(abv))), splat8(touch * (abs(cau) + abs(cav)))
                within_a = splat8(touch * (abs(bcu) + abs(bcv)))
                au8, av8, bu8, bv8, cu8, cv8 = splat8(au), splat8(av), splat8(bu), splat8(bv), splat8(cu), splat8(cv)
                abu8, abv8, cau8, cav8 = splat8(abu), splat8(abv), splat8(cau), splat8(cav)
                bcu8, bcv8, ah8, low8, high8 = splat8(bcu), splat8(bcv), splat8(ah), splat8(low), splat8(high)
                visits += last_row - first_row + 1
                for row in range(first_row, last_row + 1):
                    left, right = first_column, last_column
                    if not narrow:  # the columns that the triangle covers within this row
                        below = vlo + np.float32(row) * cell - edge
                        above = vlo + np.float32(row + 1) * cell + edge
                        from_u, to_u = np.float32(np.inf), np.float32(-np.inf)
                        from_u, to_u = strip(au, av, bu, bv, below, above, from_u, to_u)
                        from_u, to_u = strip(bu, bv, cu, cv, below, above, from_u, to_u)
                        from_u, to_u = strip(cu, cv, au, av, below, above, from_u, to_u)
                        if from_u > to_u:
                            continue
                        left = max(left, int(max(from_u - edge - ulo, _ZERO) * scale))
                        right = min(right, int(max(to_u + edge - ulo, _ZERO) * scale))
                        if left > right:
                            continue
                    begin, end = row * columns + left, row * columns + right
                    stop = start[end + 2] if end + 2 < len(start) else found
                    tests += (stop - start[begin + 1] + 7) >> 3
                    for s in range(start[begin + 1], stop, 8):
                        u, v = load8(held, 0, s), load8(held, 1, s)
                        # twice the signed areas, negative within; edges count as within: no crack
                        across_c = abu8 * (v - av8) - abv8 * (u - au8)
                        across_b = cau8 * (v - cv8) - cav8 * (u - cu8)
                        across_a = bcu8 * (v - bv8) - bcv8 * (u - bu8)
                        inside = at_most8(across_c, within_c) & at_most8(across_b, within_b)
                        inside &= at_most8(across_a, within_a)
                        if inside != 0:  # of cells beyond too: what lies above the triangle does so anywhere
                            floor = min8(max8(ah8 + bh * across_b + ch * across_c, low8), high8)
                            inside &= at_most8(floor, load8(held, 2, s) + above8)
                            before = load8(held, 4, s)
                            store8(floors, s, select8(inside, max8(floor, before), before))
    work[NODES], work[PAIRS] = visits, tests
    if visits + tests > most:
        return UNMEASURED
    volume = 0.0
    for s in range(found):
        volume += np.rint(np.float64(held[3, s]) * max(np.float64(held[2, s]) - np.float64(floors[s]), 0.0) / unit)
    return volume * unit
