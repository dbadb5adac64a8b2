"""Jobs through the dispatcher on a real Ray cluster: same bytes, faults, cancelling, progress, bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from benchmarks.ring_models import write_ring
from cluster.local.ephemeral import Cluster
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.schema import Analysis
from pricing_engine.distributed.actor import start_dispatcher
from pricing_engine.distributed.client import JobClient, analysis_of, job_for, measure_on_cluster
from pricing_engine.distributed.connect import connect
from pricing_engine.distributed.errors import ClusterUnreachable, JobFailed
from pricing_engine.distributed.jobs import Job, JobStatus
from pricing_engine.mesh.errors import ModelError
from pricing_engine.mesh.samples import SAMPLES
from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.interval import price_interval
from pricing_engine.pricing.quote import Request, quote

SETTINGS = Settings()


@pytest.fixture(scope="module")
def client(shared_ray: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobClient]:
    connect(shared_ray.address)
    dispatcher = start_dispatcher(str(tmp_path_factory.mktemp("analyses")))
    yield JobClient()
    ray.kill(dispatcher)
    ray.shutdown()


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rings")
    return [write_ring(folder / f"ring-{number}.stl", number) for number in range(24)]


def new_job_id() -> str:
    return uuid.uuid4().hex


def without_durations(analysis: Analysis) -> dict[str, Any]:
    """Return all of an analysis but its durations."""
    document = analysis.to_dict()
    del document["elapsed_s"]
    return document


def test_the_command_starts_no_second_dispatcher(client: JobClient, shared_ray: Cluster, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pricing_engine", "dispatcher", "--analyses", str(tmp_path)]
    done = subprocess.run([*command, "--address", shared_ray.address], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hello = ray.get(client.hello())
    assert f"engine {hello['engine']} runs, pid {hello['pid']}" in done.stderr


def test_a_sample_has_the_same_bytes_as_locally(client: JobClient, tmp_path: Path) -> None:
    for make in SAMPLES.values():
        path = make().write_stl(tmp_path)
        outcome = client.submit(job_for(path, new_job_id(), "c")).outcome(120)
        assert without_durations(analysis_of(outcome)) == without_durations(measure(path, None, SETTINGS, 2).analysis)


def test_a_large_model_is_distributed_with_the_same_bytes(client: JobClient, tmp_path: Path) -> None:
    path = write_ring(tmp_path / "large.stl", 7, segments=480)
    local = measure(path, None, SETTINGS, 2).analysis
    assert local.model.facets > 200_000
    assert without_durations(measure_on_cluster(path, None, SETTINGS)) == without_durations(local)


def test_equal_jobs_are_one_calculation_and_later_ones_are_cached(client: JobClient, rings: list[Path]) -> None:
    outcomes = client.run_many([job_for(rings[0], new_job_id(), "c") for _ in range(200)])
    assert {outcome.status for outcome in outcomes} == {JobStatus.DONE}
    assert len({outcome.analysis for outcome in outcomes}) == 1
    again = client.submit(job_for(rings[0], new_job_id(), "c")).outcome(60)
    assert (again.cached, again.analysis) == (True, outcomes[0].analysis)


def test_progress_narrows_to_the_price(client: JobClient, tmp_path: Path) -> None:
    path = write_ring(tmp_path / "watched.stl", 3, segments=420)
    submitted = client.submit(job_for(path, new_job_id(), "c"))
    book, request, interval = load_price_book(None), Request(materials=("silver-925",)), None
    widths, progress = [], []
    for update in submitted.updates():
        progress.append(update.progress)
        if update.partial is not None:
            interval = price_interval(update.partial, book, request, interval)
            assert interval is not None
            widths.append(interval.high - interval.low)
    total = quote(analysis_of(submitted.outcome(60)), book, request).options[0].total
    assert progress == sorted(progress)
    assert len(widths) >= 3
    assert widths == sorted(widths, reverse=True)
    assert interval is not None
    assert interval.low <= total <= interval.high


def test_cancelling_a_running_job_frees_the_worker(client: JobClient, tmp_path: Path, rings: list[Path]) -> None:
    large = write_ring(tmp_path / "slow.stl", 5, segments=440)
    submitted = client.submit(job_for(large, new_job_id(), "c"))
    next(update for update in submitted.updates() if update.status is JobStatus.RUNNING)
    assert submitted.cancel()
    assert submitted.outcome(10).status is JobStatus.CANCELLED
    assert client.submit(job_for(rings[1], new_job_id(), "c")).outcome(60).status is JobStatus.DONE


def test_a_killed_worker_costs_an_attempt_and_not_the_job(client: JobClient, tmp_path: Path) -> None:
    path = write_ring(tmp_path / "hit.stl", 9, segments=300)
    submitted = client.submit(job_for(path, new_job_id(), "c"))
    next(update for update in submitted.updates() if update.partial is not None)
    victims = [pid for pid in ray_workers() if "analyse" in process_title(pid)]
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    outcome = submitted.outcome(120)
    assert (outcome.status, outcome.attempts) == (JobStatus.DONE, 2)
    assert without_durations(analysis_of(outcome)) == without_durations(measure(path, None, SETTINGS, 2).analysis)


def test_the_dispatcher_survives_its_own_death(client: JobClient, rings: list[Path]) -> None:
    submitted = [client.submit(job_for(path, new_job_id(), "c")) for path in rings[2:8]]
    before = ray.get(client.hello())
    os.kill(before["pid"], signal.SIGKILL)
    assert {each.outcome(120).status for each in submitted} == {JobStatus.DONE}
    assert ray.get(client.hello())["pid"] != before["pid"]


def test_a_bad_model_is_reported_and_others_continue(client: JobClient, tmp_path: Path, rings: list[Path]) -> None:
    bad = tmp_path / "bad.stl"
    bad.write_bytes(b"\0" * 84)
    gone = job_for(rings[9], new_job_id(), "c")
    vanished = Job(new_job_id(), "c", str(tmp_path / "gone.stl"), gone.sha256, gone.bytes)
    swapped = Job(new_job_id(), "c", str(rings[10]), "0" * 64, gone.bytes)
    outcomes = client.run_many([job_for(bad, new_job_id(), "c"), vanished, swapped, gone])
    assert [outcome.code for outcome in outcomes] == ["empty_model", "model_vanished", "model_changed", ""]
    with pytest.raises(JobFailed, match="upload it again"):
        analysis_of(outcomes[1])


def test_a_deadline_is_enforced(client: JobClient, tmp_path: Path) -> None:
    path = write_ring(tmp_path / "late.stl", 11, segments=300)
    outcome = client.submit(job_for(path, new_job_id(), "c", deadline_s=0.05)).outcome(30)
    assert outcome.code == "deadline_exceeded"


def test_an_unreadable_file_is_reported_without_a_dispatcher(client: JobClient, tmp_path: Path) -> None:
    (tmp_path / "noise.stl").write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(ModelError):
        measure_on_cluster(tmp_path / "noise.stl", None, SETTINGS)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "nonsense", "ray://127.0.0.1:1"])
def test_an_unreachable_cluster_is_named(address: str) -> None:
    with pytest.raises(ClusterUnreachable, match=address.replace(".", r"\.")):
        connect(address)


def ray_workers() -> list[int]:
    """Return the pids of this machine's Ray workers."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_worker(int(entry.name))]


def is_worker(pid: int) -> bool:
    return process_title(pid).startswith("ray::")


def process_title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
