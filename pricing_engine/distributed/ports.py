"""Interfaces that the dispatcher depends on: workers, a store of analyses, counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority
from pricing_engine.distributed.limits import JobLimits
from pricing_engine.distributed.task_messages import AnalysisResult


class RunningAttempt(Protocol):
    """An attempt running on a worker."""

    async def result(self) -> AnalysisResult:
        """Wait for the result; raises WorkerLost if the worker or its node ended."""

    def cancel(self, force: bool) -> None:
        """Stop the attempt; ``force`` kills its process."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Parameters of an attempt.

    ``run``: its unique name; ``memory``: bytes to reserve; ``oversubscribed``: it reserves almost no CPU;
    ``low_priority``: it has a higher niceness from the start, not only after it has run long.
    """

    run: str
    priority: JobPriority
    memory: int
    limits: JobLimits
    oversubscribed: bool
    low_priority: bool


class Workers(Protocol):
    """Workers that run calculations."""

    def cpus(self) -> int:
        """Return the CPUs of the cluster."""

    def max_memory(self) -> int:
        """Return the memory of the largest node, in bytes."""

    def start(self, job: Job, attempt: Attempt) -> RunningAttempt:
        """Start to analyse the job's model."""

    def prepare(self, priority: JobPriority, busy: int) -> None:
        """Warm up another worker for jobs of ``priority``, of which ``busy`` are occupied for longer."""

    def restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        """Replace a worker for jobs of ``priority`` that may have ended; ``busy()`` of them are occupied."""


class Store(Protocol):
    """Store of analyses, by key."""

    def get(self, key: str) -> bytes | None:
        """Return the JSON of the analysis, or None."""

    def put(self, key: str, analysis: bytes) -> None:
        """Store the JSON of an analysis."""


class Counters(Protocol):
    """Metrics for operations."""

    def job_finished(self, outcome: JobOutcome, job: Job, seconds: float) -> None:
        """Record a finished job."""

    def retried(self, reason: str) -> None:
        """Count a calculation that is retried after losing its worker."""
