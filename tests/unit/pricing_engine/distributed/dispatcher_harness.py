"""A dispatcher without Ray: workers, store and counters are fakes that a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pricing_engine.distributed.dispatcher import Dispatcher
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority
from pricing_engine.distributed.ports import Attempt
from pricing_engine.distributed.slots import Slots
from pricing_engine.distributed.task_messages import AnalysisResult


class Run:
    def __init__(self, job: Job, attempt: Attempt) -> None:
        self.job, self.attempt = job, attempt
        self.cancelled: list[bool] = []
        self.ignores_cancel = False  # does not stop on cancellation
        self.end: asyncio.Future[AnalysisResult] = asyncio.get_running_loop().create_future()

    async def result(self) -> AnalysisResult:
        return await self.end

    def cancel(self, force: bool) -> None:
        self.cancelled.append(force)
        if not self.end.done() and not self.ignores_cancel:
            self.end.set_result(AnalysisResult(None, "cancelled", "the job was cancelled"))

    def succeed(self) -> None:
        self.end.set_result(AnalysisResult(f'{{"model": "{self.job.sha256}"}}'.encode()))


class Workers:
    def __init__(self, slots: int = 1) -> None:
        self.count, self.memory = slots, 1 << 40
        self.started: list[Run] = []
        self.prepared: list[tuple[JobPriority, int]] = []
        self.restored: list[tuple[JobPriority, Callable[[], int]]] = []

    def cpus(self) -> int:
        return self.count

    def max_memory(self) -> int:
        return self.memory

    def start(self, job: Job, attempt: Attempt) -> Run:
        self.started.append(Run(job, attempt))
        return self.started[-1]

    def prepare(self, priority: JobPriority, busy: int) -> None:
        self.prepared.append((priority, busy))

    def restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        self.restored.append((priority, busy))


class Store(dict[str, bytes]):
    def put(self, key: str, analysis: bytes) -> None:
        self[key] = analysis


class Counters:
    def __init__(self) -> None:
        self.outcomes: list[JobOutcome] = []
        self.reasons: list[str] = []

    def job_finished(self, outcome: JobOutcome, job: Job, seconds: float) -> None:
        self.outcomes.append(outcome)

    def retried(self, reason: str) -> None:
        self.reasons.append(reason)


class OneJobPerCpu(Slots):
    """Slots without prefetching."""

    def capacity(self) -> int:
        return self._cpus()


class Harness:
    """A dispatcher with its fakes and a clock."""

    def __init__(self, slots: int = 1) -> None:
        self.workers, self.store, self.counters = Workers(slots), Store(), Counters()
        self.now = 0.0
        self.dispatcher = Dispatcher(self.workers, self.store, self.counters, lambda: self.now)
        self.dispatcher.slots = OneJobPerCpu(self.workers.cpus, lambda: self.now)

    def submit(self, job: Job) -> asyncio.Task[JobOutcome]:
        return asyncio.ensure_future(self.dispatcher.run(job))


def job(name: str, model: str = "", **options: Any) -> Job:
    return Job(name, options.pop("customer", "c"), f"/m/{model or name}.stl", model or name, 1000, **options)


def running(harness: Harness) -> list[str]:
    return [run.job.job_id for run in harness.workers.started if not run.end.done()]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
