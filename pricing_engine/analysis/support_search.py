"""Best-first search for the direction with the least support volume.

Each direction is measured band by band across it (:mod:`kernels.support`). What the bands measured so far sum to bounds
the score from below; where it pays, so does a cheaper bound from clusters of facets (:mod:`kernels.orientation_bound`).
A thin first band is measured in every direction; the directions with the least bounds are measured on until they are
complete and all others' bounds exceed the best score. Each next band is as wide as the best score is likely to need: no
direction that could be best is dropped, and a bad one costs two or three bands that prove it bad (Hart, Nilsson,
Raphael, "A formal basis for the heuristic determination of minimum cost paths", IEEE TSSC 1968).

Where many surfaces lie over one another, a band costs samples times triangles. The search has a budget of tests, and
ends unfinished when it is spent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.directions import extents, frames, model_size
from pricing_engine.analysis.support_surface import REACH, Surface, sampled_boundary
from pricing_engine.kernels.boundary import Boundary
from pricing_engine.kernels.budget import log2_of
from pricing_engine.kernels.bvh import Bvh
from pricing_engine.kernels.orientation import OVERHANG_COSINE
from pricing_engine.kernels.orientation_bound import cluster_moments, clusters, lower_bounds
from pricing_engine.kernels.support import support_volumes
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.kernels.work import record, work_array
from pricing_engine.mesh.model import Floats, Mesh

ROUND = 1e-6
"""Of the model's size: scores that agree so far are equal, and surfaces so near touch."""

_CLUSTERS = 4_000, 10_000  # of the first, coarse bound and of the finer one
_PROBE, _PAYS = 32, 0.15  # bounding pays if the best of every so many has a bound of so much of its score
_MOST_CLUSTERS = 3  # times as many as wanted
_WORTH_BOUNDING = 200_000  # samples: below, measuring a part of a direction is cheaper than bounding it
_BLOCK = 128  # directions whose bounds, or first bands, are found together
_BATCH = 16
_FIRST_BAND = 3_000  # samples, on average: it is measured in every direction and proves many of them bad
_MARGIN = 1.2  # of the width that is likely to prove a direction bad
_LEAST_GROWTH, _MOST_GROWTH = 2.0, 8.0  # of what is measured of a direction, by its next band
_PROMISING = 2  # directions that are completed after the first band of all
_MOST_TESTS = 1 << 29, 16  # of the search: at least, and a triangle and sample times log2 of their number
_UNBOUNDED = 1 << 62
_SHARE = 64  # a band of one direction may take that part of them


@dataclass(frozen=True, slots=True)
class Search:
    """What was found: ``directions`` (D, 3); ``heights``, ``bounds``, ``volumes`` (D,), inf if dropped.

    ``finished``: whether the budget sufficed. If not, only directions whose volume is finite were measured.
    """

    directions: Floats
    heights: Floats
    bounds: Floats
    volumes: Floats
    finished: bool = True


@dataclass(frozen=True, slots=True)
class _Views:
    """Directions: ``frames`` (D, 9) float32, and the height of each one's platform and up to which facets rest."""

    frames: NDArray[np.float32]
    platform: NDArray[np.float32]
    rest: NDArray[np.float32]

    def of(self, chosen: NDArray[np.intp] | slice) -> _Views:
        return _Views(self.frames[chosen], self.platform[chosen], self.rest[chosen])


@dataclass(frozen=True, slots=True)
class _Clusters:
    """Runs of samples: ``begins`` (n + 1,) and ``boxes`` (6, n)."""

    begins: NDArray[np.int32]
    boxes: NDArray[np.float32]


def search_support(
    mesh: Mesh,
    bvh: Bvh,
    boundary: Boundary,
    layer_height: float,
    directions: Floats,
    threads: int,
    prune: bool = True,
) -> Search:
    """Support volumes (mm3) of ``directions`` (D, 3).

    Those that can't be best are dropped, and the work is bounded, unless ``prune`` is off.
    """
    size, count = model_size(mesh), len(directions)
    deepest, heights = extents(mesh.vertices, bvh.centre, directions, threads)
    volumes, bounds = np.full(count, np.inf), np.zeros(count)
    if size == 0:
        return Search(directions, heights, bounds, np.zeros(count))
    surface = sampled_boundary(mesh, bvh, boundary, size, threads)
    platform = (-deepest).astype(np.float32)
    rest = (-deepest + layer_height / 2 + ROUND * size).astype(np.float32)
    views = _Views(np.ascontiguousarray(frames(directions), np.float32), platform, rest)
    low, high = mesh.box()
    half = np.abs(views.frames[:, 3:6]) @ ((high - low) / 2).astype(np.float32)
    first_band = _FIRST_BAND / max(1, len(surface.owner))
    # of each direction: which share of the half width is measured, what it gave, and whether that was too much work
    done, partial, stuck = np.zeros(count, np.float32), np.zeros(count), np.zeros(count, bool)
    budget, spent = _budget(surface) if prune else _UNBOUNDED, 0

    def score(chosen: NDArray[np.intp]) -> None:
        """Measure the next band of ``chosen``: as wide as is likely to prove them bad."""
        nonlocal spent
        known = done[chosen]
        growth = np.full(len(chosen), _MOST_GROWTH)
        if np.isfinite(best := volumes.min()):
            proving = np.divide(_MARGIN * best, partial[chosen], out=growth, where=partial[chosen] > 0)
            growth = np.clip(proving, _LEAST_GROWTH, _MOST_GROWTH)
        until = np.minimum(np.where(known > 0, growth * known, first_band), 1).astype(np.float32)
        band = known * half[chosen], np.where(until < 1, until * half[chosen], np.float32(np.inf))
        found, tests = _band_volumes(threads, surface, views.of(chosen), *band, size, budget // _SHARE)
        spent += tests
        stuck[chosen] = found < 0
        done[chosen[found >= 0]] = until[found >= 0]
        chosen, found = chosen[found >= 0], found[found >= 0]
        partial[chosen] += found
        ended = chosen[done[chosen] == 1]
        volumes[ended] = partial[ended]
        bounds[chosen] = np.maximum(bounds[chosen], partial[chosen])

    def left() -> NDArray[np.intp]:
        """Directions not wholly measured that may still be best or equal to it, most promising first."""
        open_ = np.flatnonzero(may_be_best() & ~stuck)
        return open_[np.argsort(bounds[open_], kind="stable")]

    def may_be_best() -> NDArray[np.bool_]:
        """Directions (D,) not wholly measured whose bound leaves room."""
        room: NDArray[np.bool_] = np.isinf(volumes) & (bounds <= volumes.min() + ROUND * size**3)
        return room

    def bound(chosen: NDArray[np.intp], wanted: int) -> None:
        """Raise the lower bounds of ``chosen`` by about ``wanted`` clusters."""
        runs = _clusters(surface, wanted, size) if len(chosen) else None
        if runs is not None:
            bounds[chosen] = np.maximum(bounds[chosen], _bounds(threads, surface, runs, views.of(chosen), size))

    def complete(chosen: NDArray[np.intp]) -> None:
        while (going := chosen[(done[chosen] < 1) & ~stuck[chosen]]).size:
            score(going)

    complete(np.arange(1 if prune else count))  # the given direction is wanted whatever its score
    if not stuck[0] and volumes[0] > 0 and len(surface.owner) > _WORTH_BOUNDING and len(probe := left()[::_PROBE]):
        bound(probe, _CLUSTERS[0])
        first = probe[np.argmin(bounds[probe])]
        proven = bounds[first]
        complete(first[None])
        if proven > _PAYS * volumes[first]:
            for wanted in _CLUSTERS:
                bound(left(), wanted)
    unseen = left()
    while not stuck[0] and spent <= budget and len(unseen):
        score(unseen[:_BLOCK])
        unseen = unseen[_BLOCK:]
    if spent <= budget:
        complete(left()[:_PROMISING])
    while not stuck[0] and spent <= budget and len(chosen := left()):
        score(chosen[: max(_BATCH, len(chosen) // _BATCH)])
    return Search(directions, heights, bounds, volumes, not may_be_best().any())


def _band_volumes(
    threads: int,
    surface: Surface,
    views: _Views,
    inner: NDArray[np.float32],
    outer: NDArray[np.float32],
    size: float,
    most: int,
) -> tuple[Floats, int]:
    """Support volume (mm3) from ``inner`` to ``outer`` of the middle, of each direction, and the tests it took.

    One that takes more than ``most`` has a negative volume.
    """
    found, work = np.empty(len(inner)), work_array(len(inner), 1)
    run_ranges(
        support_volumes, len(inner), 1, threads, views.frames, views.platform, views.rest, inner, outer,
        surface.corners, surface.blocks, surface.samples, surface.owner, surface.sample_blocks, surface.sample_groups,
        np.float32(OVERHANG_COSINE), np.float32(size * ROUND / 10), _unit(surface, size), most, found, work,
    )  # fmt: skip
    record("support", work)
    return found, int(work.sum())


def _unit(surface: Surface, size: float) -> float:
    """A power of two (mm3), of which no support volume has more than 2**52."""
    most = 2 * size * float(surface.samples[6].sum(dtype=np.float64))
    return float(2.0 ** (np.ceil(np.log2(max(most, 1e-30))) - 52))


def _budget(surface: Surface) -> int:
    items: int = surface.corners.shape[1] + len(surface.owner)
    return max(_MOST_TESTS[0], _MOST_TESTS[1] * int(items) * log2_of(items))


def _clusters(surface: Surface, wanted: int, size: float) -> _Clusters | None:
    """About ``wanted`` runs of samples; None where they are scattered, so that bounding costs more than measuring."""
    samples, owner = surface.samples, surface.owner
    wanted = min(wanted, len(owner) // 8 + 1)
    width = max(8, 2 ** int(np.ceil(np.log2(max(len(owner) / wanted, 1)))))
    total, reach = float(samples[6].sum(dtype=np.float64)), size * REACH
    # twice the side of a cluster's share of the surface; where facets were cut, more, for boxes hold their reach
    limit = 1.7 * np.sqrt(total / wanted) + (reach if len(owner) > 2 * surface.corners.shape[1] else 0)
    most = min(len(owner), _MOST_CLUSTERS * wanted + 1)
    begins, boxes = np.empty(most + 1, np.int32), np.empty((6, most), np.float32)
    pad = np.float32(ROUND * size)
    count = clusters(width, np.float32(limit), surface.corners, samples, owner, np.float32(reach), pad, begins, boxes)
    return None if count < 0 else _Clusters(begins[: count + 1], np.ascontiguousarray(boxes[:, :count]))


def _bounds(threads: int, surface: Surface, runs: _Clusters, views: _Views, size: float) -> Floats:
    """Lower bounds of the support volumes (mm3) of each direction."""
    total, count = len(views.platform), runs.boxes.shape[1]
    bounds, work = np.empty(total), work_array(total, 1)
    cosine, slack = np.float32(OVERHANG_COSINE), 5 * ROUND * size
    weights, moments, facing = (np.empty((min(_BLOCK, total), count), np.float32) for _ in range(3))
    for begin in range(0, total, _BLOCK):
        end = min(begin + _BLOCK, total)
        block = views.of(slice(begin, end))
        down = np.ascontiguousarray(block.frames[:, 6:].T)
        run_ranges(
            cluster_moments, count, 256, threads, runs.begins, surface.samples, down, block.rest, cosine,
            weights, moments, facing,
        )  # fmt: skip
        run_ranges(
            lower_bounds, end - begin, 4, threads, block.frames, block.platform, runs.boxes,
            weights, moments, facing, slack, 2 * np.float32(ROUND * size), bounds[begin:end], work[begin:end],
        )  # fmt: skip
    record("support_bounds", work)
    return bounds
