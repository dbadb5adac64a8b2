"""What the dispatcher needs of its surroundings: workers, a store of analyses, counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority
from pricing_engine.distributed.limits import Limits
from pricing_engine.distributed.task_messages import AnalysisResult


class RunningAttempt(Protocol):
    """A model being analysed on a worker."""

    async def result(self) -> AnalysisResult:
        """Wait for the end; raises Lost when the worker or its node is gone."""

    def cancel(self, force: bool) -> None:
        """Stop it; ``force`` ends its process."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a calculation shall run. ``run``: a name of its own; ``memory``: bytes to reserve; ``oversubscribed``: it takes no
    CPU from those that run already; ``low_priority``: from the start, and not only once it has run long.
    """

    run: str
    priority: JobPriority
    memory: int
    limits: Limits
    oversubscribed: bool
    low_priority: bool


class Workers(Protocol):
    """Where calculations run."""

    def cpus(self) -> int:
        """CPUs of the cluster."""

    def max_memory(self) -> int:
        """Bytes of the largest node."""

    def start(self, job: Job, attempt: Attempt) -> RunningAttempt:
        """Begin to analyse the job's model."""

    def prepare(self, priority: JobPriority, busy: int) -> None:
        """``busy`` workers for jobs of ``priority`` are taken for a while: have another warm for the next job."""

    def restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        """A worker for jobs of ``priority`` may have ended: have as many as before, of which ``busy()`` are at work."""


class Store(Protocol):
    """Where analyses are kept, by key."""

    def get(self, key: str) -> bytes | None:
        """The JSON of the analysis, if it is there."""

    def put(self, key: str, analysis: bytes) -> None:
        """Keep it."""


class Counters(Protocol):
    """What is counted for operations."""

    def job_finished(self, outcome: JobOutcome, job: Job, seconds: float) -> None:
        """A job has ended."""

    def retried(self, reason: str) -> None:
        """A calculation lost its worker and begins again."""
