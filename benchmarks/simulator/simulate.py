"""One run: a trace of arrivals on a cluster, to the end of its last job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import simpy
from scipy.special import stdtrit

from benchmarks.simulator.cluster import Cluster, ClusterSettings, Job
from benchmarks.simulator.errors import require
from benchmarks.simulator.plan import Plan, work_seconds
from benchmarks.simulator.policies import Scaling
from benchmarks.simulator.stage_times import StageTimes
from benchmarks.simulator.workload import PRIORITIES, Floats, Ints, Trace

BATCHES = 10


@dataclass(frozen=True, slots=True)
class Run:
    """The result. ``arrival_s``, ``quote_s``, ``priority`` (n,) by job; ``timeline``: (time, nodes, busy CPUs)."""

    arrival_s: Floats
    quote_s: Floats
    priority: Ints
    node_hours: float
    busy_s: float
    start_s: float
    end_s: float
    timeline: tuple[tuple[float, int, float], ...]

    def arrived_between(self, start_s: float, end_s: float, priority: int) -> Floats:
        """Return the quote times of jobs of ``priority`` that arrived in the interval, in order of arrival."""
        options = (self.arrival_s >= start_s) & (self.arrival_s < end_s) & (self.priority == priority)
        chosen_s: Floats = self.quote_s[options]
        return chosen_s


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and half the width of its 95 % confidence interval."""

    value: float
    error: float


def make_jobs(trace: Trace, plan: Plan, times: StageTimes) -> Iterator[Job]:
    """Yield the jobs of ``trace`` in order of arrival, lazily: a busy day has millions."""
    columns = zip(
        trace.arrival_s.tolist(), trace.facets.tolist(), trace.priority.tolist(), trace.customer.tolist(),
        work_seconds(trace, times), strict=True,
    )  # fmt: skip
    for arrival, facets, priority, customer, seconds in columns:
        yield Job(arrival, PRIORITIES[priority], str(customer), plan.phases(facets, seconds))


def run_jobs(
    jobs: Iterable[Job], settings: ClusterSettings, nodes: int, start_s: float = 0.0, scaling: Scaling | None = None
) -> tuple[Run, Cluster]:
    """Run ``jobs``, in order of arrival, on initially ``nodes`` nodes; constant without ``scaling``.

    Return the result, and the final cluster with its statistics. O(log n) per task. Raises ParameterError.
    """
    require(nodes >= 1 or scaling is not None, "nodes", nodes, "1 or more")
    env = simpy.Environment(start_s)
    cluster = Cluster(env, settings, nodes)
    timeline: list[tuple[float, int, float]] = []
    if scaling is not None:
        env.process(scaling.follow(cluster, timeline))
    arrived: list[Job] = []
    env.run(env.process(_arrive(env, cluster, jobs, arrived)))
    require(bool(arrived), "jobs", "none", "one or more: a greater rate or a longer time")
    while cluster.finished < cluster.submitted:
        env.step()
    cluster.close()
    run = Run(
        np.array([job.arrival for job in arrived]), np.array([job.quote_s for job in arrived]),
        np.array([PRIORITIES.index(job.priority) for job in arrived]), cluster.node_s / 3600, cluster.busy_s,
        start_s, float(env.now), tuple(timeline),
    )  # fmt: skip
    return run, cluster


def _arrive(
    env: simpy.Environment, cluster: Cluster, jobs: Iterable[Job], arrived: list[Job]
) -> simpy.events.ProcessGenerator:
    for job in jobs:
        arrived.append(job)
        yield env.timeout(job.arrival - env.now)
        cluster.submit(job)


def quantile(values: Floats, q: float) -> Estimate:
    """Return the ``q`` quantile of ``values``, in order of time, with an interval from the means of BATCHES batches.

    NaN if there are fewer values than batches.
    """
    if len(values) < BATCHES:
        return Estimate(float("nan"), float("nan"))
    of_batch = np.array([np.quantile(batch, q) for batch in np.array_split(values, BATCHES)])
    return Estimate(float(np.quantile(values, q)), _half_width(of_batch))


def mean(values: Floats) -> Estimate:
    """Return the mean of ``values``, in order of time, with an interval from the means of BATCHES batches."""
    of_batch = np.array([batch.mean() for batch in np.array_split(values, BATCHES)])
    return Estimate(float(values.mean()), _half_width(of_batch))


def _half_width(of_batch: Floats) -> float:
    return float(stdtrit(BATCHES - 1, 0.975) * of_batch.std(ddof=1) / np.sqrt(BATCHES))
