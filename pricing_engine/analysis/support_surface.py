"""The surface that may need support, as triangles and as samples of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.boundary import WHOLE, Boundary
from pricing_engine.kernels.bvh import Bvh
from pricing_engine.kernels.cell_order import SIDE, cell_keys, reorder, sort_cells
from pricing_engine.kernels.orientation import area_vectors, split_triangles
from pricing_engine.kernels.support_samples import BLOCK, block_boxes
from pricing_engine.kernels.threads import chunk_count, run_ranges
from pricing_engine.kernels.work import record, work_array
from pricing_engine.mesh.model import Mesh

_SPACING = 1 / 64  # of the model's size: the longest edge of a sample's triangle
REACH = 0.67 * _SPACING  # of the model's size: how far a sample's triangle reaches from it
_CUT = 1.1  # samples a triangle, from where they are put in spatial order
_MOST_SAMPLES = 1 << 20  # or two a triangle
_GRAIN = 16_384
_PARTS = 8


@dataclass(frozen=True, slots=True)
class Surface:
    """The boundary's triangles, ``corners`` (9, N) float32 about the tree's centre, and its samples.

    ``samples`` (7, S) float32: point, area vector, area; ``owner`` (S,) int32: the triangle of each. ``blocks`` and
    ``sample_blocks`` (6, n): boxes of every 64 triangles and samples, ``sample_groups``: of every 64 ``sample_blocks``.
    """

    corners: NDArray[np.float32]
    blocks: NDArray[np.float32]
    samples: NDArray[np.float32]
    owner: NDArray[np.int32]
    sample_blocks: NDArray[np.float32]
    sample_groups: NDArray[np.float32]


def sampled_boundary(mesh: Mesh, bvh: Bvh, boundary: Boundary, size: float, threads: int) -> Surface:
    """Sample the boundary of a model of ``size`` mm. O(facets + samples)."""
    corners, areas = _triangles(mesh, bvh, boundary)
    samples, owner = _samples(corners, areas, np.float32(size * _SPACING), threads)
    boxes = _block_boxes(samples, 3, threads)
    groups = _block_boxes(boxes, 6, threads)
    return Surface(corners, _block_boxes(corners, 9, threads), samples, owner, boxes, groups)


def _triangles(mesh: Mesh, bvh: Bvh, boundary: Boundary) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boundary's triangles: corners (9, N) float32 about the centre, and area vector and area (4, N) float32."""
    areas = np.empty((4, mesh.facet_count + len(boundary.pieces)), np.float32)
    run_ranges(area_vectors, mesh.facet_count, _GRAIN, 1, mesh.vertices, mesh.facets, areas)
    if not len(boundary.pieces) and (boundary.status == WHOLE).all():
        return bvh.corners, areas
    whole = np.flatnonzero(boundary.status == WHOLE)
    pieces = boundary.pieces
    cross = np.cross(pieces[:, 1] - pieces[:, 0], pieces[:, 2] - pieces[:, 0]).T / 2
    extra = np.vstack([cross, np.linalg.norm(cross, axis=0)])
    spare = np.full((9, -(len(whole) + len(pieces)) % 8), np.nan, np.float32)
    corners = np.hstack([bvh.corners[:, whole], (pieces - bvh.centre).reshape(-1, 9).T.astype(np.float32), spare])
    return np.ascontiguousarray(corners), np.ascontiguousarray(np.hstack([areas[:, whole], extra]).astype(np.float32))


def _samples(
    corners: NDArray[np.float32], areas: NDArray[np.float32], spacing: np.float32, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Samples (7, S) float32 - point, area vector, area - and the triangle (S,) int32 that each is of."""
    count = areas.shape[1]
    counts = np.zeros(count, np.int32)
    nothing, nobody = np.empty((7, 0), np.float32), np.empty(0, np.int32)
    grain = int(np.clip(count // _PARTS, _GRAIN // 16, _GRAIN))  # slivers take as long as a hundred others
    most, work = max(_MOST_SAMPLES, 2 * count), work_array(count, grain)
    run_ranges(
        split_triangles, count, grain, threads, grain, corners, areas, spacing, most, counts, nothing, nobody, work
    )
    record("support_samples", work)
    total = int(counts.sum(dtype=np.int64))
    if total > most:  # slivers, side by side: they sample the surface across anyway
        return _samples(corners, areas, 2 * spacing, threads)
    if total == 0:
        return nothing, nobody
    first = np.cumsum(counts, dtype=np.int32)
    first -= counts
    del counts
    samples, owner = np.zeros((7, total + -total % 8), np.float32), np.empty(total, np.int32)
    run_ranges(
        split_triangles, count, grain, threads, grain, corners, areas, spacing, most, first, samples, owner, work
    )
    if total > _CUT * count:  # a facet's samples lie along it, not along the curve
        return _in_space(samples, owner, threads)
    return samples, owner


def _in_space(
    samples: NDArray[np.float32], owner: NDArray[np.int32], threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The samples and their owners, neighbours near each other."""
    count = len(owner)
    low, high = samples[:3, :count].min(axis=1), samples[:3, :count].max(axis=1)
    scale = np.float32((SIDE - 0.01) / max(float((high - low).max()), 1e-30))
    keys, order = np.empty(count, np.int32), np.empty(count, np.int32)
    run_ranges(cell_keys, count, _GRAIN, threads, samples, low, scale, keys)
    sort_cells(keys, order)
    there, labels = np.zeros_like(samples), np.empty_like(owner)
    run_ranges(reorder, count, _GRAIN, threads, samples, owner, order, there, labels)
    return there, labels


def _block_boxes(points: NDArray[np.float32], rows: int, threads: int) -> NDArray[np.float32]:
    """Boxes (6, blocks) float32 of each 64 columns of ``points``."""
    boxes = np.empty((6, chunk_count(points.shape[1], BLOCK)), np.float32)
    run_ranges(block_boxes, boxes.shape[1], _GRAIN // BLOCK, threads, points, rows, boxes)
    return boxes
