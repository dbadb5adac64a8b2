"""When nodes are ordered and given back."""

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
    """What a policy sees: the time, CPUs at work (mean over a window), CPU seconds that wait, CPUs of a node."""

    now_s: float
    busy_cpus: float
    waiting_s: float
    cpus: int


class Policy(Protocol):
    """Says how many nodes there should be."""

    def wanted(self, load: Load) -> int:
        """Nodes for ``load``."""


@dataclass(frozen=True, slots=True)
class Reactive:
    """Follows what is seen: CPUs at work, and those that would clear what waits in ``clear_s``, at ``use`` of all."""

    use: float = 0.7
    clear_s: float = 300.0

    def __post_init__(self) -> None:
        """Raises ParameterError."""
        require(0 < self.use <= 1, "use", self.use, "more than 0, 1 at most")
        require(self.clear_s > 0, "clear_s", self.clear_s, "more than 0 s")

    def wanted(self, load: Load) -> int:
        """Nodes for the load now."""
        return ceil((load.busy_cpus + load.waiting_s / self.clear_s) / (self.use * load.cpus))


@dataclass(frozen=True, slots=True)
class Predictive:
    """Orders for the load expected ``ahead_s`` from now, and reacts to what the forecast did not know.

    ``expected``: CPUs at work in each hour of the day (24,).
    """

    expected: tuple[float, ...]
    reactive: Reactive
    ahead_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises ParameterError."""
        fits = len(self.expected) == 24 and min(self.expected) >= 0
        require(fits, "expected", self.expected, "24 hours, none below 0")
        require(0 <= self.ahead_s < HOUR_S, "ahead_s", self.ahead_s, "0 s to less than an hour")

    def wanted(self, load: Load) -> int:
        """Nodes for the greater of the load expected and the load now."""
        cpus = max(self.expected[int(at // HOUR_S) % 24] for at in (load.now_s, load.now_s + self.ahead_s))
        return max(ceil(cpus / (self.reactive.use * load.cpus)), self.reactive.wanted(load))


def forecast(mix: Mix, per_hour: float, times: StageTimes, seed: int, days: int = 7) -> tuple[float, ...]:
    """CPUs at work in each hour of the day, the mean over ``days`` earlier days of the same customers."""
    total: Floats = np.zeros(24)
    for day in range(days):
        before = make_trace(mix, per_hour, 0.0, 24 * HOUR_S, seed + 1 + day, daily=True)
        hour = (before.arrival_s // HOUR_S).astype(np.int64)
        total += np.bincount(hour, work_seconds(before, times).sum(axis=1), minlength=24)
    return tuple(float(x) for x in total / days / HOUR_S)


@dataclass(frozen=True, slots=True)
class Scaling:
    """A policy, asked every ``every_s`` with the use of the last ``window_s``, and its limits ``least`` and ``most``.

    What is too much is given back: ``drained`` once it was too much for ``idle_s``, else only nodes that ran nothing
    for ``idle_s``, as Ray's own idle timeout does.
    """

    policy: Policy
    least: int = 1
    most: int = 200
    idle_s: float = 120.0
    every_s: float = 5.0
    window_s: float = 60.0
    drained: bool = True

    def __post_init__(self) -> None:
        """Raises ParameterError."""
        require(0 <= self.least <= self.most and self.most >= 1, "least", self.least, f"0 to {self.most} nodes")
        require(self.idle_s >= 0, "idle_s", self.idle_s, "0 s or more")
        require(self.every_s > 0, "every_s", self.every_s, "more than 0 s")
        require(self.window_s >= self.every_s, "window_s", self.window_s, f"{self.every_s} s or more")

    def follow(self, cluster: Cluster, seen: list[tuple[float, int, float]]) -> simpy.events.ProcessGenerator:
        """The autoscaler's process; appends (time, nodes, CPUs at work) to ``seen`` each time it looks."""
        samples: deque[int] = deque(maxlen=round(self.window_s / self.every_s))
        enough_since = cluster.env.now
        while True:
            now, nodes = cluster.env.now, cluster.nodes
            samples.append(cluster.busy_cpus)
            busy = sum(samples) / len(samples)
            load = Load(now, busy, max(0.0, cluster.waiting_s), cluster.settings.cpus)
            wanted = min(self.most, max(self.least, self.policy.wanted(load)))
            surplus = max(0, nodes - cluster.booting - wanted)  # what still boots can't stand in for what is up
            if wanted >= nodes:
                cluster.launch(wanted - nodes)
                enough_since = now
            elif not self.drained:
                cluster.give_back_idle(self.idle_s, surplus)
            elif now - enough_since >= self.idle_s:
                cluster.drain(surplus)
            seen.append((now, cluster.nodes, busy))
            yield cluster.env.timeout(self.every_s)
