"""Support volumes of many directions, each measured band by band across it (:mod:`kernels.orientation.support_volume`).

What the bands measured so far sum to bounds a direction's volume from below. Each next band is as wide as the best
volume is likely to need to prove the direction bad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.support_surface import Surface
from pricing_engine.kernels.mesh import Floats
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.orientation.support_samples import SupportSurface
from pricing_engine.kernels.orientation.support_volume import Bands, support_volumes
from pricing_engine.kernels.runtime.budget import log2_of
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import run_ranges

ROUND = 1e-6
"""Of the model's size: scores that agree so far are equal, and surfaces so near touch."""

MARGIN = 1.2
"""Times the width that is likely to prove a direction bad."""

_FIRST_BAND = 3_000  # samples, on average
_LEAST_GROWTH, _MOST_GROWTH = 2.0, 8.0  # of what is measured of a direction, by its next band
_MOST_TESTS = 1 << 29, 16  # of the search: at least, and a triangle and sample times log2 of their number
_UNBOUNDED = 1 << 62
_SHARE = 64  # a band of one direction may take that part of them


@dataclass(frozen=True, slots=True)
class Views:
    """Directions: ``frames`` (D, 9) float32, and the height of each one's platform and up to which facets rest."""

    frames: NDArray[np.float32]
    platform: NDArray[np.float32]
    rest: NDArray[np.float32]

    def of(self, chosen: NDArray[np.intp] | slice) -> Views:
        """Some of the directions."""
        return Views(self.frames[chosen], self.platform[chosen], self.rest[chosen])


class Scores:
    """What is known of each direction: ``volumes`` (D,) mm3, inf where not wholly measured, and lower ``bounds``.

    ``stuck`` (D,): a band took too much work. Work is bounded unless ``bounded`` is off.
    """

    def __init__(self, surface: Surface, views: Views, half: NDArray[np.float32], size: float, threads: int,
                 bounded: bool) -> None:  # fmt: skip
        count = len(half)
        self.surface, self.views, self.size = surface, views, size
        self.volumes, self.bounds, self.stuck = np.full(count, np.inf), np.zeros(count), np.zeros(count, bool)
        self._half, self._threads = half, threads
        self._done, self._partial = np.zeros(count, np.float32), np.zeros(count)  # share of the half width, mm3
        self._first = _FIRST_BAND / max(1, len(surface.owner))
        items = surface.corners.shape[1] + len(surface.owner)
        self._budget = max(_MOST_TESTS[0], _MOST_TESTS[1] * items * log2_of(items)) if bounded else _UNBOUNDED
        self._unit, self._spent = _unit(surface, size), 0

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent, or the given direction alone was too much."""
        return bool(self.stuck[0]) or self._spent > self._budget

    def may_be_best(self) -> NDArray[np.bool_]:
        """Directions (D,) not wholly measured whose bound leaves room."""
        room: NDArray[np.bool_] = np.isinf(self.volumes) & (self.bounds <= self.volumes.min() + ROUND * self.size**3)
        return room

    def left(self) -> NDArray[np.intp]:
        """Directions not wholly measured that may still be best or equal to it, most promising first."""
        open_ = np.flatnonzero(self.may_be_best() & ~self.stuck)
        return open_[np.argsort(self.bounds[open_], kind="stable")]

    def raise_bounds(self, chosen: NDArray[np.intp] | slice, bounds: Floats) -> None:
        """Note lower bounds (mm3) of the ``chosen`` directions."""
        self.bounds[chosen] = np.maximum(self.bounds[chosen], bounds)

    def complete(self, chosen: NDArray[np.intp]) -> None:
        """Measure the ``chosen`` directions wholly."""
        while (going := chosen[(self._done[chosen] < 1) & ~self.stuck[chosen]]).size:
            self.measure(going)

    def measure(self, chosen: NDArray[np.intp]) -> None:
        """Measure the next band of ``chosen``: as wide as is likely to prove them bad."""
        known, partial = self._done[chosen], self._partial
        growth = np.full(len(chosen), _MOST_GROWTH)
        if np.isfinite(best := self.volumes.min()):
            proving = np.divide(MARGIN * best, partial[chosen], out=growth, where=partial[chosen] > 0)
            growth = np.clip(proving, _LEAST_GROWTH, _MOST_GROWTH)
        until = np.minimum(np.where(known > 0, growth * known, self._first), 1).astype(np.float32)
        half = self._half[chosen]
        found = self._band_volumes(chosen, known * half, np.where(until < 1, until * half, np.float32(np.inf)))
        self.stuck[chosen] = found < 0
        self._done[chosen[found >= 0]] = until[found >= 0]
        chosen, found = chosen[found >= 0], found[found >= 0]
        partial[chosen] += found
        ended = chosen[self._done[chosen] == 1]
        self.volumes[ended] = partial[ended]
        self.raise_bounds(chosen, partial[chosen])

    def _band_volumes(self, chosen: NDArray[np.intp], inner: NDArray[np.float32], outer: NDArray[np.float32]) -> Floats:
        """Support volume (mm3) from ``inner`` to ``outer`` of the middle; negative where it takes too much work."""
        found, work = np.empty(len(inner)), work_array(len(inner), 1)
        surface, views = self.surface, self.views.of(chosen)
        arrays = SupportSurface(
            surface.corners, surface.blocks, surface.normals, surface.samples, surface.owner, surface.sample_blocks,
            surface.sample_normals, surface.sample_groups,
        )  # fmt: skip
        run_ranges(
            support_volumes, len(inner), 1, self._threads,
            Bands(views.frames, views.platform, views.rest, inner, outer), arrays, np.float32(OVERHANG_COSINE),
            np.float32(self.size * ROUND / 10), self._unit, self._budget // _SHARE, found, work,
        )  # fmt: skip
        record("support", work)
        self._spent += int(work.sum())
        return found


def _unit(surface: Surface, size: float) -> float:
    """A power of two (mm3), of which no support volume has more than 2**52."""
    most = 2 * size * float(surface.samples[6].sum(dtype=np.float64))
    return float(2.0 ** (np.ceil(np.log2(max(most, 1e-30))) - 52))
