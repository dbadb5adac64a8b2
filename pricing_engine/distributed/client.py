"""Client of the dispatcher: submit, follow and cancel jobs; and measure a model on a cluster without a dispatcher."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from pricing_engine.analysis.measure import Settings
from pricing_engine.analysis.schema import Analysis
from pricing_engine.distributed.actor import options_for, task_of
from pricing_engine.distributed.address import DISPATCHER, NAMESPACE
from pricing_engine.distributed.errors import ClusterUnreachable, JobFailed
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority, JobStatus, JobUpdate
from pricing_engine.distributed.ray_executor import LOST
from pricing_engine.distributed.resource_estimate import memory_needed
from pricing_engine.distributed.task_messages import AnalysisTask
from pricing_engine.distributed.worker import analyse
from pricing_engine.mesh.errors import ModelError, UnreadableFile


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A submitted job. Ray repeats its call after a restart of the dispatcher."""

    job: Job
    dispatcher: Any
    reference: ray.ObjectRef[JobOutcome]

    def outcome(self, timeout_s: float | None = None) -> JobOutcome:
        """Wait for the outcome; raises TimeoutError or QueueFull."""
        outcome: JobOutcome = ray.get(self.reference, timeout=timeout_s)
        return outcome

    def updates(self) -> Iterator[JobUpdate]:
        """Yield progress updates until the job is finished."""
        sequence = 0
        while updates := ray.get(self.dispatcher.watch.remote(self.job.job_id, sequence)):
            yield from updates
            sequence = updates[-1].sequence

    def cancel(self) -> bool:
        """Cancel the job; return False if it is finished."""
        cancelled: bool = ray.get(self.dispatcher.cancel.remote(self.job.job_id))
        return cancelled


class JobClient:
    """Client of the dispatcher of the cluster that this process is connected to."""

    def __init__(self) -> None:
        try:
            self._dispatcher = ray.get_actor(DISPATCHER, NAMESPACE)
        except ValueError as error:
            raise ClusterUnreachable("the cluster has no dispatcher; `facet dispatcher` starts one") from error

    def submit(self, job: Job) -> SubmittedJob:
        """Submit a job; a repeated submission is harmless."""
        # Without a task name: Ray's metrics have a series per name, and with ten thousand jobs waiting the processes
        # that count them paused for half a second every ten.
        return SubmittedJob(job, self._dispatcher, self._dispatcher.run.remote(job))

    def hello(self) -> ray.ObjectRef[dict[str, Any]]:
        """Return the dispatcher's engine version, process id, and numbers of waiting and running calculations."""
        reference: ray.ObjectRef[dict[str, Any]] = self._dispatcher.hello.remote()
        return reference

    def run_many(self, jobs: Sequence[Job]) -> list[JobOutcome]:
        """Submit jobs as one batch and wait for all of them."""
        outcomes: list[JobOutcome] = ray.get(self._dispatcher.run_many.remote(list(jobs)))
        return outcomes


def analysis_of(outcome: JobOutcome) -> Analysis:
    """Return the analysis of a finished job; raises JobFailed if it has none."""
    if outcome.status is not JobStatus.DONE or outcome.analysis is None:
        raise JobFailed(outcome.code, outcome.message)
    return Analysis.from_dict(json.loads(outcome.analysis))


def job_for(path: Path, job_id: str, customer: str, **options: Any) -> Job:
    """Return a job for a file that all workers can read; raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}; check the path and its permissions") from error
    return Job(job_id, customer, str(path.resolve()), digest, size, **options)


def measure_on_cluster(path: Path, unit: str | None, settings: Settings) -> Analysis:
    """Measure a file of this machine on the cluster's workers; raises ModelError, JobFailed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}; check the path and its permissions") from error
    task = AnalysisTask(path.name, unit, settings, options_for(JobPriority.STANDARD))
    memory = memory_needed(path.name, len(content))
    remote_task = task_of(analyse, JobPriority.STANDARD).options(name=f"analyse {path.name}", memory=memory)
    try:
        result = ray.get(remote_task.remote(task, content))
    except LOST as error:
        raise JobFailed("worker_lost", f"{path}: its worker was lost ({type(error).__name__}); try again") from error
    if result.analysis is None:
        raise ModelError(result.message.removeprefix(f"{path.name}: "))
    return Analysis.from_dict(json.loads(result.analysis))
