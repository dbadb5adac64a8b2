"""Split a model into tasks with durations: the engine's plan, with measured times instead of the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from benchmarks.simulator.errors import require
from benchmarks.simulator.stage_times import STAGES, StageTimes
from benchmarks.simulator.workload import Floats, Mix, Trace, draw_models
from pricing_engine.distributed.resource_estimate import SMALL_FACETS

Phase = tuple[float, ...]
FIRST_STAGES = ("load", "integrity")


@dataclass(frozen=True, slots=True)
class Plan:
    """A model of ``small_facets`` or fewer is one task.

    A larger one is first one task for FIRST, then one for the stages that don't split, beside tasks of ``task_s`` or
    less for those that do, ``split``.
    """

    small_facets: float = SMALL_FACETS
    task_s: float = 0.25
    split: tuple[str, ...] = ("thickness", "slices", "finishing")

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(self.small_facets >= 0, "small_facets", self.small_facets, "0 or more")
        require(self.task_s > 0, "task_s", self.task_s, "more than 0 s")
        later = tuple(stage for stage in STAGES if stage not in FIRST_STAGES)
        require(set(self.split) <= set(later), "split", ", ".join(self.split), "some of " + ", ".join(later))

    def phases(self, facets: float, seconds: Floats) -> tuple[Phase, ...]:
        """Return the seconds of each phase's tasks; phases are sequential. ``seconds``: by STAGES."""
        by_stage = dict(zip(STAGES, seconds.tolist(), strict=True))
        if facets <= self.small_facets:
            return ((sum(by_stage.values()),),)
        first = sum(by_stage.pop(stage) for stage in FIRST_STAGES)
        tasks: list[float] = []
        for stage in self.split:
            total_s = by_stage.pop(stage)
            parts = ceil(total_s / self.task_s)
            tasks += [total_s / parts] * parts
        return (first,), (sum(by_stage.values()), *tasks)


def work_seconds(trace: Trace, times: StageTimes) -> Floats:
    """Return the seconds (n, 7) of each stage of each model of ``trace`` on one CPU."""
    return times.at(trace.facets) * trace.factor[:, None]


def mean_work(mix: Mix, times: StageTimes) -> float:
    """Return the mean CPU seconds of a model of ``mix``, from a large sample with a fixed seed."""
    facets, factor = draw_models(mix, np.random.default_rng(0), 200_000)
    return float(np.mean(times.at(facets).sum(axis=1) * factor))
