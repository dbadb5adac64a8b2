"""Best-first search for the direction with the least support volume.

All directions get lower bounds: from empty balls below a part of the surface (:mod:`support_balls`), which prove most
directions bad where the best needs hardly any support; from the bands of each that are measured
(:mod:`support_scores`); and, where it pays, from clusters of samples (:mod:`support_clusters`). The directions with the
least bounds are measured on until they are complete and all others' bounds exceed the best score. No direction that
could be best is dropped (Hart, Nilsson, Raphael, "A formal basis for the heuristic determination of minimum cost
paths", IEEE TSSC 1968).

Where many surfaces lie over one another, a band costs samples times triangles. The search has a budget of tests, and
ends unfinished when it is spent.
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

_CLUSTERS = 4_000, 10_000  # of the first, coarse bound and of the finer one
_PROBE, _LEAST_PROBES = 32, 4  # bounding is tried on every so many directions, if that are enough
_PAYS = 0.15  # it pays if the best of them has a bound of so much of its score
_WORTH_BOUNDING = 200_000  # samples: below, measuring a part of a direction is cheaper than bounding it
_WORTH_SORTING = 64  # directions left
_BALLS_A_DIRECTION = 100  # empty balls that cost as much as proving one direction bad by its bands
_BLOCK = 128  # directions whose first bands are measured together
_BATCH = 16
_PROMISING = 2  # directions that are completed early


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
    if size == 0:
        return Search(directions, heights, np.zeros(count), np.zeros(count))
    surface = sampled_boundary(mesh, bvh, boundary, size, threads)
    platform, rest = -deepest, -deepest + layer_height / 2 + ROUND * size
    views = Views(frames(directions).astype(np.float32), platform.astype(np.float32), rest.astype(np.float32))
    low, high = mesh.box()
    half = np.abs(views.frames[:, 3:6]) @ ((high - low) / 2).astype(np.float32)
    scores = Scores(surface, views, half, size, threads, bounded=prune)
    if not prune:
        scores.complete(np.arange(count))
        return Search(directions, heights, scores.bounds, scores.volumes, not scores.may_be_best().any())
    balls = choose_samples(mesh, bvh, boundary, surface, size, threads)
    if balls is not None:
        _bound_by_balls(scores, balls, directions, platform, rest, threads)
    scores.complete(np.arange(1))  # the given direction is wanted whatever its score
    if len(scores.left()) > _WORTH_SORTING:
        scores.surface = surface.in_space(threads)
    if len(surface.owner) > _WORTH_BOUNDING and not scores.exhausted:
        _bound_by_clusters(scores, threads)
    unseen = scores.left()
    while not scores.exhausted and len(unseen):
        scores.measure(unseen[:_BLOCK])
        unseen = unseen[_BLOCK:]
    if balls is None and not scores.exhausted:
        scores.complete(scores.left()[:_PROMISING])
    while not scores.exhausted and len(chosen := scores.left()):
        scores.measure(chosen[: max(_BATCH, len(chosen) // _BATCH)])
    return Search(directions, heights, scores.bounds, scores.volumes, not scores.may_be_best().any())


def _bound_by_balls(
    scores: Scores, balls: BallSamples, directions: Floats, platform: Floats, rest: Floats, threads: int
) -> None:
    """Raise bounds by empty balls, as long as they are likely to prove more than they cost; find a good direction."""
    volumes, last = np.zeros(len(directions)), STAGES[-1][1]
    for begin, end in STAGES:
        if begin:
            hopeful = np.count_nonzero(volumes[scores.left()] * last / begin > MARGIN * scores.volumes.min())
            if scores.exhausted or hopeful * _BALLS_A_DIRECTION < balls.count(begin, last):
                break
        balls.add_bounds(begin, end, directions, platform, rest, volumes, threads)
        scores.raise_bounds(slice(None), volumes)
        if begin == 0:
            scores.complete(np.unique(np.append(0, scores.left()[:1])))  # two directions, for two threads
            scores.complete(scores.left()[:_PROMISING])


def _bound_by_clusters(scores: Scores, threads: int) -> None:
    """Raise bounds by clusters of samples, if that is likely to pay."""
    probe = scores.left()[::_PROBE]
    if len(probe) < _LEAST_PROBES or not scores.volumes[0] > 0:
        return

    def bound(chosen: np.typing.NDArray[np.intp], wanted: int) -> None:
        found = cluster_bounds(scores.surface, wanted, scores.views.of(chosen), scores.size, threads)
        if found is not None:
            scores.raise_bounds(chosen, found)

    bound(probe, _CLUSTERS[0])
    first = probe[np.argmin(scores.bounds[probe])]
    proven = scores.bounds[first]
    scores.complete(first[None])
    if proven > _PAYS * scores.volumes[first]:
        for wanted in _CLUSTERS:
            if len(left := scores.left()):
                bound(left, wanted)
