"""The simulated cluster: no job is lost, no task runs twice, nodes join and leave."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import simpy

from benchmarks.simulator.cluster import Cluster, ClusterSettings, Job
from benchmarks.simulator.plan import Plan
from benchmarks.simulator.policies import Reactive, Scaling
from benchmarks.simulator.simulate import Run, make_jobs, run_jobs
from benchmarks.simulator.workload import HOUR_S, Mix, make_trace
from pricing_engine.distributed.jobs import JobPriority
from tests.unit.benchmarks.simulator.known_times import NO_OVERHEAD, TIMES, Floats, single_task_job


@pytest.fixture(scope="module")
def busy_day() -> tuple[Run, Cluster, float, int]:
    """Return two hours of a day on a cluster with scaling, with its expected work and tasks."""
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
    assert cluster.tasks_finished == tasks
    assert (run.quote_s > settings.job_s).all()
    cold = (cluster.busy_s - work - tasks * settings.task_s) / settings.cold_s
    assert cold == pytest.approx(round(cold), abs=1e-3)
    assert cold > 0
    assert cluster.waiting_s == pytest.approx(0, abs=1e-5)
    assert cluster.in_flight == cluster.busy_cpus == 0
    assert cluster.job_area_s == pytest.approx(run.quote_s.sum(), rel=1e-6)
    assert run.busy_s <= run.node_hours * 3600 * settings.cpus


def test_nodes_are_requested_and_released(busy_day: tuple[Run, Cluster, float, int]) -> None:
    counts = [nodes for _, nodes, _ in busy_day[0].timeline]
    steps = [later - earlier for earlier, later in pairwise(counts)]
    assert min(counts) >= 1
    assert max(steps) > 0 > min(steps)


def test_runs_are_determined_by_the_seed() -> None:
    def quotes(seed: int) -> Floats:
        trace = make_trace(Mix(), 2000, 0, HOUR_S, seed)
        return run_jobs(make_jobs(trace, Plan(), TIMES), ClusterSettings(), 1)[0].quote_s

    assert np.array_equal(quotes(1), quotes(1))
    assert not np.array_equal(quotes(1)[:100], quotes(2)[:100])


def test_express_overtakes_a_catalogue() -> None:
    jobs = [single_task_job(0.0, JobPriority.BULK, 1.0) for _ in range(100)] + [
        single_task_job(10.5, JobPriority.EXPRESS, 1.0, "b")
    ]
    run, _ = run_jobs(jobs, NO_OVERHEAD, 1)
    assert run.quote_s[-1] == pytest.approx(0.5 + 1.0)


def test_bulk_never_starves() -> None:
    jobs = [single_task_job(t, JobPriority.EXPRESS, 1.25) for t in range(5000)]
    jobs.insert(1, single_task_job(0.0, JobPriority.BULK, 1.0, "partner"))
    run, _ = run_jobs(jobs, NO_OVERHEAD, 1)
    assert 600 <= run.quote_s[1] < 5000


def test_a_large_model_is_distributed_over_the_cpus() -> None:
    jobs = [Job(0.0, JobPriority.STANDARD, "a", ((1.0,), (0.25,) * 16))]
    run, _ = run_jobs(jobs, replace(NO_OVERHEAD, cpus=8), 1)
    assert run.quote_s[0] == pytest.approx(1.0 + 2 * 0.25)


def test_the_head_takes_one_job_at_a_time() -> None:
    jobs = [single_task_job(0.0, JobPriority.EXPRESS, 1.0, name) for name in "ab"]
    run, _ = run_jobs(jobs, replace(NO_OVERHEAD, cpus=8, job_s=0.5), 1)
    assert run.quote_s == pytest.approx([1.5, 2.0])


def test_a_new_node_boots_and_its_workers_start_cold() -> None:
    settings = replace(NO_OVERHEAD, boot_s=90, cold_s=2.5)
    jobs = [single_task_job(0.0, JobPriority.EXPRESS, 1.0), single_task_job(200.0, JobPriority.EXPRESS, 1.0)]
    run, _ = run_jobs(jobs, settings, 0, scaling=Scaling(Reactive(), idle_s=1000))
    ordered = next(at for at, nodes, _ in run.timeline if nodes)
    assert run.quote_s == pytest.approx([ordered + 90 + 2.5 + 1, 1.0])
    assert run.node_hours == pytest.approx((run.end_s - ordered) / 3600)


def loaded_cluster(nodes: int, jobs: int) -> tuple[simpy.Environment, Cluster]:
    """Return a cluster of two-CPU nodes that runs ``jobs`` of 10 s."""
    env = simpy.Environment()
    cluster = Cluster(env, replace(NO_OVERHEAD, cpus=2), nodes)
    for number in range(jobs):
        cluster.submit(single_task_job(0.0, JobPriority.STANDARD, 10.0, str(number)))
    env.run(1.0)
    return env, cluster


def test_a_drained_node_finishes_its_tasks_and_takes_no_more() -> None:
    env, cluster = loaded_cluster(nodes=2, jobs=5)
    cluster.drain(1)
    assert (cluster.nodes, len(cluster.up)) == (1, 2)
    env.run(10.5)
    assert (len(cluster.up), cluster.finished, cluster.busy_cpus) == (1, 4, 1)
    env.run(25.0)
    assert cluster.finished == 5
    cluster.close()
    assert cluster.node_s == pytest.approx(10.0 + 25.0)


def test_booting_nodes_do_not_replace_running_ones() -> None:
    env, cluster = loaded_cluster(nodes=2, jobs=1)
    cluster.settings = replace(cluster.settings, boot_s=1000)
    cluster.launch(3)
    env.process(Scaling(Reactive(), idle_s=10).follow(cluster, []))
    env.run(200.0)
    assert (len(cluster.up), cluster.booting) == (1, 3)
    assert cluster.finished == 1


def test_only_idle_nodes_are_released() -> None:
    _, cluster = loaded_cluster(nodes=3, jobs=3)
    cluster.release_idle(0.5, 3)
    assert sorted(cluster.up) == [1, 2]
    cluster.release_idle(0.5, 3)
    assert sorted(cluster.up) == [1, 2]
