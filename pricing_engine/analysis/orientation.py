"""Which way down needs the least support.

Five hundred directions or more are scored by one quadrature of the support volume (:mod:`kernels.support`). A rigorous
lower bound of each score (:mod:`kernels.orientation_bound`) is cheap; directions are then measured in ascending order
of their bounds, until the bounds exceed the best score: no direction that could be best goes unmeasured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.boundary import WHOLE, Boundary
from pricing_engine.kernels.bvh import Bvh
from pricing_engine.kernels.orientation import area_vectors, overhangs, split_triangles
from pricing_engine.kernels.orientation_bound import cluster_moments, clusters, height_ranges, lower_bounds
from pricing_engine.kernels.support import support_volumes
from pricing_engine.kernels.threads import chunk_count, run_ranges
from pricing_engine.mesh.model import Floats, Mesh

CANDIDATES = 512
OVERHANG_COSINE = float(np.cos(np.pi / 4) + 0.001)
_HULL_FACES = 100
_SPACING = 1 / 64  # of the model's size: the longest edge of a sample's triangle
_ROUND = 1e-6  # of the model's size: scores that agree so far are equal, and surfaces so near touch
_CLUSTERS = 4_000, 20_000  # of the first, coarse bound and of the finer ones
_MOST_CLUSTERS = 3  # times as many as wanted
_WORTH_BOUNDING = 60_000  # samples: below, measuring every direction is cheaper than bounding it
_CUT = 1.1  # samples a triangle, from where they are put in spatial order
_MOST_SAMPLES = 1 << 20  # or two a triangle
_BLOCK = 128
_GRAIN = 16_384
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Pose:
    """The model with ``down`` (3,) pointing at the platform."""

    down: Floats
    support_volume_mm3: float
    overhang_area_mm2: float
    height_mm: float


@dataclass(frozen=True, slots=True)
class Orientation:
    """``candidates`` directions scored; the pose as given (down is -z) and the best of all."""

    candidates: int
    as_given: Pose
    best: Pose


@dataclass(frozen=True, slots=True)
class Search:
    """What :func:`measure` found: ``directions`` (D, 3); ``heights``, ``bounds``, ``volumes`` (D,), inf if dropped."""

    directions: Floats
    heights: Floats
    bounds: Floats
    volumes: Floats


def search_orientations(
    mesh: Mesh, bvh: Bvh, boundary: Boundary, layer_height: float, hull_directions: Floats, threads: int
) -> Orientation:
    """The given and the best direction down.

    ``hull_directions`` (K, 3): unit normals of hull faces, largest first (:func:`hull.largest_faces`). Scores are
    compared after rounding to 1e-6 of the model's size: least support, then overhang, then height, then index.
    """
    search = measure(mesh, bvh, boundary, layer_height, candidate_directions(hull_directions), threads)
    size = model_size(mesh)
    if size == 0:
        nothing = Pose(search.directions[0], 0.0, 0.0, 0.0)
        return Orientation(len(search.directions), nothing, nothing)
    rounded = np.rint(search.volumes / (_ROUND * size**3))
    tied = np.flatnonzero(rounded == rounded.min())
    areas = overhang_areas(mesh, boundary, layer_height, search.directions[tied], threads)
    order = np.lexsort((tied, np.rint(search.heights[tied] / (_ROUND * size)), np.rint(areas / (_ROUND * size**2))))
    given_area = overhang_areas(mesh, boundary, layer_height, search.directions[:1], threads)[0]
    best = int(order[0])

    def pose(index: int, area: float) -> Pose:
        return Pose(search.directions[index], float(search.volumes[index]), float(area), float(search.heights[index]))

    return Orientation(len(search.directions), pose(0, given_area), pose(int(tied[best]), areas[best]))


def measure(
    mesh: Mesh, bvh: Bvh, boundary: Boundary, layer_height: float, directions: Floats, threads: int, prune: bool = True
) -> Search:
    """Support volumes (mm3) of ``directions`` (D, 3); those that can't be best are dropped unless ``prune`` is off."""
    size, count = model_size(mesh), len(directions)
    deepest, heights = _extents(mesh.vertices, bvh.centre, directions, threads)
    volumes, bounds = np.full(count, np.inf), np.zeros(count)
    if size == 0:
        return Search(directions, heights, bounds, np.zeros(count))
    corners, areas = _surface(mesh, bvh, boundary)
    samples, owner = _samples(corners, areas, np.float32(size * _SPACING), threads)
    del areas
    platform = (-deepest).astype(np.float32)
    rest = (-deepest + layer_height / 2 + _ROUND * size).astype(np.float32)
    frames = np.ascontiguousarray(_frames(directions), np.float32)
    touch, cosine = np.float32(size * _ROUND / 10), np.float32(OVERHANG_COSINE)

    def score(chosen: NDArray[np.intp]) -> None:
        found = np.empty(len(chosen))
        run_ranges(
            support_volumes,
            len(chosen),
            1,
            threads,
            frames[chosen],
            platform[chosen],
            rest[chosen],
            corners,
            samples,
            owner,
            cosine,
            touch,
            found,
        )
        volumes[chosen] = found

    def left() -> NDArray[np.intp]:
        """Directions not yet measured that may still be best or equal to it, most promising first."""
        open_ = np.flatnonzero(np.isinf(volumes) & (bounds <= volumes.min() + _ROUND * size**3))
        return open_[np.argsort(bounds[open_], kind="stable")]

    if prune and len(owner) > _WORTH_BOUNDING:
        for wanted in _CLUSTERS:
            chosen = left()
            bounds[chosen] = np.maximum(
                bounds[chosen],
                _bounds(corners, samples, owner, frames[chosen], platform[chosen], rest[chosen], wanted, size, threads),
            )
            if wanted == _CLUSTERS[0]:
                score(np.unique([0, *left()[:3]]))
    while len(chosen := left()):
        score(chosen[:_BATCH])
    return Search(directions, heights, bounds, volumes)


def _bounds(
    corners: NDArray[np.float32],
    samples: NDArray[np.float32],
    owner: NDArray[np.int32],
    frames: NDArray[np.float32],
    platform: NDArray[np.float32],
    rest: NDArray[np.float32],
    wanted: int,
    size: float,
    threads: int,
) -> Floats:
    """Lower bounds of the support volumes (mm3) of all of ``frames``, with about ``wanted`` clusters."""
    if not len(frames) or not len(owner):
        return np.zeros(len(frames))
    cosine, pad, slack = np.float32(OVERHANG_COSINE), np.float32(_ROUND * size), 5 * _ROUND * size
    wanted = min(wanted, len(owner) // 8 + 1)
    width = max(8, 2 ** int(np.ceil(np.log2(max(len(owner) / wanted, 1)))))
    total, reach = float(samples[6].sum(dtype=np.float64)), size * _SPACING * 0.67
    # twice the side of a cluster's share of the surface; where facets were cut, more, for boxes hold their reach
    limit = 1.7 * np.sqrt(total / wanted) + (reach if len(owner) > 2 * corners.shape[1] else 0)
    most = min(len(owner), _MOST_CLUSTERS * wanted + 1)
    begins, boxes = np.empty(most + 1, np.int32), np.empty((6, most), np.float32)
    count = clusters(width, np.float32(limit), corners, samples, owner, np.float32(reach), pad, begins, boxes)
    if count < 0:  # scattered along the curve: bounding them costs more than measuring
        return np.zeros(len(frames))
    boxes = np.ascontiguousarray(boxes[:, :count])
    bounds = np.empty(len(frames))
    block = min(_BLOCK, len(frames))
    weights, moments, facing = (np.empty((block, count), np.float32) for _ in range(3))
    for lo in range(0, len(frames), _BLOCK):
        part = slice(lo, min(lo + _BLOCK, len(frames)))
        down = np.ascontiguousarray(frames[part, 6:].T)
        run_ranges(
            cluster_moments, count, 256, threads, begins, samples, down, rest[part], cosine, weights, moments, facing
        )
        run_ranges(
            lower_bounds,
            part.stop - lo,
            4,
            threads,
            frames[part],
            platform[part],
            boxes,
            weights,
            moments,
            facing,
            slack,
            2 * pad,
            bounds[part],
        )
    return bounds


def _surface(mesh: Mesh, bvh: Bvh, boundary: Boundary) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boundary's triangles: corners (9, N) float32 about the centre, and area vector and area (4, N) float32."""
    areas = np.empty((4, mesh.facet_count + len(boundary.pieces)), np.float32)
    run_ranges(area_vectors, mesh.facet_count, _GRAIN, 1, mesh.vertices, mesh.facets, areas)
    if not len(boundary.pieces) and (boundary.status == WHOLE).all():
        return bvh.corners, areas
    whole = np.flatnonzero(boundary.status == WHOLE)
    pieces = boundary.pieces
    cross = np.cross(pieces[:, 1] - pieces[:, 0], pieces[:, 2] - pieces[:, 0]).T / 2
    extra = np.vstack([cross, np.linalg.norm(cross, axis=0)])
    corners = np.hstack([bvh.corners[:, whole], (pieces - bvh.centre).reshape(-1, 9).T.astype(np.float32)])
    return np.ascontiguousarray(corners), np.ascontiguousarray(np.hstack([areas[:, whole], extra]).astype(np.float32))


def _samples(
    corners: NDArray[np.float32], areas: NDArray[np.float32], spacing: np.float32, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Samples (7, S) float32 - point, area vector, area - and the triangle (S,) int32 that each is of."""
    count = areas.shape[1]
    counts = np.zeros(count, np.int32)
    nothing, nobody = np.empty((7, 0), np.float32), np.empty(0, np.int32)
    run_ranges(split_triangles, count, _GRAIN, threads, corners, areas, spacing, counts, nothing, nobody)
    total = int(counts.sum(dtype=np.int64))
    if total > max(_MOST_SAMPLES, 2 * count):  # slivers, side by side: they sample the surface across anyway
        return _samples(corners, areas, 2 * spacing, threads)
    if total == 0:
        return nothing, nobody
    first = np.cumsum(counts, dtype=np.int32)
    first -= counts
    del counts
    samples, owner = np.empty((7, total), np.float32), np.empty(total, np.int32)
    run_ranges(split_triangles, count, _GRAIN, threads, corners, areas, spacing, first, samples, owner)
    if total > _CUT * count:  # a facet's samples lie along it, not along the curve
        order = _spatial_order(samples)
        samples, owner = np.ascontiguousarray(samples[:, order]), owner[order]
    return samples, owner


def _spatial_order(samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """The samples (7, S) along a Morton curve of 10 bits an axis: a permutation (S,)."""
    low, high = samples[:3].min(axis=1), samples[:3].max(axis=1)
    scale = np.float32(1023) / max(float((high - low).max()), 1e-30)
    keys = np.zeros(samples.shape[1], np.int64)
    for axis in range(3):
        spread = ((samples[axis] - low[axis]) * scale).astype(np.int64)
        for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
            spread = (spread | spread << shift) & mask
        keys |= spread << axis
    keys = np.sort(keys << 32 | np.arange(len(keys)))
    return keys & 0xFFFFFFFF


def _extents(vertices: Floats, centre: Floats, directions: Floats, threads: int) -> tuple[Floats, Floats]:
    """For each direction the greatest (vertex - centre) . direction and the whole range, mm."""
    shape = chunk_count(len(vertices), _GRAIN), len(directions)
    least, most = np.full(shape, np.inf), np.full(shape, -np.inf)
    run_ranges(
        height_ranges,
        len(vertices),
        _GRAIN,
        threads,
        _GRAIN,
        vertices,
        centre,
        np.ascontiguousarray(directions.T),
        least,
        most,
    )
    deepest = most.max(axis=0)
    return deepest, deepest - least.min(axis=0)


def _frames(directions: Floats) -> Floats:
    """(D, 9): two unit vectors across each direction and the direction, a right-handed frame."""
    axis = np.eye(3)[np.argmin(np.abs(directions), axis=1)]
    u = np.cross(axis, directions)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return np.hstack([u, np.cross(directions, u), directions])


def model_size(mesh: Mesh) -> float:
    """The longest side of the model's box, mm."""
    return float(np.ptp(mesh.vertices, axis=0).max()) if len(mesh.vertices) else 0.0


def overhang_areas(mesh: Mesh, boundary: Boundary, layer_height: float, directions: Floats, threads: int) -> Floats:
    """Area (mm2) of overhangs for ``directions`` (D, 3), in float64."""
    centre = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    deepest, _ = _extents(mesh.vertices, centre, directions, threads)
    rest = deepest + directions @ centre - layer_height / 2 - _ROUND * model_size(mesh)
    total = np.zeros(len(directions))
    pieces = boundary.pieces.reshape(-1, 3)
    for points, triangles, whole in (
        (mesh.vertices, mesh.facets, (boundary.status == WHOLE).astype(np.int8)),
        (pieces, np.arange(len(pieces), dtype=np.int32).reshape(-1, 3), np.ones(len(boundary.pieces), np.int8)),
    ):
        parts = np.zeros((chunk_count(len(triangles), _GRAIN), len(directions)))
        run_ranges(
            overhangs,
            len(triangles),
            _GRAIN,
            threads,
            _GRAIN,
            points,
            triangles,
            whole,
            np.ascontiguousarray(directions.T),
            rest,
            OVERHANG_COSINE,
            parts,
        )
        for part in parts:
            total += part
    return total


def candidate_directions(hull_directions: Floats) -> Floats:
    """(>= 500, 3): the given direction, the other axes, hull faces, and a Fibonacci sphere for the rest."""
    axes = np.array([[0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]], np.float64)
    faces = hull_directions[:_HULL_FACES]
    faces = faces[(np.abs(faces).max(axis=1) < 1 - 1e-12)] if len(faces) else faces.reshape(0, 3)
    count = CANDIDATES - len(axes) - len(faces)
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - z * z)
    return np.vstack([axes, faces, np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])])
