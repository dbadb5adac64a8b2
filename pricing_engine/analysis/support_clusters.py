"""Lower bounds of support volumes from clusters of samples (:mod:`kernels.orientation.support_bound`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.support_scores import ROUND, Views
from pricing_engine.analysis.support_surface import REACH, Surface
from pricing_engine.kernels.mesh import Floats
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.orientation.support_bound import cluster_moments, cluster_samples, lower_bounds
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import run_ranges

_MAX_CLUSTERS = 3  # times the target count
_BLOCK = 128  # directions per batch


@dataclass(frozen=True, slots=True)
class _Clusters:
    """Runs of samples: offsets ``starts`` (n + 1,) and ``boxes`` (6, n)."""

    starts: NDArray[np.int32]
    boxes: NDArray[np.float32]


def cluster_bounds(surface: Surface, target_count: int, views: Views, size: float, threads: int) -> Floats | None:
    """Return a lower bound (mm3) of each direction from about ``target_count`` clusters.

    None if the samples are scattered, so that bounding would cost more than measuring.
    """
    runs = _clusters(surface, target_count, size)
    return None if runs is None else _bounds(threads, surface, runs, views, size)


def _clusters(surface: Surface, target_count: int, size: float) -> _Clusters | None:
    """Return about ``target_count`` runs of samples; None if they are scattered."""
    samples, owner = surface.samples, surface.owner
    target_count = min(target_count, len(owner) // 8 + 1)
    width = max(8, 2 ** int(np.ceil(np.log2(max(len(owner) / target_count, 1)))))
    total, reach = float(samples[6].sum(dtype=np.float64)), size * REACH
    # twice the side of a cluster's share of the surface; more if facets were cut, as boxes include their reach
    limit = 1.7 * np.sqrt(total / target_count) + (reach if len(owner) > 2 * surface.corners.shape[1] else 0)
    capacity = min(len(owner), _MAX_CLUSTERS * target_count + 1)
    starts, boxes = np.empty(capacity + 1, np.int32), np.empty((6, capacity), np.float32)
    pad = np.float32(ROUND * size)
    count = cluster_samples(
        width, np.float32(limit), surface.corners, samples, owner, np.float32(reach), pad, starts, boxes
    )
    return None if count < 0 else _Clusters(starts[: count + 1], np.ascontiguousarray(boxes[:, :count]))


def _bounds(threads: int, surface: Surface, runs: _Clusters, views: Views, size: float) -> Floats:
    """Return a lower bound of the support volume (mm3) of each direction."""
    total, count = len(views.platform), runs.boxes.shape[1]
    bounds, work = np.empty(total), work_array(total, 1)
    cosine, slack = np.float32(OVERHANG_COSINE), 5 * ROUND * size
    weights, moments, facing = (np.empty((min(_BLOCK, total), count), np.float32) for _ in range(3))
    for start in range(0, total, _BLOCK):
        end = min(start + _BLOCK, total)
        block = views.of(slice(start, end))
        down = np.ascontiguousarray(block.frames[:, 6:].T)
        run_ranges(
            cluster_moments, count, 256, threads, runs.starts, surface.samples, down, block.resting_height, cosine,
            weights, moments, facing,
        )  # fmt: skip
        run_ranges(
            lower_bounds, end - start, 4, threads, block.frames, block.platform, runs.boxes,
            weights, moments, facing, slack, 2 * np.float32(ROUND * size), bounds[start:end], work[start:end],
        )  # fmt: skip
    record("support_bounds", work)
    return bounds
