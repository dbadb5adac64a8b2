"""The surface that may need support, as triangles and as samples of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.orientation.overhangs import area_vectors, split_triangles
from pricing_engine.kernels.orientation.support_samples import BLOCK, block_boxes, fill_normal_boxes
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.solid.boundary import UNCUT, Boundary
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.spatial.cell_order import SIDE, cell_keys, reorder, sort_cells

_SPACING = 1 / 64  # of the model's size: the longest edge of a sample's triangle
REACH = 0.67 * _SPACING  # of the model's size: maximum distance of a sample's triangle from it
_CUT = 1.1  # samples per triangle from which they are sorted spatially
_MAX_SAMPLES = 1 << 20  # or two per triangle
_GRAIN = 16_384
_PARTS = 32
_COUNT_FIRST = 8  # samples per triangle from which a lower bound first may save counting all


@dataclass(frozen=True, slots=True)
class Surface:
    """The boundary's triangles, ``corners`` (9, N) float32 about the BVH's centre, and its samples.

    ``samples`` (7, S) float32: point, area vector, area; ``owner`` (S,) int32: the triangle of each. ``blocks`` and
    ``sample_blocks`` (6, n): boxes of every 64 triangles and samples, ``normals`` and ``sample_normals`` (6, n): of
    their unit normals; ``sample_groups``: boxes of every 64 ``sample_blocks``.
    """

    corners: NDArray[np.float32]
    blocks: NDArray[np.float32]
    normals: NDArray[np.float32]
    samples: NDArray[np.float32]
    owner: NDArray[np.int32]
    sample_blocks: NDArray[np.float32]
    sample_normals: NDArray[np.float32]
    sample_groups: NDArray[np.float32]

    def sorted_spatially(self, threads: int) -> Surface:
        """Return the surface with its samples in spatial order, which pays off if many directions follow.

        Samples of a cut facet lie along it, not along the curve that orders the facets.
        """
        count = len(self.owner)
        if count <= _CUT * self.corners.shape[1]:
            return self
        low, high = self.samples[:3, :count].min(axis=1), self.samples[:3, :count].max(axis=1)
        scale = np.float32((SIDE - 0.01) / max(float((high - low).max()), 1e-30))
        keys, order = np.empty(count, np.int32), np.empty(count, np.int32)
        run_ranges(cell_keys, count, _GRAIN, threads, self.samples, low, scale, keys)
        sort_cells(keys, order)
        samples, owner = np.empty_like(self.samples), np.empty_like(self.owner)
        samples[:, count:] = 0
        run_ranges(reorder, count, _GRAIN, threads, self.samples, self.owner, order, samples, owner)
        boxes = _block_boxes(samples, 3, threads)
        return replace(
            self, samples=samples, owner=owner, sample_blocks=boxes,
            sample_normals=block_normals(samples[3:], threads), sample_groups=_block_boxes(boxes, 6, threads),
        )  # fmt: skip


def sampled_boundary(mesh: Mesh, bvh: Bvh, boundary: Boundary, size: float, threads: int) -> Surface:
    """Sample the boundary of a model of ``size`` mm, in the order of its facets. O(facets + samples)."""
    corners, areas = _triangles(mesh, bvh, boundary, threads)
    samples, owner = _samples(corners, areas, np.float32(size * _SPACING), threads)
    boxes = _block_boxes(samples, 3, threads)
    return Surface(
        corners, _block_boxes(corners, 9, threads), block_normals(areas, threads),
        samples, owner, boxes, block_normals(samples[3:], threads), _block_boxes(boxes, 6, threads),
    )  # fmt: skip


def facet_areas(points: Floats, facets: Ints, threads: int) -> NDArray[np.float32]:
    """Return area vectors and areas (4, F) float32, mm2."""
    areas = np.empty((4, len(facets)), np.float32)
    run_ranges(area_vectors, len(facets), _GRAIN, threads, points, facets, areas)
    return areas


def block_normals(areas: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """Return boxes (6, blocks) float32 of the unit normals of each 64 columns of ``areas`` (4, N)."""
    boxes = np.empty((6, chunk_count(areas.shape[1], BLOCK)), np.float32)
    run_ranges(fill_normal_boxes, boxes.shape[1], _GRAIN // BLOCK, threads, areas, boxes)
    return boxes


def _triangles(
    mesh: Mesh, bvh: Bvh, boundary: Boundary, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the boundary's corners (9, N) float32 about the centre, and area vectors and areas (4, N) float32."""
    areas = facet_areas(mesh.vertices, mesh.facets, threads)
    if not len(boundary.pieces) and (boundary.status == UNCUT).all():
        return bvh.corners, areas
    uncut = np.flatnonzero(boundary.status == UNCUT)
    points = boundary.pieces.reshape(-1, 3)
    count = len(uncut) + len(boundary.pieces)
    corners = np.empty((9, count + -count % 8), np.float32)
    np.take(bvh.corners, uncut, axis=1, out=corners[:, : len(uncut)])
    corners[:, len(uncut) : count] = (points - bvh.centre).reshape(-1, 9).T
    corners[:, count:] = np.nan
    extra = facet_areas(points, np.arange(len(points), dtype=np.int32).reshape(-1, 3), threads)
    return corners, np.hstack([areas[:, uncut], extra])


def _samples(
    corners: NDArray[np.float32], areas: NDArray[np.float32], spacing: np.float32, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return samples (7, S) float32 - point, area vector, area - and the triangle (S,) int32 of each."""
    count = areas.shape[1]
    counts = np.zeros(count, np.int32)
    no_samples, no_owner = np.empty((7, 0), np.float32), np.empty(0, np.int32)
    grain = int(np.clip(count // _PARTS, _GRAIN // 64, _GRAIN))  # a sliver takes as long as a hundred others
    max_samples, work = max(_MAX_SAMPLES, 2 * count), work_array(count, grain)
    if count < max_samples // _COUNT_FIRST:  # adjacent slivers sample the surface across their width anyway
        while _min_samples(corners[:, :count], spacing) > max_samples:
            spacing = 2 * spacing
    run_ranges(
        split_triangles, count, grain, threads, grain,
        corners, areas, spacing, max_samples, counts, no_samples, no_owner, work,
    )  # fmt: skip
    record("support_samples", work)
    total = int(counts.sum(dtype=np.int64))
    if total > max_samples:
        return _samples(corners, areas, 2 * spacing, threads)
    if total == 0:
        return no_samples, no_owner
    first = np.cumsum(counts, dtype=np.int32)
    first -= counts
    del counts
    samples, owner = np.empty((7, total + -total % 8), np.float32), np.empty(total, np.int32)
    samples[:, total:] = 0
    run_ranges(
        split_triangles, count, grain, threads, grain,
        corners, areas, spacing, max_samples, first, samples, owner, work,
    )  # fmt: skip
    return samples, owner


def _min_samples(corners: NDArray[np.float32], spacing: np.float32) -> float:
    """Return a lower bound of the number of samples of the triangles (9, N).

    Edges are halved until none is longer than ``spacing``; a sample's triangle has parts of two edges only at the
    corner between them.
    """
    total = 0.0
    for a, b in ((0, 3), (3, 6), (6, 0)):
        edge = corners[a : a + 3] - corners[b : b + 3]
        length = np.sqrt(np.einsum("ij,ij->j", edge, edge)) * np.float32(0.9999)  # less than rounding may add
        total += float(np.exp2(np.ceil(np.log2(np.maximum(length / spacing, 1)))).sum(dtype=np.float64))
    return total - 3 * float(corners.shape[1])


def _block_boxes(points: NDArray[np.float32], rows: int, threads: int) -> NDArray[np.float32]:
    """Return boxes (6, blocks) float32 of each 64 columns of ``points``."""
    boxes = np.empty((6, chunk_count(points.shape[1], BLOCK)), np.float32)
    run_ranges(block_boxes, boxes.shape[1], _GRAIN // BLOCK, threads, points, rows, boxes)
    return boxes
