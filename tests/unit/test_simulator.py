"""The simulator against queueing theory's closed forms, and its own books: nothing lost, nothing run twice."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import simpy
from numpy.typing import NDArray

from benchmarks.simulator.__main__ import main
from benchmarks.simulator.cluster import Cluster, ClusterSettings, Job
from benchmarks.simulator.errors import ParameterError, StageTimesError
from benchmarks.simulator.plan import Plan, mean_work, work_seconds
from benchmarks.simulator.policies import Load, Predictive, Reactive, Scaling, forecast
from benchmarks.simulator.simulate import Run, make_jobs, mean, quantile, run_jobs
from benchmarks.simulator.stage_times import STAGES, StageTimes, load_stage_times
from benchmarks.simulator.study import World, day, offered_cpus, steady
from benchmarks.simulator.workload import HOUR_S, RUSH_HOUR, Mix, day_profile, make_trace
from pricing_engine.distributed.jobs import Priority

Floats = NDArray[np.float64]
BARE = ClusterSettings(cpus=1, boot_s=0, cold_s=0, job_s=0, task_s=0, in_flight=1)
COUNT = 60_000
# One second for 100,000 facets, in proportion: a world whose times are known without a measurement.
TIMES = StageTimes(np.array([1e3, 1e7]), np.outer([1e3, 1e7], np.full(len(STAGES), 1 / 100_000 / len(STAGES))))
WORLD = World(TIMES, jobs=2000)


def poisson_jobs(
    rate: float, service: Floats, seed: int, priorities: tuple[Priority, ...] = (Priority.BULK,)
) -> list[Job]:
    """One customer's one-task jobs with exponential gaps; priorities evenly by chance."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, len(service))).tolist()
    of = rng.integers(0, len(priorities), len(service)).tolist()
    return [
        Job(at, priorities[p], "a", ((seconds,),))
        for at, p, seconds in zip(arrivals, of, service.tolist(), strict=True)
    ]


def waits(run: Run, service: Floats) -> Floats:
    """Waiting times after the first tenth."""
    return (run.quote_s - service)[len(service) // 10 :]


def expect(values: Floats, theory: float, within: float = 0.1) -> None:
    """The mean is ``theory`` within its interval, and the interval is narrow enough to tell."""
    found = mean(values)
    assert found.error < within * theory
    assert abs(found.value - theory) <= 1.5 * found.error


def erlang_c(servers: int, offered: float) -> float:
    """Probability of waiting in M/M/c (Erlang, 1917)."""
    busy = offered**servers / factorial(servers) / (1 - offered / servers)
    return busy / (sum(offered**k / factorial(k) for k in range(servers)) + busy)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_waits_as_in_m_m_1(load: float) -> None:
    service = np.random.default_rng(1).exponential(1.0, COUNT)
    run, _ = run_jobs(poisson_jobs(load, service, 2), BARE, 1)
    expect(waits(run, service), load / (1 - load), 0.15)


@pytest.mark.parametrize(("nodes", "cpus", "load"), [(1, 8, 0.8), (4, 2, 0.8), (3, 8, 0.9)])
def test_many_servers_wait_as_in_m_m_c(nodes: int, cpus: int, load: float) -> None:
    servers = nodes * cpus
    service = np.random.default_rng(3).exponential(1.0, COUNT)
    run, _ = run_jobs(poisson_jobs(load * servers, service, 4), replace(BARE, cpus=cpus), nodes)
    expect(waits(run, service), erlang_c(servers, load * servers) / (servers * (1 - load)), 0.25)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_any_service_time_waits_as_pollaczek_and_khinchine_say(spread: float) -> None:
    rng, rate = np.random.default_rng(5), 0.7
    service = np.exp(spread * rng.standard_normal(2 * COUNT) - spread**2 / 2)
    run, _ = run_jobs(poisson_jobs(rate, service, 6), BARE, 1)
    expect(waits(run, service), rate * np.exp(spread**2) / (2 * (1 - rate)), 0.15)


def test_priorities_wait_as_cobham_says() -> None:
    """Services of milliseconds, so that no job waits long enough to age into another priority."""
    service = np.random.default_rng(7).exponential(0.001, COUNT)
    priorities, load = tuple(Priority), 0.8
    run, _ = run_jobs(poisson_jobs(load / 0.001, service, 8, priorities), BARE, 1)
    residual = load * 0.001
    for number in range(3):
        mine = run.priority == number
        above, upto = 1 - load * number / 3, 1 - load * (number + 1) / 3
        expect((run.quote_s - service)[mine], residual / (above * upto), 0.25)


def test_jobs_in_the_system_are_rate_times_time_in_it() -> None:
    """Little's law, exactly: from empty to empty, the area under the jobs is the sum of their times."""
    service = np.random.default_rng(9).exponential(1.0, 5000)
    run, cluster = run_jobs(poisson_jobs(1.5, service, 10), replace(BARE, cpus=2), 1)
    assert cluster.job_area_s == pytest.approx(run.quote_s.sum(), rel=1e-9)


@pytest.fixture(scope="module")
def busy_day() -> tuple[Run, Cluster, float, int]:
    """Two hours of a day on a cluster that grows and shrinks, with the work and the tasks that it ought to do."""
    trace = make_trace(Mix(), 3000, 16 * HOUR_S, 18 * HOUR_S, 11, daily=True)
    jobs = list(make_jobs(trace, Plan(), TIMES))
    work = sum(sum(phase) for job in jobs for phase in job.phases)
    tasks = sum(len(phase) for job in jobs for phase in job.phases)
    run, cluster = run_jobs(jobs, ClusterSettings(), 1, 16 * HOUR_S, Scaling(Reactive()))
    return run, cluster, work, tasks


def test_no_job_is_lost_and_no_task_runs_twice(busy_day: tuple[Run, Cluster, float, int]) -> None:
    run, cluster, work, tasks = busy_day
    settings = cluster.settings
    assert cluster.submitted == cluster.finished == len(run.quote_s)
    assert cluster.tasks_ended == tasks
    assert (run.quote_s > settings.job_s).all()
    cold = (cluster.busy_s - work - tasks * settings.task_s) / settings.cold_s
    assert cold == pytest.approx(round(cold), abs=1e-3)
    assert cold > 0
    assert cluster.waiting_s == pytest.approx(0, abs=1e-5)
    assert cluster.in_flight == cluster.busy_cpus == 0
    assert cluster.job_area_s == pytest.approx(run.quote_s.sum(), rel=1e-6)
    assert run.busy_s <= run.node_hours * 3600 * settings.cpus


def test_nodes_are_ordered_and_given_back(busy_day: tuple[Run, Cluster, float, int]) -> None:
    counts = [nodes for _, nodes, _ in busy_day[0].seen]
    steps = [later - earlier for earlier, later in pairwise(counts)]
    assert min(counts) >= 1
    assert max(steps) > 0 > min(steps)


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def quotes(seed: int) -> Floats:
        trace = make_trace(Mix(), 2000, 0, HOUR_S, seed)
        return run_jobs(make_jobs(trace, Plan(), TIMES), ClusterSettings(), 1)[0].quote_s

    assert np.array_equal(quotes(1), quotes(1))
    assert not np.array_equal(quotes(1)[:100], quotes(2)[:100])


def test_trace_has_the_mix_asked_for() -> None:
    mix = Mix(catalogue=20)
    trace = make_trace(mix, 50_000, 0, 2 * HOUR_S, 12)
    assert len(trace) == pytest.approx(100_000, rel=0.03)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.facets.min() >= mix.least_facets
    assert trace.facets.max() <= mix.most_facets
    assert np.median(trace.facets) == pytest.approx(mix.median_facets, rel=0.03)
    assert np.bincount(trace.priority) / len(trace) == pytest.approx(mix.shares, abs=0.01)
    catalogues = np.unique(trace.customer[trace.priority == 2], return_counts=True)[1]
    assert catalogues.mean() == pytest.approx(mix.catalogue, rel=0.1)


def test_day_has_its_rush_hour() -> None:
    mix = Mix(catalogue=1)
    assert day_profile(mix).mean() == pytest.approx(1)
    assert day_profile(mix).argmax() == RUSH_HOUR
    trace = make_trace(mix, 5000, 0, 24 * HOUR_S, 13, daily=True)
    middle = (RUSH_HOUR + 0.25) * HOUR_S
    inside = (trace.arrival_s >= middle) & (trace.arrival_s < middle + HOUR_S / 2)
    assert inside.sum() == pytest.approx(2500 * mix.rush, rel=0.05)
    assert len(trace) == pytest.approx(24 * 5000, rel=0.02)


@pytest.mark.parametrize("facets", [2000, 200_000, 200_001, 1_000_000, 5_000_000])
def test_tasks_of_a_model_add_up_to_its_work(facets: float) -> None:
    plan, seconds = Plan(), TIMES.at(np.array([facets]))[0]
    phases = plan.phases(facets, seconds)
    assert sum(map(sum, phases)) == pytest.approx(seconds.sum())
    if facets <= plan.small_facets:
        assert [len(phase) for phase in phases] == [1]
    else:
        assert len(phases) == 2
        assert max(phases[1][1:]) <= plan.task_s


def test_stage_times_hit_the_ladder_and_lie_between_its_rungs() -> None:
    times = load_stage_times()
    assert times.at(times.facets) == pytest.approx(times.seconds)
    between = np.sqrt(times.facets[:-1] * times.facets[1:])
    lower, upper = (pick(times.seconds[:-1], times.seconds[1:]) for pick in (np.minimum, np.maximum))
    assert (times.at(between) >= lower - 1e-12).all()
    assert (times.at(between) <= upper + 1e-12).all()
    assert times.at(4 * times.facets[-1:])[0] == pytest.approx(4 * times.seconds[-1])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": "other"}', '{"schema": "facet.stage-times/1", "ladder": [{"facets": 10}]}',
     '{"schema": "facet.stage-times/1", "ladder": []}'],
)  # fmt: skip
def test_a_file_that_holds_no_stage_times_is_named_with_its_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(content)
    with pytest.raises(StageTimesError, match=r"times\.json.*simulator measure"):
        load_stage_times(path)


def test_measured_file_says_where_it_comes_from() -> None:
    content = json.loads((Path(__file__).parents[2] / "benchmarks/simulator/stage_times.json").read_text())
    assert content["threads"] == 1
    assert {"cpu", "cores", "python", "numba"} <= set(content["machine"])


def one(at: float, priority: Priority, seconds: float, customer: str = "a") -> Job:
    """A job of one task."""
    return Job(at, priority, customer, ((seconds,),))


def test_express_passes_a_catalogue() -> None:
    jobs = [one(0.0, Priority.BULK, 1.0) for _ in range(100)] + [one(10.5, Priority.EXPRESS, 1.0, "b")]
    run, _ = run_jobs(jobs, BARE, 1)
    assert run.quote_s[-1] == pytest.approx(0.5 + 1.0)


def test_bulk_never_starves() -> None:
    jobs = [one(t, Priority.EXPRESS, 1.25) for t in range(5000)]
    jobs.insert(1, one(0.0, Priority.BULK, 1.0, "partner"))
    run, _ = run_jobs(jobs, BARE, 1)
    assert 600 <= run.quote_s[1] < 5000


def test_a_large_model_spreads_over_the_cpus() -> None:
    jobs = [Job(0.0, Priority.STANDARD, "a", ((1.0,), (0.25,) * 16))]
    run, _ = run_jobs(jobs, replace(BARE, cpus=8), 1)
    assert run.quote_s[0] == pytest.approx(1.0 + 2 * 0.25)


def test_the_head_takes_one_job_at_a_time() -> None:
    jobs = [one(0.0, Priority.EXPRESS, 1.0, name) for name in "ab"]
    run, _ = run_jobs(jobs, replace(BARE, cpus=8, job_s=0.5), 1)
    assert run.quote_s == pytest.approx([1.5, 2.0])


def test_a_new_node_boots_and_its_workers_start_cold() -> None:
    settings = replace(BARE, boot_s=90, cold_s=2.5)
    jobs = [one(0.0, Priority.EXPRESS, 1.0), one(200.0, Priority.EXPRESS, 1.0)]
    run, _ = run_jobs(jobs, settings, 0, scaling=Scaling(Reactive(), idle_s=1000))
    ordered = next(at for at, nodes, _ in run.seen if nodes)
    assert run.quote_s == pytest.approx([ordered + 90 + 2.5 + 1, 1.0])
    assert run.node_hours == pytest.approx((run.ended_s - ordered) / 3600)


def loaded(nodes: int, jobs: int) -> tuple[simpy.Environment, Cluster]:
    """A cluster of two-CPU nodes with ``jobs`` of 10 s at work."""
    env = simpy.Environment()
    cluster = Cluster(env, replace(BARE, cpus=2), nodes)
    for number in range(jobs):
        cluster.submit(one(0.0, Priority.STANDARD, 10.0, str(number)))
    env.run(1.0)
    return env, cluster


def test_a_drained_node_ends_its_tasks_and_takes_no_more() -> None:
    env, cluster = loaded(nodes=2, jobs=5)
    cluster.drain(1)
    assert (cluster.nodes, len(cluster.up)) == (1, 2)
    env.run(10.5)
    assert (len(cluster.up), cluster.finished, cluster.busy_cpus) == (1, 4, 1)
    env.run(25.0)
    assert cluster.finished == 5
    cluster.close()
    assert cluster.node_s == pytest.approx(10.0 + 25.0)


def test_nodes_that_still_boot_do_not_stand_in_for_those_that_are_up() -> None:
    env, cluster = loaded(nodes=2, jobs=1)
    cluster.settings = replace(cluster.settings, boot_s=1000)
    cluster.launch(3)
    env.process(Scaling(Reactive(), idle_s=10).follow(cluster, []))
    env.run(200.0)
    assert (len(cluster.up), cluster.booting) == (1, 3)
    assert cluster.finished == 1


def test_only_nodes_that_ran_nothing_are_idle() -> None:
    _, cluster = loaded(nodes=3, jobs=3)
    cluster.give_back_idle(0.5, 3)
    assert sorted(cluster.up) == [1, 2]
    cluster.give_back_idle(0.5, 3)
    assert sorted(cluster.up) == [1, 2]


def test_reactive_follows_use_and_backlog() -> None:
    reactive = Reactive(use=0.5, clear_s=100)
    assert [reactive.wanted(Load(0, busy, waiting, 8)) for busy, waiting in ((0, 0), (4, 0), (8, 0), (0, 1600))] == [
        0,
        1,
        2,
        4,
    ]


def test_predictive_orders_ahead_of_the_rush() -> None:
    mix = Mix(catalogue=1)
    expected = forecast(mix, 10_000, TIMES, seed=1)
    assert np.mean(expected) == pytest.approx(10_000 / 3600 * mean_work(mix, TIMES), rel=0.05)
    policy = Predictive(expected, Reactive(), ahead_s=600)
    rush = RUSH_HOUR * HOUR_S
    early, before, during = (policy.wanted(Load(at, 0, 0, 8)) for at in (rush - 700, rush - 500, rush + 1))
    assert early < before == during


def test_more_nodes_never_make_bulk_wait_longer() -> None:
    rows = list(steady(WORLD, 20_000, lambda _: None))
    p99 = [row.p99[2].value for row in rows]
    assert p99 == sorted(p99, reverse=True)
    assert int(rows[0].label) * 8 > offered_cpus(WORLD, 20_000)
    assert rows[0].use > rows[-1].use


def test_scaling_costs_less_than_a_cluster_for_the_rush() -> None:
    world = replace(WORLD, settings=ClusterSettings(cpus=1))
    outcomes = {row.label: row for row in day(world, 1500, (12, 24), Reactive(), lambda _: None)}
    assert list(outcomes) == ["fixed", "reactive, idle timeout", "reactive", "predictive"]
    for label in ("reactive", "predictive"):
        assert outcomes[label].node_hours < outcomes["fixed"].node_hours
        assert outcomes[label].use > outcomes["fixed"].use


def test_quantile_has_an_interval_and_refuses_a_handful() -> None:
    values = np.random.default_rng(14).exponential(1.0, 100_000)
    found = quantile(values, 0.99)
    assert found.error < 0.2
    assert abs(found.value - np.log(100)) <= found.error
    assert np.isnan(quantile(values[:5], 0.5).value)


BAD: list[tuple[type, dict[str, object], str]] = [
    (Mix, {"shares": (0.5, 0.6, 0.3)}, "shares"),
    (Mix, {"shares": (-0.1, 0.8, 0.3)}, "shares"),
    (Mix, {"median_facets": 1.0}, "median_facets"),
    (Mix, {"least_facets": 0.0}, "least_facets"),
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
    (Scaling, {"policy": Reactive(), "least": 5, "most": 4}, "least"),
    (World, {"times": TIMES, "jobs": 10}, "jobs"),
    (World, {"times": TIMES, "targets_s": (1.0, 0.0, 1.0)}, "target"),
]


@pytest.mark.parametrize(("kind", "parameters", "name"), BAD)
def test_a_parameter_that_cannot_be_is_named(kind: type, parameters: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        kind(**parameters)


def test_a_cluster_that_could_never_finish_is_refused() -> None:
    with pytest.raises(ParameterError, match="nodes"):
        run_jobs([one(0.0, Priority.BULK, 1.0)], BARE, 0)
    with pytest.raises(ParameterError, match="jobs"):
        run_jobs([], BARE, 1)


def test_command_line_answers_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rate", "500", "--jobs", "1000", "--day-rate", "200", "--boots", "30", "--svg", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Fewest nodes" in printed
    assert "predictive, boot 30 s" in printed
    assert work_seconds(make_trace(Mix(), 100, 0, HOUR_S, 1), TIMES).shape[1] == len(STAGES)
    for name in ("nodes", "scaling", "boot"):
        drawn = ET.parse(tmp_path / f"planning-{name}.svg").getroot()
        assert drawn.findall(".//{http://www.w3.org/2000/svg}polyline")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--rate", "0"], "rate"), (["--rate", "inf"], "rate"), (["--hours", "9", "3"], "hours"),
        (["--day-rate", "-1"], "day-rate"), (["weather"], "question"), (["--svg", "/no/such/folder"], "svg"),
    ],
)  # fmt: skip
def test_command_line_names_what_is_wrong(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    questions = ["scaling"] if name in ("hours", "day-rate") else []
    assert main([*questions, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"simulator: {name} is ")
