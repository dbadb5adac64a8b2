"""Weld a triangle soup or an indexed mesh into the canonical :class:`Mesh`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.spatial.facet_order import MAX_FACETS, facet_order
from pricing_engine.kernels.topology.weld import weld_corners
from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.raw_mesh import MAX_COORDINATE_MM

_GRAIN = 32768
_NO_FACETS = np.empty((0, 3), np.int32)


def canonical_mesh(corners: NDArray[Any], threads: int, scale: float = 1.0) -> Mesh:
    """Weld a soup: ``corners`` (F, 3, 3) or (F, 9), float32 or float64, in units of ``scale`` mm.

    Only bitwise equal positions (-0.0 equals 0.0) merge; ``scale`` applies to the welded vertices. O(n), beside the
    corners at most 36 bytes a facet for float32 corners of a closed mesh. Raises :class:`EmptyModel` without facets,
    :class:`BadCoordinates` for NaN, infinite or beyond 1e9 mm.
    """
    if corners.dtype != np.float32:
        corners = np.asarray(corners, np.float64)
        if scale != 1.0:  # float64 products may coincide, so scale before the weld
            corners, scale = corners * scale, 1.0
    positions = np.ascontiguousarray(corners).reshape(-1, 3)
    return _weld(positions, _NO_FACETS, len(corners), scale, threads)


def canonical_indexed(vertices: NDArray[Any], facets: NDArray[Any], threads: int) -> Mesh:
    """Weld an indexed mesh: ``vertices`` (V, 3) mm, ``facets`` (F, 3) integers; unused vertices are dropped.

    Raises :class:`CorruptModel` for an index out of range, otherwise as :func:`canonical_mesh`.
    """
    if len(facets) and (facets.min() < 0 or facets.max() >= len(vertices)):
        raise CorruptModel(f"facets refer to vertices beyond the {len(vertices)} of the file; export the model again")
    positions = np.ascontiguousarray(vertices, np.float64)
    return _weld(positions, np.ascontiguousarray(facets, np.int32), len(facets), 1.0, threads)


def _weld(positions: NDArray[Any], index: NDArray[np.int32], facet_count: int, scale: float, threads: int) -> Mesh:
    if facet_count == 0:
        raise EmptyModel("the model has no facets; export it again with its surface")
    if facet_count >= MAX_FACETS:
        raise UnreadableFile(f"the model has {facet_count} facets; decimate it below {MAX_FACETS}")
    chunk_boxes = np.empty((chunk_count(len(positions), _GRAIN), 6), np.float64)
    run_ranges(_bounds, len(positions), _GRAIN, threads, positions, MAX_COORDINATE_MM / scale, chunk_boxes)
    if np.isnan(chunk_boxes).any():
        raise BadCoordinates(
            "a coordinate is not a number, infinite or beyond 1e9 mm; repair the model or check its unit"
        )
    lo, hi = chunk_boxes[:, :3].min(axis=0), chunk_boxes[:, 3:].max(axis=0)
    order = facet_order(positions, index, facet_count, lo, float((hi - lo).max()), threads)
    vertices, facets = weld_corners(positions, index, order, scale, threads)
    return Mesh(vertices, facets)


@kernel
def _bounds(lo, hi, positions, limit, boxes):  # type: ignore[no-untyped-def]
    """Store the bounding box of a chunk of positions; NaN if one is not a number or beyond ``limit``."""
    x0 = x1 = positions[lo, 0]
    y0 = y1 = positions[lo, 1]
    z0 = z1 = positions[lo, 2]
    bad = 0
    for p in range(lo, hi):
        x, y, z = positions[p, 0], positions[p, 1], positions[p, 2]
        bad |= (not abs(x) <= limit) | (not abs(y) <= limit) | (not abs(z) <= limit)
        x0, x1 = min(x0, x), max(x1, x)
        y0, y1 = min(y0, y), max(y1, y)
        z0, z1 = min(z0, z), max(z1, z)
    box = boxes[lo // _GRAIN]
    box[0], box[1], box[2], box[3], box[4], box[5] = x0, y0, z0, x1, y1, z1
    if bad:
        box[0] = np.nan
