"""Invalid parameters are reported by name."""

from __future__ import annotations

import pytest

from benchmarks.simulator.cluster import ClusterSettings
from benchmarks.simulator.errors import ParameterError
from benchmarks.simulator.plan import Plan
from benchmarks.simulator.policies import Predictive, Reactive, Scaling
from benchmarks.simulator.simulate import run_jobs
from benchmarks.simulator.study import World
from benchmarks.simulator.workload import Mix
from pricing_engine.distributed.jobs import JobPriority
from tests.unit.benchmarks.simulator.known_times import NO_OVERHEAD, TIMES, single_task_job

BAD: list[tuple[type, dict[str, object], str]] = [
    (Mix, {"shares": (0.5, 0.6, 0.3)}, "shares"),
    (Mix, {"shares": (-0.1, 0.8, 0.3)}, "shares"),
    (Mix, {"median_facets": 1.0}, "median_facets"),
    (Mix, {"min_facets": 0.0}, "min_facets"),
    (Mix, {"spread": 0.0}, "spread"),
    (Mix, {"spread": float("nan")}, "spread"),
    (Mix, {"catalogue": 0.5}, "catalogue"),
    (Mix, {"rush": 24.0}, "rush"),
    (ClusterSettings, {"cpus": 0}, "cpus"),
    (ClusterSettings, {"boot_s": -1.0}, "boot_s"),
    (ClusterSettings, {"boot_s": float("inf")}, "boot_s"),
    (ClusterSettings, {"in_flight": 0.5}, "in_flight"),
    (Plan, {"task_s": 0.0}, "task_s"),
    (Plan, {"split": ("load",)}, "split"),
    (Reactive, {"use": 1.5}, "use"),
    (Reactive, {"clear_s": 0.0}, "clear_s"),
    (Predictive, {"expected": (1.0,), "reactive": Reactive()}, "expected"),
    (Scaling, {"policy": Reactive(), "min_nodes": 5, "max_nodes": 4}, "min_nodes"),
    (World, {"times": TIMES, "jobs": 10}, "jobs"),
    (World, {"times": TIMES, "targets_s": (1.0, 0.0, 1.0)}, "target"),
]


@pytest.mark.parametrize(("kind", "parameters", "name"), BAD)
def test_an_invalid_parameter_is_reported_by_name(kind: type, parameters: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        kind(**parameters)


def test_a_run_that_could_never_finish_is_refused() -> None:
    with pytest.raises(ParameterError, match="nodes"):
        run_jobs([single_task_job(0.0, JobPriority.BULK, 1.0)], NO_OVERHEAD, 0)
    with pytest.raises(ParameterError, match="jobs"):
        run_jobs([], NO_OVERHEAD, 1)
