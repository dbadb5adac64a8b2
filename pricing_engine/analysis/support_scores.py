"""Support volumes of many directions, each measured band by band across it (:mod:`kernels.orientation.support_volume`).

The sum of the bands measured so far is a lower bound of a direction's volume. Each next band is as wide as is likely
needed to exceed the best volume.
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
"""Of the model's size: scores within it are equal, and surfaces this close touch."""

MARGIN = 1.2
"""Factor on the width that is likely to exclude a direction."""

_FIRST_BAND = 3_000  # samples, on average
_MIN_GROWTH, _MAX_GROWTH = 2.0, 8.0  # of a direction's measured share, by its next band
_MAX_TESTS = 1 << 29, 16  # of the search: a minimum, and per triangle and sample times log2 of their number
_UNBOUNDED = 1 << 62
_BUDGET_DIVISOR = 64  # one band of one direction may take this part of the budget


@dataclass(frozen=True, slots=True)
class Views:
    """Directions: ``frames`` (D, 9) float32, the ``platform`` height, and the height up to which facets rest on it."""

    frames: NDArray[np.float32]
    platform: NDArray[np.float32]
    resting_height: NDArray[np.float32]

    def of(self, chosen: NDArray[np.intp] | slice) -> Views:
        """Return the ``chosen`` directions."""
        return Views(self.frames[chosen], self.platform[chosen], self.resting_height[chosen])


class Scores:
    """Results by direction: ``volumes`` (D,) mm3, inf until completely measured, and lower ``bounds``.

    ``stuck`` (D,): a band exceeded its budget. Work is unlimited if ``bounded`` is off.
    """

    def __init__(self, surface: Surface, views: Views, half: NDArray[np.float32], size: float, threads: int,
                 bounded: bool) -> None:  # fmt: skip
        count = len(half)
        self.surface, self.views, self.size = surface, views, size
        self.volumes, self.bounds, self.stuck = np.full(count, np.inf), np.zeros(count), np.zeros(count, bool)
        self._half, self._threads = half, threads
        self._measured, self._partial = np.zeros(count, np.float32), np.zeros(count)  # share of the half width, mm3
        self._first = _FIRST_BAND / max(1, len(surface.owner))
        items = surface.corners.shape[1] + len(surface.owner)
        self._budget = max(_MAX_TESTS[0], _MAX_TESTS[1] * items * log2_of(items)) if bounded else _UNBOUNDED
        self._unit, self._spent = _unit(surface, size), 0

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent, or the given direction alone exceeded it."""
        return bool(self.stuck[0]) or self._spent > self._budget

    def may_be_best(self) -> NDArray[np.bool_]:
        """Return the incompletely measured directions (D,) bool whose bound is not above the best volume."""
        limit = self.volumes.min() + ROUND * self.size**3
        is_candidate: NDArray[np.bool_] = np.isinf(self.volumes) & (self.bounds <= limit)
        return is_candidate

    def candidates(self) -> NDArray[np.intp]:
        """Return the incompletely measured directions that may still be the best or equal to it, lowest bound first."""
        indices = np.flatnonzero(self.may_be_best() & ~self.stuck)
        return indices[np.argsort(self.bounds[indices], kind="stable")]

    def raise_bounds(self, chosen: NDArray[np.intp] | slice, bounds: Floats) -> None:
        """Raise the lower bounds (mm3) of the ``chosen`` directions."""
        self.bounds[chosen] = np.maximum(self.bounds[chosen], bounds)

    def complete(self, chosen: NDArray[np.intp]) -> None:
        """Measure the ``chosen`` directions completely."""
        while (unfinished := chosen[(self._measured[chosen] < 1) & ~self.stuck[chosen]]).size:
            self.measure(unfinished)

    def measure(self, chosen: NDArray[np.intp]) -> None:
        """Measure the next band of ``chosen``, as wide as is likely to exclude them."""
        done, partial = self._measured[chosen], self._partial
        growth = np.full(len(chosen), _MAX_GROWTH)
        if np.isfinite(best := self.volumes.min()):
            proving = np.divide(MARGIN * best, partial[chosen], out=growth, where=partial[chosen] > 0)
            growth = np.clip(proving, _MIN_GROWTH, _MAX_GROWTH)
        until = np.minimum(np.where(done > 0, growth * done, self._first), 1).astype(np.float32)
        half = self._half[chosen]
        found = self._band_volumes(chosen, done * half, np.where(until < 1, until * half, np.float32(np.inf)))
        self.stuck[chosen] = found < 0
        self._measured[chosen[found >= 0]] = until[found >= 0]
        chosen, found = chosen[found >= 0], found[found >= 0]
        partial[chosen] += found
        completed = chosen[self._measured[chosen] == 1]
        self.volumes[completed] = partial[completed]
        self.raise_bounds(chosen, partial[chosen])

    def _band_volumes(self, chosen: NDArray[np.intp], inner: NDArray[np.float32], outer: NDArray[np.float32]) -> Floats:
        """Return the support volume (mm3) from ``inner`` to ``outer`` of the middle; negative beyond the budget."""
        found, work = np.empty(len(inner)), work_array(len(inner), 1)
        surface, views = self.surface, self.views.of(chosen)
        arrays = SupportSurface(
            surface.corners, surface.blocks, surface.normals, surface.samples, surface.owner, surface.sample_blocks,
            surface.sample_normals, surface.sample_groups,
        )  # fmt: skip
        run_ranges(
            support_volumes, len(inner), 1, self._threads,
            Bands(views.frames, views.platform, views.resting_height, inner, outer), arrays,
            np.float32(OVERHANG_COSINE), np.float32(self.size * ROUND / 10), self._unit,
            self._budget // _BUDGET_DIVISOR, found, work,
        )  # fmt: skip
        record("support", work)
        self._spent += int(work.sum())
        return found


def _unit(surface: Surface, size: float) -> float:
    """Return a power of two (mm3) such that no support volume is more than 2**52 times it."""
    max_volume = 2 * size * float(surface.samples[6].sum(dtype=np.float64))
    return float(2.0 ** (np.ceil(np.log2(max(max_volume, 1e-30))) - 52))
