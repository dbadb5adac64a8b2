"""Find the orientation with the least support among at least five hundred directions (:mod:`support_search`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pricing_engine.analysis.directions import candidate_directions, extents, model_size
from pricing_engine.analysis.support_scores import ROUND
from pricing_engine.analysis.support_search import Search, search_support
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE, add_overhangs
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.solid.boundary import UNCUT, Boundary
from pricing_engine.kernels.spatial.bvh import Bvh

_GRAIN = 16_384


@dataclass(frozen=True, slots=True)
class Pose:
    """The model with ``down`` (3,) pointing at the platform."""

    down: Floats
    support_volume_mm3: float
    overhang_area_mm2: float
    height_mm: float


@dataclass(frozen=True, slots=True)
class OrientationResult:
    """The number of ``candidates`` scored, the pose as given (down is -z) and the best one.

    ``best`` is None if the search exceeded its budget.
    """

    candidates: int
    as_given: Pose
    best: Pose | None


def search_orientations(
    mesh: Mesh, bvh: Bvh, boundary: Boundary, layer_height: float, hull_directions: Floats, threads: int
) -> OrientationResult | None:
    """Return the given and the best direction down; None if even the given one exceeds the budget.

    ``hull_directions`` (K, 3): unit normals of hull faces, largest first (:func:`hull.largest_faces`). Scores are
    compared after rounding to 1e-6 of the model's size: least support, then overhang, then height, then index.
    """
    search = search_support(mesh, bvh, boundary, layer_height, candidate_directions(hull_directions), threads)
    size = model_size(mesh)
    if size == 0:
        empty = Pose(search.directions[0], 0.0, 0.0, 0.0)
        return OrientationResult(len(search.directions), empty, empty)
    if not search.finished:
        if np.isinf(search.volumes[0]):
            return None
        area = overhang_areas(mesh, boundary, layer_height, search.directions[:1], threads)[0]
        return OrientationResult(1, _pose(search, 0, area), None)
    rounded = np.rint(search.volumes / (ROUND * size**3))
    tied = np.flatnonzero(rounded == rounded.min())
    compared = search.directions[np.append(0, tied)]  # one pass over the facets for the given direction and these
    found = overhang_areas(mesh, boundary, layer_height, compared, threads)
    as_given_area, areas = found[0], found[1:]
    order = np.lexsort((tied, np.rint(search.heights[tied] / (ROUND * size)), np.rint(areas / (ROUND * size**2))))
    best = int(order[0])
    as_given = _pose(search, 0, as_given_area)
    return OrientationResult(len(search.directions), as_given, _pose(search, int(tied[best]), areas[best]))


def _pose(search: Search, index: int, area: float) -> Pose:
    return Pose(search.directions[index], float(search.volumes[index]), float(area), float(search.heights[index]))


def overhang_areas(mesh: Mesh, boundary: Boundary, layer_height: float, directions: Floats, threads: int) -> Floats:
    """Return the area (mm2) of overhangs for ``directions`` (D, 3), in float64."""
    low, high = mesh.box()
    centre = (low + high) / 2
    deepest, _ = extents(mesh.vertices, centre, directions, threads)
    resting_height = deepest + directions @ centre - layer_height / 2 - ROUND * float((high - low).max())
    total = np.zeros(len(directions))
    pieces = boundary.pieces.reshape(-1, 3)
    for points, triangles, uncut in (
        (mesh.vertices, mesh.facets, (boundary.status == UNCUT).astype(np.int8)),
        (pieces, np.arange(len(pieces), dtype=np.int32).reshape(-1, 3), np.ones(len(boundary.pieces), np.int8)),
    ):
        parts = np.zeros((chunk_count(len(triangles), _GRAIN), len(directions)))
        run_ranges(
            add_overhangs,
            len(triangles),
            _GRAIN,
            threads,
            _GRAIN,
            points,
            triangles,
            uncut,
            np.ascontiguousarray(directions.T),
            resting_height,
            OVERHANG_COSINE,
            parts,
        )
        for part in parts:
            total += part
    return total
