"""The simulator against queueing theory's closed forms."""

from __future__ import annotations

from dataclasses import replace
from math import factorial

import numpy as np
import pytest

from benchmarks.simulator.cluster import Job
from benchmarks.simulator.simulate import Run, mean, quantile, run_jobs
from pricing_engine.distributed.jobs import JobPriority
from tests.unit.benchmarks.simulator.known_times import COUNT, NO_OVERHEAD, Floats


def poisson_jobs(
    rate: float, service: Floats, seed: int, priorities: tuple[JobPriority, ...] = (JobPriority.BULK,)
) -> list[Job]:
    """Return one customer's one-task jobs with exponential gaps and uniformly random priorities."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, len(service))).tolist()
    of = rng.integers(0, len(priorities), len(service)).tolist()
    return [
        Job(at, priorities[p], "a", ((seconds,),))
        for at, p, seconds in zip(arrivals, of, service.tolist(), strict=True)
    ]


def waiting_times(run: Run, service: Floats) -> Floats:
    """Return the waiting times after the first tenth."""
    return (run.quote_s - service)[len(service) // 10 :]


def assert_mean(values: Floats, theory: float, within: float = 0.1) -> None:
    """Assert that the mean is ``theory`` within its interval, and that the interval is narrow."""
    found = mean(values)
    assert found.error < within * theory
    assert abs(found.value - theory) <= 1.5 * found.error


def erlang_c(servers: int, offered: float) -> float:
    """Probability of waiting in M/M/c (Erlang, 1917)."""
    busy = offered**servers / factorial(servers) / (1 - offered / servers)
    return busy / (sum(offered**k / factorial(k) for k in range(servers)) + busy)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_matches_m_m_1(load: float) -> None:
    service = np.random.default_rng(1).exponential(1.0, COUNT)
    run, _ = run_jobs(poisson_jobs(load, service, 2), NO_OVERHEAD, 1)
    assert_mean(waiting_times(run, service), load / (1 - load), 0.15)


@pytest.mark.parametrize(("nodes", "cpus", "load"), [(1, 8, 0.8), (4, 2, 0.8), (3, 8, 0.9)])
def test_many_servers_match_m_m_c(nodes: int, cpus: int, load: float) -> None:
    servers = nodes * cpus
    service = np.random.default_rng(3).exponential(1.0, COUNT)
    run, _ = run_jobs(poisson_jobs(load * servers, service, 4), replace(NO_OVERHEAD, cpus=cpus), nodes)
    assert_mean(waiting_times(run, service), erlang_c(servers, load * servers) / (servers * (1 - load)), 0.25)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0])
def test_general_service_times_match_pollaczek_khinchine(sigma: float) -> None:
    rng, rate = np.random.default_rng(5), 0.7
    service = np.exp(sigma * rng.standard_normal(2 * COUNT) - sigma**2 / 2)
    run, _ = run_jobs(poisson_jobs(rate, service, 6), NO_OVERHEAD, 1)
    assert_mean(waiting_times(run, service), rate * np.exp(sigma**2) / (2 * (1 - rate)), 0.15)


def test_priorities_match_cobham() -> None:
    """Services of milliseconds, so that no job waits long enough to age into another priority."""
    service = np.random.default_rng(7).exponential(0.001, COUNT)
    priorities, load = tuple(JobPriority), 0.8
    run, _ = run_jobs(poisson_jobs(load / 0.001, service, 8, priorities), NO_OVERHEAD, 1)
    residual = load * 0.001
    for number in range(3):
        mine = run.priority == number
        above, upto = 1 - load * number / 3, 1 - load * (number + 1) / 3
        assert_mean((run.quote_s - service)[mine], residual / (above * upto), 0.25)


def test_littles_law_holds() -> None:
    """Little's law, exactly: from empty to empty, the area under the jobs is the sum of their times."""
    service = np.random.default_rng(9).exponential(1.0, 5000)
    run, cluster = run_jobs(poisson_jobs(1.5, service, 10), replace(NO_OVERHEAD, cpus=2), 1)
    assert cluster.job_area_s == pytest.approx(run.quote_s.sum(), rel=1e-9)


def test_a_quantile_has_an_interval_unless_values_are_few() -> None:
    values = np.random.default_rng(14).exponential(1.0, 100_000)
    found = quantile(values, 0.99)
    assert found.error < 0.2
    assert abs(found.value - np.log(100)) <= found.error
    assert np.isnan(quantile(values[:5], 0.5).value)
