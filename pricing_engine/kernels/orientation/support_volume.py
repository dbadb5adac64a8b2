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

from typing import Any, NamedTuple

import numpy as np

from pricing_engine.kernels.orientation.support_samples import (
    BLOCK,
    DOWN,
    SAMPLE_HEIGHT,
    SAMPLE_U,
    SAMPLE_V,
    SAMPLE_WEIGHT,
    U,
    V,
    axis_of,
    extent,
    max_along,
    overhanging,
    project8,
    strip,
)
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS
from pricing_engine.kernels.runtime.simd import at_most8, less8, load8, lowest_bit, max8, min8, select8, splat8, store8
from pricing_engine.kernels.runtime.vec3 import splat3
from pricing_engine.kernels.spatial.bvh import WIDTH

_ZERO, _ONE = np.float32(0), np.float32(1)
_MAX_CELLS = np.float32(4096)  # along a side
_SIDE = 4  # cells whose highest sample is stored for a block of triangles to pass by
_UPRIGHT = np.float32(2e-3)  # a normal's part along down from where no rounding turns its triangle up
_CELL_SAMPLES = np.float32(4)  # they are tested eight at once, so fewer would cost more cells for nothing
_FLOOR = 4  # row of the bucketed samples, after u, v, height and weight
# Rows of eight lanes of projected triangles: corners (u, v), heights, twice the area, ranges of u, v and height.
_AU, _AV, _BU, _BV, _CU, _CV, _AH, _BH, _CH, _DOUBLE, _ULO, _UHI, _VLO, _VHI, _LOW, _HIGH = range(0, 128, 8)


class Bands(NamedTuple):
    """A band of samples for each direction.

    ``frames`` (D, 9) float32: across, across, down; ``platform`` and ``rest`` (D,) float32 mm: height of the platform
    and the height up to which facets rest on it; ``near`` and ``far`` (D,) mm: the distance across between which
    samples are measured.
    """

    frames: Any
    platform: Any
    rest: Any
    near: Any
    far: Any


class _Cells(NamedTuple):
    """Samples (5, K + 8) float32 in square cells; cell k holds those from ``start[k + 1]`` to ``start[k + 2]``.

    ``floors``: their last row. ``peaks``: the highest sample of each cell, ``wide_peaks`` of every _SIDE * _SIDE.
    ``low``, ``high``: range of (u, v); ``top``: the highest sample; ``size``: (columns, rows, wide columns); ``cell``
    and ``scale``: a cell's side (mm) and its inverse.
    """

    samples: Any
    floors: Any
    start: Any
    peaks: Any
    wide_peaks: Any
    low: Any
    high: Any
    top: Any
    size: Any
    cell: Any
    scale: Any


class _Limits(NamedTuple):
    """What triangles are compared with in all lanes: axes across and up, ranges of u and v, the band, heights."""

    u: Any
    v: Any
    up: Any
    low: Any
    high: Any
    near: Any
    platform: Any
    top: Any


@kernel
def support_volumes(lo, hi, bands, surface, cosine, touch, unit, budget, volumes, work):
    """Support volume (mm3) of a band each for directions ``lo .. hi`` of ``bands``: a range kernel.

    ``surface``: a :class:`SupportSurface`. ``cosine``: of the angle from down, above which a normal overhangs;
    ``touch`` (mm): distance at which surfaces touch.

    ``unit`` (mm3), a power of two: each sample's share is rounded to a multiple of it, so that sums are exact and do
    not depend on the bands. ``work`` (D, 2): rows of cells visited, and tests of a triangle with eight samples. A
    direction that needs more than ``budget`` of both gets UNMEASURED.
    """
    lanes = np.empty(_HIGH + WIDTH, np.float32)
    for d in range(lo, hi):
        frame = bands.frames[d]
        chosen = overhanging(frame, bands.rest[d], bands.near[d], bands.far[d], surface, cosine, touch, lanes)
        volumes[d] = _volume(
            frame, bands.platform[d], bands.near[d], surface, chosen, touch, unit, budget, lanes, work[d]
        )


@kernel
def _bucket_samples(chosen, platform, touch):
    """Sort the ``chosen`` samples (4, K), K > 0, into :class:`_Cells` by counting."""
    found = chosen.shape[1]
    ulo = vlo = np.float32(np.inf)
    uhi = vhi = highest = np.float32(-np.inf)
    for s in range(found):
        u, v = chosen[SAMPLE_U, s], chosen[SAMPLE_V, s]
        ulo, uhi, vlo, vhi = min(ulo, u), max(uhi, u), min(vlo, v), max(vhi, v)
        highest = max(highest, chosen[SAMPLE_HEIGHT, s])
    # square cells of equal numbers of samples, on average
    wide, deep = max(uhi - ulo, touch), max(vhi - vlo, touch)
    cell = max(np.sqrt(_CELL_SAMPLES * wide * deep / np.float32(found)), max(wide, deep) / _MAX_CELLS)
    scale = _ONE / cell
    columns, rows = int(wide * scale) + 1, int(deep * scale) + 1
    start = np.zeros(columns * rows + 1, np.int32)
    for s in range(found):
        row, column = int((chosen[SAMPLE_V, s] - vlo) * scale), int((chosen[SAMPLE_U, s] - ulo) * scale)
        start[row * columns + column + 1] += 1
    for k in range(columns * rows):
        start[k + 1] += start[k]
    peaks = np.full(columns * rows, -np.inf, np.float32)
    held = np.zeros((5, found + WIDTH), np.float32)
    floors = held[_FLOOR]
    for s in range(found - 1, -1, -1):
        k = int((chosen[SAMPLE_V, s] - vlo) * scale) * columns + int((chosen[SAMPLE_U, s] - ulo) * scale)
        start[k + 1] -= 1
        at = start[k + 1]
        for row in range(4):
            held[row, at] = chosen[row, s]
        floors[at] = platform
        peaks[k] = max(peaks[k], chosen[SAMPLE_HEIGHT, s])
    # start[k + 1] now is where cell k begins
    wide_columns = columns // _SIDE + 1
    wide_peaks = np.full(wide_columns * (rows // _SIDE + 1), -np.inf, np.float32)
    for row in range(rows):
        for column in range(columns):
            k = row // _SIDE * wide_columns + column // _SIDE
            wide_peaks[k] = max(wide_peaks[k], peaks[row * columns + column])
    size = columns, rows, wide_columns
    return _Cells(held, floors, start, peaks, wide_peaks, (ulo, vlo), (uhi, vhi), highest, size, cell, scale)


@inlined
def _lies_clear(frame, surface, block, inner, touch, cells):
    """Whether no triangle of a block can raise the floor of a sample: all face down, or no sample lies above any."""
    down, boxes = axis_of(frame, DOWN), surface.blocks
    if -max_along(surface.normals, block, -down[0], -down[1], -down[2]) > _UPRIGHT:
        return True
    (ulo, vlo), (uhi, vhi), scale, slack = cells.low, cells.high, cells.scale, np.float32(4) * touch
    v, deep = extent(boxes, block, frame[V], frame[V + 1], frame[V + 2])
    deep += slack
    if abs(v) + deep < inner or v - deep > vhi or v + deep < vlo:
        return True
    u, wide = extent(boxes, block, frame[U], frame[U + 1], frame[U + 2])
    wide += slack
    height, tall = extent(boxes, block, -down[0], -down[1], -down[2])
    lowest = height - tall - slack - np.float32(10) * touch
    if u - wide > uhi or u + wide < ulo or lowest > cells.top:
        return True
    last_column = int(min(u + wide - ulo, uhi - ulo) * scale) // _SIDE
    peak = np.float32(-np.inf)
    for row in range(
        int(max(v - deep - vlo, _ZERO) * scale) // _SIDE, int(min(v + deep - vlo, vhi - vlo) * scale) // _SIDE + 1
    ):
        for column in range(int(max(u - wide - ulo, _ZERO) * scale) // _SIDE, last_column + 1):
            peak = max(peak, cells.wide_peaks[row * cells.size[2] + column])
        if lowest <= peak:
            break
    return lowest > peak


@inlined
def _project_triangles8(corners, t, limits, lanes):
    """Mask of the triangles ``t .. t + 8`` that face up and may lie below samples; stores these in ``lanes``."""
    av, bv, cv = project8(corners, 0, t, limits.v), project8(corners, 3, t, limits.v), project8(corners, 6, t, limits.v)
    vlo, vhi, zero8 = min8(min8(av, bv), cv), max8(max8(av, bv), cv), splat8(_ZERO)
    mask = at_most8(vlo, limits.high[1]) & at_most8(limits.low[1], vhi) & at_most8(limits.near, max8(vhi, zero8 - vlo))
    if mask == 0:
        return mask
    au, bu, cu = project8(corners, 0, t, limits.u), project8(corners, 3, t, limits.u), project8(corners, 6, t, limits.u)
    double = (bu - au) * (cv - av) - (bv - av) * (cu - au)
    ulo, uhi = min8(min8(au, bu), cu), max8(max8(au, bu), cu)
    mask &= less8(double, zero8) & at_most8(ulo, limits.high[0]) & at_most8(limits.low[0], uhi)
    if mask == 0:
        return mask
    ah, bh, ch = (
        project8(corners, 0, t, limits.up),
        project8(corners, 3, t, limits.up),
        project8(corners, 6, t, limits.up),
    )
    low, high = min8(min8(ah, bh), ch), max8(max8(ah, bh), ch)
    mask &= at_most8(low, limits.top) & less8(limits.platform, high)
    if mask == 0:
        return mask
    store8(lanes, _AU, au)
    store8(lanes, _AV, av)
    store8(lanes, _BU, bu)
    store8(lanes, _BV, bv)
    store8(lanes, _CU, cu)
    store8(lanes, _CV, cv)
    store8(lanes, _AH, ah)
    store8(lanes, _BH, bh)
    store8(lanes, _CH, ch)
    store8(lanes, _DOUBLE, double)
    store8(lanes, _ULO, ulo)
    store8(lanes, _UHI, uhi)
    store8(lanes, _VLO, vlo)
    store8(lanes, _VHI, vhi)
    store8(lanes, _LOW, low)
    store8(lanes, _HIGH, high)
    return mask


@inlined
def _raise_floors(lanes, k, edge, touch, cells):
    """Raise the floors of the samples above the projected triangle in lane k; rows visited, tests of eight samples."""
    (ulo, vlo), (columns, rows, _), cell, scale = cells.low, cells.size, cells.cell, cells.scale
    held, floors, start, peaks = cells.samples, cells.floors, cells.start, cells.peaks
    au, av, bu, bv = lanes[_AU + k], lanes[_AV + k], lanes[_BU + k], lanes[_BV + k]
    cu, cv = lanes[_CU + k], lanes[_CV + k]
    first_row = int(max(lanes[_VLO + k] - edge - vlo, _ZERO) * scale)
    last_row = min(int((lanes[_VHI + k] + edge - vlo) * scale), rows - 1)
    first_column = int(max(lanes[_ULO + k] - edge - ulo, _ZERO) * scale)
    last_column = min(int((lanes[_UHI + k] + edge - ulo) * scale), columns - 1)
    narrow = last_column - first_column < 5 or last_row - first_row < 1
    ah, low, high = lanes[_AH + k], lanes[_LOW + k], lanes[_HIGH + k]
    if last_column - first_column + last_row - first_row < 3:  # mostly there is nothing above it
        peak = np.float32(-np.inf)
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                peak = max(peak, peaks[row * columns + column])
        if low > peak + np.float32(10) * touch:
            return 0, 0
    inverse = _ONE / lanes[_DOUBLE + k]
    bh, ch = splat8((lanes[_BH + k] - ah) * inverse), splat8((lanes[_CH + k] - ah) * inverse)
    abu, abv, cau, cav, bcu, bcv = bu - au, bv - av, au - cu, av - cv, cu - bu, cv - bv
    within_c, within_b = splat8(touch * (abs(abu) + abs(abv))), splat8(touch * (abs(cau) + abs(cav)))
    within_a = splat8(touch * (abs(bcu) + abs(bcv)))
    au8, av8, bu8, bv8, cu8, cv8 = splat8(au), splat8(av), splat8(bu), splat8(bv), splat8(cu), splat8(cv)
    abu8, abv8, cau8, cav8 = splat8(abu), splat8(abv), splat8(cau), splat8(cav)
    bcu8, bcv8, ah8, low8, high8 = splat8(bcu), splat8(bcv), splat8(ah), splat8(low), splat8(high)
    above8, tests = splat8(np.float32(10) * touch), 0
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
        first, last = row * columns + left, row * columns + right
        stop = start[last + 2] if last + 2 < len(start) else held.shape[1] - WIDTH
        tests += (stop - start[first + 1] + 7) >> 3
        for s in range(start[first + 1], stop, WIDTH):
            u, v = load8(held, SAMPLE_U, s), load8(held, SAMPLE_V, s)
            # twice the signed areas, negative within; edges count as within: no crack
            across_c = abu8 * (v - av8) - abv8 * (u - au8)
            across_b = cau8 * (v - cv8) - cav8 * (u - cu8)
            across_a = bcu8 * (v - bv8) - bcv8 * (u - bu8)
            inside = at_most8(across_c, within_c) & at_most8(across_b, within_b)
            inside &= at_most8(across_a, within_a)
            if inside != 0:  # of cells beyond too: what lies above the triangle does so anywhere
                floor = min8(max8(ah8 + bh * across_b + ch * across_c, low8), high8)
                inside &= at_most8(floor, load8(held, SAMPLE_HEIGHT, s) + above8)
                before = load8(held, _FLOOR, s)
                store8(floors, s, select8(inside, max8(floor, before), before))
    return last_row - first_row + 1, tests


@kernel
def _volume(frame, platform, near, surface, chosen, touch, unit, budget, lanes, work):
    found = chosen.shape[1]
    if found == 0:
        return 0.0
    cells, corners = _bucket_samples(chosen, platform, touch), surface.corners
    edge = np.float32(2) * touch  # a sample so near a triangle may count as above it, whatever the band
    (ulo, vlo), (uhi, vhi), inner = cells.low, cells.high, near - edge
    down = axis_of(frame, DOWN)
    limits = _Limits(
        splat3(axis_of(frame, U)), splat3(axis_of(frame, V)), splat3((-down[0], -down[1], -down[2])),
        (splat8(ulo - edge), splat8(vlo - edge)), (splat8(uhi + edge), splat8(vhi + edge)),
        splat8(inner), splat8(platform), splat8(cells.top + np.float32(10) * touch),
    )  # fmt: skip
    visits, tests = 0, 0
    for block in range(surface.blocks.shape[1]):
        if visits + tests > budget:
            break
        if _lies_clear(frame, surface, block, inner, touch, cells):
            continue
        for t in range(block * BLOCK, min(block * BLOCK + BLOCK, corners.shape[1]), WIDTH):
            mask = _project_triangles8(corners, t, limits, lanes)
            while mask != 0:
                k = lowest_bit(mask)
                mask &= mask - 1
                rows, read = _raise_floors(lanes, k, edge, touch, cells)
                visits, tests = visits + rows, tests + read
    work[NODES], work[PAIRS] = visits, tests
    if visits + tests > budget:
        return UNMEASURED
    held, floors, volume = cells.samples, cells.floors, 0.0
    for s in range(found):
        height = max(np.float64(held[SAMPLE_HEIGHT, s]) - np.float64(floors[s]), 0.0)
        volume += np.rint(np.float64(held[SAMPLE_WEIGHT, s]) * height / unit)
    return volume * unit
