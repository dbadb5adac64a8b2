"""Layers the obvious way: one plane, one facet at a time; regions on a raster, pixel by pixel."""

from __future__ import annotations

from itertools import pairwise

import manifold3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]


def plane_heights(corners: Floats, height: float) -> Floats:
    """Heights of the layers of triangles (n, 3, 3)."""
    low, high = corners[..., 2].min(), corners[..., 2].max()
    heights = low + (np.arange(int((high - low) / height) + 2) + 0.5) * height
    inside: Floats = heights[heights < high - 1e-12 * max(abs(low), abs(high))]
    return inside


def section(corners: Floats, z: float) -> Floats:
    """Directed segments (n, 4) where triangles cross a plane, solid on the left; a corner on the plane is above it."""
    lines = []
    for corner in corners:
        above = corner[:, 2] >= z
        if above.all() or not above.any():
            continue
        ends = {}
        for i in range(3):
            p, q = corner[i], corner[(i + 1) % 3]
            if above[i] != above[(i + 1) % 3]:
                ends["end" if above[(i + 1) % 3] else "start"] = (p + (z - p[2]) / (q[2] - p[2]) * (q - p))[:2]
        lines.append([*ends["start"], *ends["end"]])
    return np.array(lines).reshape(-1, 4)


def area_and_perimeter(lines: Floats) -> tuple[float, float]:
    """Shoelace area and total length of segments (n, 4)."""
    x0, y0, x1, y1 = lines.T
    return float((x0 * y1 - x1 * y0).sum() / 2), float(np.hypot(x1 - x0, y1 - y0).sum())


def raster(lines: Floats, xs: Floats, ys: Floats) -> NDArray[np.bool_]:
    """Which points of the grid (ys, xs) have winding number at least 1."""
    winding = np.zeros((len(ys), len(xs)), int)
    for x0, y0, x1, y1 in lines:
        for row in np.flatnonzero((y0 <= ys) != (y1 <= ys)):
            winding[row, xs > x0 + (ys[row] - y0) / (y1 - y0) * (x1 - x0)] += 1 if y1 < y0 else -1
    return winding > 0


def layers_as_rasters(corners: Floats, height: float, cells: int) -> tuple[list[NDArray[np.bool_]], float]:
    """Every layer on a grid a little larger than the model, and the area of a cell."""
    low, high = corners.min(axis=(0, 1))[:2], corners.max(axis=(0, 1))[:2]
    step = (high - low) / (cells - 2.5)
    xs, ys = (low[i] + (np.arange(cells) - 0.737) * step[i] for i in range(2))
    return [raster(section(corners, z), xs, ys) for z in plane_heights(corners, height)], float(step.prod())


def islands(body: manifold3d.Manifold, heights: Floats) -> int:
    """Connected regions of a solid's sections whose intersection with the whole section before is empty."""
    count = 0
    sections = [body.slice(float(z)) for z in heights]
    for before, section in pairwise(sections):
        regions = [] if section.is_empty() else section.decompose()
        count += sum((region ^ before).area() < 1e-9 for region in regions)
    return count


def trapped_cells(layers: list[NDArray[np.bool_]]) -> int:
    """Empty cells that can't be reached from outside, moving straight within layers and straight up or down."""
    void = np.pad(~np.array(layers), ((1, 1), (0, 0), (0, 0)), constant_values=True)
    names, _ = ndimage.label(void)
    return int((void & (names != names[0, 0, 0])).sum())
