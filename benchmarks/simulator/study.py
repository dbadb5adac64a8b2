"""The studies: nodes against quote time, reactive against predictive scaling, and the cost of a slow boot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import ceil, floor

from benchmarks.simulator.cluster import ClusterSettings
from benchmarks.simulator.errors import require
from benchmarks.simulator.plan import Plan, mean_work
from benchmarks.simulator.policies import Predictive, Reactive, Scaling, forecast
from benchmarks.simulator.simulate import Estimate, Run, make_jobs, quantile, run_jobs
from benchmarks.simulator.stage_times import StageTimes
from benchmarks.simulator.workload import HOUR_S, PRIORITIES, RUSH_HOUR, Mix, make_trace

WARM_UP, MAX_USE = 0.2, 0.95
MIN_ROWS, MAX_ROWS = 4, 12
MAX_RATE = 1_000_000
WARM_WORKERS_S = 300.0
AROUND_THE_RUSH = (15.0, 20.0)
FIXED, IDLE, REACTIVE, PREDICTIVE = POLICIES = ("fixed", "reactive, idle timeout", "reactive", "predictive")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class World:
    """Parameters of all studies. ``node_price``: per node and hour; ``targets_s``: target p99 of each priority."""

    times: StageTimes
    mix: Mix = field(default_factory=Mix)
    plan: Plan = field(default_factory=Plan)
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    jobs: int = 60_000
    seed: int = 1
    node_price: float = 0.41
    targets_s: tuple[float, float, float] = (10.0, 30.0, 300.0)

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(self.jobs >= 1000, "jobs", self.jobs, "1000 or more, for a p99 of express jobs")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.node_price >= 0, "node_price", self.node_price, "0 or more")
        require(
            min(self.targets_s) > 0 and len(self.targets_s) == 3, "target", self.targets_s, "three of more than 0 s"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Quote times of one run: ``p50`` and ``p99`` by priority."""

    label: str
    nodes: float
    use: float
    p50: tuple[Estimate, ...]
    p99: tuple[Estimate, ...]
    node_hours: float
    run: Run


def steady(world: World, per_hour: float, report: Report) -> Iterator[Outcome]:
    """Yield the outcomes of fixed sizes at a steady rate, from the fewest nodes with a use below MAX_USE.

    MIN_ROWS sizes, and more until all targets are met, at most MAX_ROWS; the same arrivals for each. The first
    WARM_UP of the time is not counted.
    """
    require(0 < per_hour <= MAX_RATE, "rate", per_hour, f"more than 0, {MAX_RATE:,} models per hour at most")
    trace = make_trace(world.mix, per_hour, 0.0, world.jobs / (1 - WARM_UP) / per_hour * HOUR_S, world.seed)
    first = floor(offered_cpus(world, per_hour) / (MAX_USE * world.settings.cpus)) + 1
    done = False
    for nodes in range(first, first + MAX_ROWS):
        if done and nodes >= first + MIN_ROWS:
            return
        report(f"{per_hour:,.0f} models per hour on {nodes} nodes")
        run, _ = run_jobs(make_jobs(trace, world.plan, world.times), world.settings, nodes)
        end = float(trace.arrival_s[-1])
        outcome = summarise(world, run, f"{nodes}", WARM_UP * end, end)
        yield outcome
        done = done or all(meets_target(world, outcome, priority) for priority in range(len(PRIORITIES)))


def meets_target(world: World, outcome: Outcome, priority: int) -> bool:
    """Return whether the p99 of ``priority`` is within its target."""
    return outcome.p99[priority].value <= world.targets_s[priority]


def offered_cpus(world: World, per_hour: float) -> float:
    """Return the offered load of ``per_hour`` models in CPUs."""
    return (mean_work(world.mix, world.times) + world.settings.task_s) * per_hour / HOUR_S


def day(
    world: World,
    per_hour: float,
    hours: tuple[float, float],
    reactive: Reactive,
    report: Report,
    labels: tuple[str, ...] = POLICIES,
) -> Iterator[Outcome]:
    """Yield the outcome of each policy of ``labels`` for some hours of a day; "fixed" is sized for the rush hour."""
    start, end = (hour * HOUR_S for hour in hours)
    require(0 <= hours[0] < hours[1] <= 24, "hours", hours, "two of 0 to 24, in order")
    require(0 < per_hour <= MAX_RATE, "day-rate", per_hour, f"more than 0, {MAX_RATE:,} models per hour at most")
    trace = make_trace(world.mix, per_hour, start, end, world.seed, daily=True)
    expected = forecast(world.mix, per_hour, world.times, world.seed)
    predictive = Predictive(expected, reactive, min(world.settings.boot_s + WARM_WORKERS_S, HOUR_S - 1))
    capacity = reactive.use * world.settings.cpus
    peak, first = ceil(max(expected) / capacity), max(1, ceil(expected[int(hours[0])] / capacity))
    runs: list[tuple[str, Scaling | None, int]] = [
        (FIXED, None, peak),
        (IDLE, Scaling(reactive, drained=False), first),
        (REACTIVE, Scaling(reactive), first),
        (PREDICTIVE, Scaling(predictive), first),
    ]
    for label, scaling, nodes in runs:
        if label not in labels:
            continue
        report(f"{per_hour:,.0f} models per hour, {label}, boot {world.settings.boot_s:.0f} s")
        run, _ = run_jobs(make_jobs(trace, world.plan, world.times), world.settings, nodes, start, scaling)
        yield summarise(world, run, label, start, end)


def boots(
    world: World, per_hour: float, reactive: Reactive, seconds: list[float], report: Report
) -> Iterator[tuple[float, Outcome]]:
    """Yield the outcomes of both policies in the hours AROUND_THE_RUSH for each boot time."""
    for boot_s in seconds:
        slow = replace(world, settings=replace(world.settings, boot_s=boot_s))
        for outcome in day(slow, per_hour, AROUND_THE_RUSH, reactive, report, (REACTIVE, PREDICTIVE)):
            yield boot_s, outcome


def summarise(world: World, run: Run, label: str, start_s: float, end_s: float) -> Outcome:
    """Summarise the quote times of jobs that arrived in the interval."""
    of_priority = [run.arrived_between(start_s, end_s, priority) for priority in range(len(PRIORITIES))]
    p50, p99 = (tuple(quantile(values, q) for values in of_priority) for q in (0.5, 0.99))
    use = run.busy_s / (run.node_hours * 3600 * world.settings.cpus)
    elapsed_hours = (run.end_s - run.start_s) / 3600
    return Outcome(label, run.node_hours / elapsed_hours, use, p50, p99, run.node_hours, run)


def rush_p99(outcome: Outcome) -> tuple[Estimate, ...]:
    """Return the p99 by priority of the jobs that arrived in the rush hour."""
    start = RUSH_HOUR * HOUR_S
    return tuple(quantile(outcome.run.arrived_between(start, start + HOUR_S, p), 0.99) for p in range(len(PRIORITIES)))
