"""Seconds of each stage of an analysis on one thread as a function of facets, from a measured ladder of models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulator.errors import StageTimesError

SCHEMA = "facet.stage-times/1"
STAGES = ("load", "integrity", "geometry", "thickness", "orientation", "slices", "finishing")
MEASURED = Path(__file__).with_name("stage_times.json")
_MIN_S = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """The ladder: ``facets`` (K,) ascending and ``seconds`` (K, 7), a column a stage of STAGES."""

    facets: Floats
    seconds: Floats

    def at(self, facets: Floats) -> Floats:
        """Return the seconds (n, 7) for models of ``facets`` (n,): log-log interpolation between the ladder's rungs.

        Constant below the smallest rung; above the largest proportional to the facets (stages grow as n log n).
        """
        log_facets, rungs = np.log(facets), np.log(self.facets)
        columns = [np.exp(np.interp(log_facets, rungs, np.log(column))) for column in self.seconds.T]
        seconds: Floats = np.stack(columns, axis=1) * np.maximum(1.0, facets / self.facets[-1])[:, None]
        return seconds


def load_stage_times(path: Path = MEASURED) -> StageTimes:
    """Read the file of ``measure``. Raises :class:`StageTimesError`."""
    remedy = "write one with: python -m benchmarks.simulator measure"
    try:
        content = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise StageTimesError(f"{path}: no stage times ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise StageTimesError(f"{path}: not of schema {SCHEMA}; {remedy}")
    try:
        rungs = sorted(
            (float(rung["facets"]), [float(rung["seconds"][s]) for s in STAGES]) for rung in content["ladder"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StageTimesError(f"{path}: a rung of the ladder lacks or has an invalid {error}; {remedy}") from error
    facets, seconds = np.array([f for f, _ in rungs]), np.array([s for _, s in rungs])
    if len(rungs) < 2 or facets[0] < 1 or (np.diff(facets) <= 0).any() or not np.isfinite(seconds).all():
        raise StageTimesError(f"{path}: needs two or more rungs of different facets and finite seconds; {remedy}")
    return StageTimes(facets, np.maximum(seconds, _MIN_S))
