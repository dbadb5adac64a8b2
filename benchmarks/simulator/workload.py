"""The workload: models of all sizes, express, standard and partners' bulk catalogues, with a daily profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.simulator.errors import require
from pricing_engine.distributed.jobs import JobPriority

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_S = 3600.0
PRIORITIES = tuple(JobPriority)
RUSH_HOUR = 17
# Arrivals by hour relative to one another, without the rush hour, which Mix.rush sets.
_HOURS = (0.3, 0.25, 0.2, 0.2, 0.25, 0.35, 0.5, 0.8, 1.2, 1.5, 1.6, 1.5,
          1.3, 1.3, 1.4, 1.6, 1.9, 0.0, 1.9, 1.2, 0.8, 0.55, 0.4, 0.3)  # fmt: skip
_RAMP_S = 600.0


@dataclass(frozen=True, slots=True)
class Mix:
    """The mix of models.

    Facets are log-normal about ``median_facets`` with ``spread``, the deviation of their logarithm, cut to
    ``min_facets`` .. ``max_facets``. ``variety``: deviation of the logarithm of a model's time over that of the
    ladder's model of the same facets, whose mean is 1. ``shares`` by priority sum to 1. Bulk arrives as catalogues of
    on average ``catalogue`` models (geometric), one customer each, a model every ``upload_s``. ``rush``: the rate of
    the busiest hour over the day's mean.
    """

    median_facets: float = 60_000
    spread: float = 1.3
    min_facets: float = 2_000
    max_facets: float = 5_000_000
    variety: float = 0.35
    shares: tuple[float, float, float] = (0.1, 0.6, 0.3)
    catalogue: float = 200
    upload_s: float = 0.05
    rush: float = 3.0

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(0 < self.min_facets < self.max_facets, "min_facets", self.min_facets, "more than 0 and < max_facets")
        inside = self.min_facets <= self.median_facets <= self.max_facets
        require(inside, "median_facets", self.median_facets, f"{self.min_facets:g} to {self.max_facets:g}")
        require(self.spread > 0, "spread", self.spread, "more than 0")
        require(self.variety >= 0, "variety", self.variety, "0 or more")
        complete = min(self.shares) >= 0 and abs(sum(self.shares) - 1) < 1e-9
        require(
            len(self.shares) == len(PRIORITIES) and complete, "shares", self.shares, "three that sum to 1, none below 0"
        )
        require(self.catalogue >= 1, "catalogue", self.catalogue, "1 or more models")
        require(self.upload_s >= 0, "upload_s", self.upload_s, "0 s or more")
        require(1 <= self.rush < 24, "rush", self.rush, "1 to 24 times the mean")


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time: seconds, facets, time factor, index into PRIORITIES and customer of each (n,)."""

    arrival_s: Floats
    facets: Floats
    factor: Floats
    priority: Ints
    customer: Ints

    def __len__(self) -> int:
        return len(self.arrival_s)


def day_profile(mix: Mix) -> Floats:
    """Return the arrival rate of each hour of a day (24,) over the day's mean."""
    hours = np.array(_HOURS)
    hours *= (24 - mix.rush) / hours.sum()
    hours[RUSH_HOUR] = mix.rush
    return hours


def make_trace(mix: Mix, per_hour: float, start_s: float, end_s: float, seed: int, daily: bool = False) -> Trace:
    """Generate arrivals from ``start_s`` to ``end_s`` seconds after midnight, on average ``per_hour``, from ``seed``.

    A Poisson process of single models and one of catalogues; ``daily``: their rate follows the day's profile, with
    ramps of ten minutes between hours. Raises ParameterError.
    """
    require(per_hour > 0, "rate", per_hour, "more than 0 models per hour")
    require(end_s > start_s, "duration", end_s - start_s, "more than 0 s")
    singles_rng, bulk_rng, model_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    profile = day_profile(mix) if daily else np.ones(24)
    express, standard, bulk = mix.shares
    singles = _poisson(singles_rng, per_hour * (express + standard), profile, start_s, end_s)
    is_standard = singles_rng.random(len(singles)) * (express + standard) >= express
    starts = _poisson(bulk_rng, per_hour * bulk / mix.catalogue, profile, start_s, end_s)
    sizes = bulk_rng.geometric(1 / mix.catalogue, len(starts))
    catalogue = np.repeat(np.arange(len(starts)), sizes)
    position = np.arange(len(catalogue)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    times = np.concatenate([singles, starts[catalogue] + position * mix.upload_s])
    priority = np.concatenate([is_standard.astype(np.int64), np.full(len(catalogue), 2, np.int64)])
    customer = np.concatenate([np.arange(len(singles)) + len(starts), catalogue])
    order = np.argsort(times, kind="stable")
    order = order[times[order] < end_s]
    return Trace(times[order], *draw_models(mix, model_rng, len(order)), priority[order], customer[order])


def draw_models(mix: Mix, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Draw facets (count,) from the truncated log-normal distribution by inversion, and time factors."""
    low, high = (ndtr(np.log(edge / mix.median_facets) / mix.spread) for edge in (mix.min_facets, mix.max_facets))
    facets = mix.median_facets * np.exp(mix.spread * ndtri(rng.uniform(low, high, count)))
    factor = np.exp(mix.variety * rng.standard_normal(count) - mix.variety**2 / 2)
    return np.rint(facets), factor


def _poisson(rng: np.random.Generator, per_hour: float, profile: Floats, start_s: float, end_s: float) -> Floats:
    """Return the times of a Poisson process with the rate ``profile``, by thinning one at the maximum rate."""
    max_rate = per_hour * float(profile.max()) / HOUR_S
    times = np.sort(rng.uniform(start_s, end_s, rng.poisson(max_rate * (end_s - start_s))))
    keep = rng.uniform(0.0, float(profile.max()), len(times)) < _rate_at(profile, times)
    return times[keep]


def _rate_at(profile: Floats, times: Floats) -> Floats:
    """Return ``profile`` at ``times``: constant within the hour, with a linear ramp between hours."""
    edges = np.arange(25) * HOUR_S
    knots = np.stack([edges - _RAMP_S / 2, edges + _RAMP_S / 2], axis=1).ravel()
    around = np.concatenate([profile[-1:], np.repeat(profile, 2), profile[:1]])
    rates: Floats = np.interp(times % (24 * HOUR_S), knots, around)
    return rates
