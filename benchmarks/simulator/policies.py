"""Scaling policies: when nodes are requested and released."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
import simpy

from benchmarks.simulator.cluster import Cluster
from benchmarks.simulator.errors import require
from benchmarks.simulator.plan import work_seconds
from benchmarks.simulator.stage_times import StageTimes
from benchmarks.simulator.workload import HOUR_S, Floats, Mix, make_trace


@dataclass(frozen=True, slots=True)
class Load:
    """Input of a policy: the time, busy CPUs (mean over a window), CPU seconds that wait, CPUs of a node."""

    now_s: float
    busy_cpus: float
    waiting_s: float
    cpus: int


class Policy(Protocol):
    """Computes the target number of nodes."""

    def target_nodes(self, load: Load) -> int:
        """Return the number of nodes for ``load``."""


@dataclass(frozen=True, slots=True)
class Reactive:
    """Follows the load: busy CPUs, and those that clear the backlog in ``clear_s``, at the utilisation ``use``."""

    use: float = 0.7
    clear_s: float = 300.0

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(0 < self.use <= 1, "use", self.use, "more than 0, 1 at most")
        require(self.clear_s > 0, "clear_s", self.clear_s, "more than 0 s")

    def target_nodes(self, load: Load) -> int:
        """Return the number of nodes for the current load."""
        return ceil((load.busy_cpus + load.waiting_s / self.clear_s) / (self.use * load.cpus))


@dataclass(frozen=True, slots=True)
class Predictive:
    """Requests nodes for the load expected ``ahead_s`` from now, and reacts to deviations from the forecast.

    ``expected``: busy CPUs in each hour of the day (24,).
    """

    expected: tuple[float, ...]
    reactive: Reactive
    ahead_s: float = 600.0

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        fits = len(self.expected) == 24 and min(self.expected) >= 0
        require(fits, "expected", self.expected, "24 hours, none below 0")
        require(0 <= self.ahead_s < HOUR_S, "ahead_s", self.ahead_s, "0 s to less than an hour")

    def target_nodes(self, load: Load) -> int:
        """Return the number of nodes for the greater of the expected and the current load."""
        cpus = max(self.expected[int(at // HOUR_S) % 24] for at in (load.now_s, load.now_s + self.ahead_s))
        return max(ceil(cpus / (self.reactive.use * load.cpus)), self.reactive.target_nodes(load))


def forecast(mix: Mix, per_hour: float, times: StageTimes, seed: int, days: int = 7) -> tuple[float, ...]:
    """Return the busy CPUs in each hour of the day, the mean over ``days`` earlier days of the same customers."""
    total: Floats = np.zeros(24)
    for day in range(days):
        before = make_trace(mix, per_hour, 0.0, 24 * HOUR_S, seed + 1 + day, daily=True)
        hour = (before.arrival_s // HOUR_S).astype(np.int64)
        total += np.bincount(hour, work_seconds(before, times).sum(axis=1), minlength=24)
    return tuple(float(x) for x in total / days / HOUR_S)


@dataclass(frozen=True, slots=True)
class Scaling:
    """A policy, evaluated every ``interval_s`` over the last ``window_s``, within ``min_nodes`` and ``max_nodes``.

    Surplus nodes are released: with ``drained`` after ``idle_s`` of surplus, else only nodes that were idle for
    ``idle_s``, as by Ray's own idle timeout.
    """

    policy: Policy
    min_nodes: int = 1
    max_nodes: int = 200
    idle_s: float = 120.0
    interval_s: float = 5.0
    window_s: float = 60.0
    drained: bool = True

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(
            0 <= self.min_nodes <= self.max_nodes and self.max_nodes >= 1,
            "min_nodes",
            self.min_nodes,
            f"0 to {self.max_nodes} nodes",
        )
        require(self.idle_s >= 0, "idle_s", self.idle_s, "0 s or more")
        require(self.interval_s > 0, "every_s", self.interval_s, "more than 0 s")
        require(self.window_s >= self.interval_s, "window_s", self.window_s, f"{self.interval_s} s or more")

    def follow(self, cluster: Cluster, timeline: list[tuple[float, int, float]]) -> simpy.events.ProcessGenerator:
        """Run the autoscaler's process; append (time, nodes, busy CPUs) to ``timeline`` at each step."""
        samples: deque[int] = deque(maxlen=round(self.window_s / self.interval_s))
        sufficient_since = cluster.env.now
        while True:
            now, nodes = cluster.env.now, cluster.nodes
            samples.append(cluster.busy_cpus)
            busy = sum(samples) / len(samples)
            load = Load(now, busy, max(0.0, cluster.waiting_s), cluster.settings.cpus)
            target_nodes = min(self.max_nodes, max(self.min_nodes, self.policy.target_nodes(load)))
            surplus = max(0, nodes - cluster.booting - target_nodes)  # booting nodes do not replace running ones
            if target_nodes >= nodes:
                cluster.launch(target_nodes - nodes)
                sufficient_since = now
            elif not self.drained:
                cluster.release_idle(self.idle_s, surplus)
            elif now - sufficient_since >= self.idle_s:
                cluster.drain(surplus)
            timeline.append((now, cluster.nodes, busy))
            yield cluster.env.timeout(self.interval_s)
