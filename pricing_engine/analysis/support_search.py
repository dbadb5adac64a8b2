"""Best-first search for the direction with the least support volume.

All directions get lower bounds: from empty balls below a part of the surface (:mod:`support_balls`), which exclude most
directions if the best needs hardly any support; from their measured bands (:mod:`support_scores`); and, if that saves
work, from clusters of samples (:mod:`support_clusters`). The directions with the lowest bounds are measured until they
are complete and all others' bounds exceed the best score. No direction that could be best is dropped (Hart, Nilsson,
Raphael, "A formal basis for the heuristic determination of minimum cost paths", IEEE TSSC 1968).

With many surfaces above one another, a band costs samples times triangles. The search has a budget of tests and ends
unfinished when it is spent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pricing_engine.analysis.directions import extents, frames, model_size
from pricing_engine.analysis.support_balls import STAGES, BallSamples, choose_samples
from pricing_engine.analysis.support_clusters import cluster_bounds
from pricing_engine.analysis.support_scores import MARGIN, ROUND, Scores, Views
from pricing_engine.analysis.support_surface import sampled_boundary
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.spatial.bvh import Bvh

_CLUSTERS = 4_000, 10_000  # of the coarse bound and of the finer one
_PROBE, _MIN_PROBES = 32, 4  # bounding is probed on every 32nd direction, if there are enough
_MIN_GAIN = 0.15  # bound over score of the best probe from which bounding saves work
_MIN_SAMPLES_TO_BOUND = 200_000  # below, measuring a part of a direction is cheaper than bounding it
_MIN_DIRECTIONS_TO_SORT = 64
_BALLS_PER_DIRECTION = 100  # empty balls that cost as much as excluding one direction by its bands
_BLOCK = 128  # directions per batch of first bands
_BATCH = 16
_EARLY = 2  # most promising directions, completed early


@dataclass(frozen=True, slots=True)
class Search:
    """Result of the search: ``directions`` (D, 3); ``heights``, ``bounds``, ``volumes`` (D,), inf if dropped.

    ``finished``: whether the budget sufficed. If not, only directions with a finite volume were measured.
    """

    directions: Floats
    heights: Floats
    bounds: Floats
    volumes: Floats
    finished: bool = True


def search_support(
    mesh: Mesh,
    bvh: Bvh,
    boundary: Boundary,
    layer_height: float,
    directions: Floats,
    threads: int,
    prune: bool = True,
) -> Search:
    """Return the support volumes (mm3) of ``directions`` (D, 3).

    Directions that can't be best are dropped, and the work is limited, unless ``prune`` is off.
    """
    size, count = model_size(mesh), len(directions)
    deepest, heights = extents(mesh.vertices, bvh.centre, directions, threads)
    if size == 0:
        return Search(directions, heights, np.zeros(count), np.zeros(count))
    surface = sampled_boundary(mesh, bvh, boundary, size, threads)
    platform, resting_height = -deepest, -deepest + layer_height / 2 + ROUND * size
    views = Views(frames(directions).astype(np.float32), platform.astype(np.float32), resting_height.astype(np.float32))
    low, high = mesh.box()
    half = np.abs(views.frames[:, 3:6]) @ ((high - low) / 2).astype(np.float32)
    scores = Scores(surface, views, half, size, threads, bounded=prune)
    if not prune:
        scores.complete(np.arange(count))
        return Search(directions, heights, scores.bounds, scores.volumes, not scores.may_be_best().any())
    balls = choose_samples(mesh, bvh, boundary, surface, size, threads)
    if balls is not None:
        _bound_by_balls(scores, balls, directions, platform, resting_height, threads)
    scores.complete(np.arange(1))  # the given direction is reported whatever its score
    if len(scores.candidates()) > _MIN_DIRECTIONS_TO_SORT:
        scores.surface = surface.sorted_spatially(threads)
    if len(surface.owner) > _MIN_SAMPLES_TO_BOUND and not scores.exhausted:
        _bound_by_clusters(scores, threads)
    unmeasured = scores.candidates()
    while not scores.exhausted and len(unmeasured):
        scores.measure(unmeasured[:_BLOCK])
        unmeasured = unmeasured[_BLOCK:]
    if balls is None and not scores.exhausted:
        scores.complete(scores.candidates()[:_EARLY])
    while not scores.exhausted and len(chosen := scores.candidates()):
        scores.measure(chosen[: max(_BATCH, len(chosen) // _BATCH)])
    return Search(directions, heights, scores.bounds, scores.volumes, not scores.may_be_best().any())


def _bound_by_balls(
    scores: Scores, balls: BallSamples, directions: Floats, platform: Floats, resting_height: Floats, threads: int
) -> None:
    """Raise bounds by empty balls while they are likely to save more than they cost; find a good direction."""
    volumes, last = np.zeros(len(directions)), STAGES[-1][1]
    for start, end in STAGES:
        if start:
            remaining = np.count_nonzero(volumes[scores.candidates()] * last / start > MARGIN * scores.volumes.min())
            if scores.exhausted or remaining * _BALLS_PER_DIRECTION < balls.count(start, last):
                break
        balls.add_bounds(start, end, directions, platform, resting_height, volumes, threads)
        scores.raise_bounds(slice(None), volumes)
        if start == 0:
            scores.complete(np.unique(np.append(0, scores.candidates()[:1])))  # two directions, for two threads
            scores.complete(scores.candidates()[:_EARLY])


def _bound_by_clusters(scores: Scores, threads: int) -> None:
    """Raise bounds by clusters of samples, if that is likely to save work."""
    probe = scores.candidates()[::_PROBE]
    if len(probe) < _MIN_PROBES or not scores.volumes[0] > 0:
        return

    def bound(chosen: np.typing.NDArray[np.intp], target_count: int) -> None:
        found = cluster_bounds(scores.surface, target_count, scores.views.of(chosen), scores.size, threads)
        if found is not None:
            scores.raise_bounds(chosen, found)

    bound(probe, _CLUSTERS[0])
    first = probe[np.argmin(scores.bounds[probe])]
    proven = scores.bounds[first]
    scores.complete(first[None])
    if proven > _MIN_GAIN * scores.volumes[first]:
        for target_count in _CLUSTERS:
            if len(candidates := scores.candidates()):
                bound(candidates, target_count)
