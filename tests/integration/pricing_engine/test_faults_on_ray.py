"""Faults on a real Ray cluster: memory, object store, versions, and ten thousand equal jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from benchmarks.ring_models import write_ring
from cluster.local.ephemeral import Cluster, local_cluster, use_cluster
from pricing_engine.distributed.actor import options_for, start_dispatcher
from pricing_engine.distributed.client import JobClient, job_for
from pricing_engine.distributed.connect import connect
from pricing_engine.distributed.errors import ClusterMismatch
from pricing_engine.distributed.jobs import Job, JobPriority, JobStatus
from pricing_engine.distributed.ray_executor import RayExecutor
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask
from pricing_engine.distributed.worker import analyse

MIB = 1 << 20
GREED = 3 << 30
"""Bytes that the greedy model allocates, far above the memory threshold."""


@pytest.fixture
def connected(shared_ray: Cluster) -> Iterator[Cluster]:
    """Connect this process as a driver to the shared cluster."""
    connect(shared_ray.address)
    yield shared_ray
    ray.shutdown()


def analyse_or_exhaust_memory(task: AnalysisTask) -> AnalysisResult:
    """Run the worker's task; models called greedy allocate all memory instead."""
    if "greedy" in task.model:
        block = np.ones(GREED, np.uint8)
        return AnalysisResult(None, "not_killed", f"{block.sum()} bytes were allocated")
    return analyse(task)


def test_a_model_that_takes_all_memory_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_ray: Cluster
) -> None:
    rings = [write_ring(tmp_path / f"ring-{number}.stl", number) for number in range(6)]
    greedy = write_ring(tmp_path / "greedy.stl", 99)
    with local_cluster(tmp_path / "ray", cpus=0) as cluster:
        # As on a real cluster the dispatcher's node takes no tasks: where memory is short, Ray ends actors that it can
        # restart before tasks. Only the worker's node is short of it.
        memory = psutil.virtual_memory()
        allowed = (memory.total - memory.available + GREED / 2) / memory.total
        monkeypatch.setenv("RAY_memory_usage_threshold", f"{allowed:.3f}")
        monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
        cluster.add_node(2)
        use_cluster(cluster)
        connect(cluster.address)
        try:
            start_dispatcher(str(tmp_path / "analyses"), work=analyse_or_exhaust_memory)
            jobs = [job_for(path, uuid.uuid4().hex, "c") for path in (greedy, *rings)]
            exhausted, *others = JobClient().run_many(jobs)
        finally:
            ray.shutdown()
            use_cluster(shared_ray)
    assert (exhausted.status, exhausted.code) == (JobStatus.FAILED, "out_of_memory")
    assert exhausted.attempts == 4
    assert "simplify the model" in exhausted.message
    assert {other.status for other in others} == {JobStatus.DONE}


def sums_of(lo: int, hi: int, threads: int, block: np.ndarray) -> list[float]:
    return [float(block[row].sum()) for row in range(lo, hi)]


def test_an_object_store_that_is_full_spills(connected: Cluster) -> None:
    """Six blocks of 512 MiB through a store of 2 GiB, all held at once: none is lost."""
    ray.init(address=connected.address, ignore_reinit_error=True)

    @ray.remote(**options_for(JobPriority.STANDARD))
    def measured() -> list[list[float]]:
        with RayExecutor("blocks", 1, options_for(JobPriority.STANDARD)) as executor:
            blocks = [executor.share(np.full((8, 8 * MIB), number, np.float64)) for number in range(6)]
            joins = [executor.submit("sums", sums_of, 8, 1, block) for block in blocks]
            return [[part[0] for part in join()] for join in joins]

    assert ray.get(measured.remote()) == [[number * 8.0 * MIB] * 8 for number in range(6)]


def test_another_engine_is_named(shared_ray: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing_engine.distributed.connect.ENGINE_VERSION", "9.9.9")
    with pytest.raises(ClusterMismatch, match=r"runs engine .*, here is 9\.9\.9; install the same on both"):
        connect(shared_ray.address)
    assert not ray.is_initialized()


def test_another_ray_is_named(shared_ray: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.9.0")
    with pytest.raises(ClusterMismatch, match="install the same versions on both sides"):
        connect(shared_ray.address)
    assert not ray.is_initialized()


def test_ten_thousand_submissions_of_one_model_are_one_calculation(connected: Cluster, tmp_path: Path) -> None:
    ring, other = (write_ring(tmp_path / f"ring-{number}.stl", number) for number in (77, 78))
    dispatcher = start_dispatcher(str(tmp_path / "analyses"))
    try:
        client, first = JobClient(), job_for(ring, "job-0", "c")
        same = [first, *(Job(f"job-{n}", "c", first.model, first.sha256, first.bytes) for n in range(1, 10_000))]
        submitted = [client.submit(job) for job in same]
        other_outcome = client.submit(job_for(other, "beside", "other")).outcome(120)
        outcomes = ray.get([each.reference for each in submitted], timeout=200)
    finally:
        ray.kill(dispatcher)
    assert other_outcome.status is JobStatus.DONE
    assert {outcome.status for outcome in outcomes} == {JobStatus.DONE}
    assert len({outcome.analysis for outcome in outcomes}) == 1
    assert {outcome.attempts for outcome in outcomes if not outcome.cached} == {1}
