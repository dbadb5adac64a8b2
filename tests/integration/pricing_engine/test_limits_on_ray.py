"""Jobs that would take too much time, memory or slots of a real Ray cluster do not affect others."""

from __future__ import annotations

import hashlib
import os
import signal
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from benchmarks.ring_models import write_ring
from cluster.local.ephemeral import Cluster
from pricing_engine.distributed.actor import start_dispatcher
from pricing_engine.distributed.client import JobClient, SubmittedJob, job_for
from pricing_engine.distributed.connect import connect
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority, JobStatus
from pricing_engine.distributed.niceness import LONG_NICENESS
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask
from pricing_engine.distributed.worker import analyse
from tests.support.waiting import eventually, wait_until

NO_LIMIT_S = 600.0
"""CPU seconds: longer than the tests."""
BUSY_TIMEOUT_S = 240.0
"""A worker of Ray may take minutes to start on a busy machine."""


def work(task: AnalysisTask) -> AnalysisResult:
    """Run the worker's task; some file names exhaust a resource instead."""
    kind = Path(task.model).name.partition("-")[0]
    if kind == "stuck":  # computes without the GIL and ignores interrupts, like one long kernel
        hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
    if kind == "hog":
        blocks = []
        while True:
            blocks.append(np.ones(8 << 20, np.uint8))
    return analyse(task)


@pytest.fixture(scope="module")
def client(shared_ray: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobClient]:
    connect(shared_ray.address)
    dispatcher = start_dispatcher(str(tmp_path_factory.mktemp("analyses")), work=work)
    yield JobClient()
    ray.kill(dispatcher)
    ray.shutdown()


def job(
    folder: Path, kind: str, owner: str = "c", priority: JobPriority = JobPriority.STANDARD,
    cpu_limit_s: float | None = None,
) -> Job:  # fmt: skip
    """Return a job for a new model, whose name contains ``kind``."""
    name = uuid.uuid4().hex
    path = write_ring(folder / f"{kind}-{name}.stl", int(name[:8], 16))
    return job_for(path, name, owner, priority=priority, cpu_limit_s=cpu_limit_s)


def processes(submitted: SubmittedJob) -> list[psutil.Process]:
    """Return the processes that run the job."""
    name = submitted.job.file_name
    return [each for each in psutil.process_iter(["cmdline"]) if name in " ".join(each.info["cmdline"] or ())]


def has_ended(submitted: SubmittedJob) -> bool:
    """Return whether no process runs the job."""
    return not processes(submitted)


def submit(client: JobClient, job: Job) -> tuple[SubmittedJob, psutil.Process]:
    """Submit the job and return it with the process that runs it."""
    submitted = client.submit(job)
    return submitted, eventually(lambda: processes(submitted) or None, "the job has a process", 0.01, BUSY_TIMEOUT_S)[0]


def until_gone(process: psutil.Process) -> None:
    process.wait(60)


def thread_nicenesses(process: psutil.Process) -> set[int]:
    """Return the nicenesses of its threads."""
    return {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()}


def test_a_job_stuck_in_a_kernel_ends_at_its_deadline_with_its_process(client: JobClient, tmp_path: Path) -> None:
    stuck, process = submit(client, job(tmp_path, "stuck", cpu_limit_s=1.0))
    outcome = stuck.outcome(120)
    assert (outcome.status, outcome.code, outcome.attempts) == (JobStatus.FAILED, "deadline", 1)
    assert outcome.message == "the model was not measured within 1 s of computing; repair or simplify it"
    until_gone(process)
    assert client.submit(job(tmp_path, "ring")).outcome(120).status is JobStatus.DONE


def test_a_job_that_takes_memory_ends_and_neither_the_node_nor_the_dispatcher_does(
    client: JobClient, tmp_path: Path
) -> None:
    before = ray.get(client.hello())["pid"]
    hog = client.submit(job(tmp_path, "hog", cpu_limit_s=NO_LIMIT_S))  # a node's whole memory takes CPU seconds to fill
    others = [client.submit(job(tmp_path, "ring")) for _ in range(4)]
    outcome = hog.outcome(200)
    assert (outcome.status, outcome.code) == (JobStatus.FAILED, "out_of_memory")
    assert 1 < outcome.attempts <= 4
    assert {other.outcome(120).status for other in others} == {JobStatus.DONE}
    assert ray.get(client.hello())["pid"] == before
    assert all(node["Alive"] for node in ray.nodes())


def test_express_passes_stuck_express_jobs_of_another_owner(client: JobClient, tmp_path: Path) -> None:
    greedy = [
        submit(client, job(tmp_path, "stuck", "greedy", priority=JobPriority.EXPRESS, cpu_limit_s=NO_LIMIT_S))
        for _ in range(4)
    ]
    # Each lowers its priority.
    wait_until(
        lambda: all(max(thread_nicenesses(process)) >= LONG_NICENESS for _, process in greedy), 0.01, BUSY_TIMEOUT_S
    )
    assert {os.getsid(process.pid) for _, process in greedy} == {process.pid for _, process in greedy}
    quick = [client.submit(job(tmp_path, "ring", f"c{i}", priority=JobPriority.EXPRESS)) for i in range(3)]
    assert {each.outcome(120).status for each in quick} == {JobStatus.DONE}
    references = [submitted.reference for submitted, _ in greedy]
    assert ray.wait(references, timeout=0)[0] == [], "no running job was ended for them"
    for submitted, _ in greedy:
        assert submitted.cancel()
        wait_until(partial(has_ended, submitted), 0.01, BUSY_TIMEOUT_S)


def test_cancelling_beside_ten_thousand_jobs_ends_the_process(client: JobClient, tmp_path: Path) -> None:
    stuck, process = submit(client, job(tmp_path, "stuck", priority=JobPriority.BULK, cpu_limit_s=NO_LIMIT_S))
    example = job(tmp_path, "ring", "flood", priority=JobPriority.BULK)
    flood = [
        Job(f"w{i}", "flood", example.model, f"{i:064x}", example.bytes, priority=JobPriority.BULK)
        for i in range(10_000)
    ]
    outcomes: ray.ObjectRef[list[JobOutcome]] = client._dispatcher.run_many.remote(flood)
    try:
        wait_until(lambda: waiting(client) >= 9_000, 0.05, BUSY_TIMEOUT_S)
        handled = len(flood) - waiting(client)
        assert stuck.cancel()
        assert stuck.outcome(60).status is JobStatus.CANCELLED
        until_gone(process)
        assert handled < 1_000, "it does not wait for them"
    finally:
        ray.get([client._dispatcher.cancel.remote(each.job_id) for each in flood])
        ray.get(outcomes)


def waiting(client: JobClient) -> int:
    """Return the number of calculations that wait."""
    return sum(ray.get(client.hello())["waiting"].values())


def test_work_of_a_dispatcher_that_is_killed_ends_with_it_and_its_jobs_begin_again(
    client: JobClient, tmp_path: Path
) -> None:
    stuck, orphan = submit(client, job(tmp_path, "stuck", cpu_limit_s=3.0))
    os.kill(ray.get(client.hello())["pid"], signal.SIGKILL)
    until_gone(orphan)
    outcome = stuck.outcome(200)
    assert (outcome.status, outcome.code) == (JobStatus.FAILED, "deadline"), "its deadline holds under the next one"
