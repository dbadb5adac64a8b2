"""A dispatcher without Ray: workers, store and counters are fakes that a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pricing_engine.distributed.dispatcher import Dispatcher
from pricing_engine.distributed.jobs import Job, JobPriority
from pricing_engine.distributed.ports import Attempt
from pricing_engine.distributed.task_messages import AnalysisResult


class Run:
    def __init__(self, job: Job, attempt: Attempt) -> None:
        self.job, self.attempt, self.cancelled = job, attempt, []
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
        self.count, self.started, self.prepared, self.restored = slots, [], [], []

    def cpus(self) -> int:
        return self.count

    def max_memory(self) -> int:
        return 1 << 40

    def start(self, job: Job, attempt: Attempt) -> Run:
        self.started.append(Run(job, attempt))
        return self.started[-1]

    def prepare(self, priority: JobPriority, busy: int) -> None:
        self.prepared.append((priority, busy))

    def restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        self.restored.append((priority, busy))


class Store(dict):
    def put(self, key: str, analysis: bytes) -> None:
        self[key] = analysis


class Counters:
    def __init__(self) -> None:
        self.outcomes, self.reasons = [], []

    def job_finished(self, outcome: Any, job: Any, seconds: Any) -> None:
        self.outcomes.append(outcome)

    def retried(self, reason: str) -> None:
        self.reasons.append(reason)


class Harness:
    """A dispatcher with its fakes and a clock."""

    def __init__(self, slots: int = 1) -> None:
        self.workers, self.store, self.counters = Workers(slots), Store(), Counters()
        self.now = 0.0
        self.dispatcher = Dispatcher(self.workers, self.store, self.counters, lambda: self.now)
        self.dispatcher.slots.capacity = self.workers.cpus  # no prefetching: as many run as there are slots

    def submit(self, job: Job) -> asyncio.Task:
        return asyncio.ensure_future(self.dispatcher.run(job))


def job(name: str, model: str = "", **options: Any) -> Job:
    return Job(name, options.pop("customer", "c"), f"/m/{model or name}.stl", model or name, 1000, **options)


def scenario(slots: int = 1) -> Callable[[Callable[[Harness], Awaitable[None]]], Callable[[], None]]:
    def wrap(body: Any) -> Any:
        def test() -> None:
            async def run_body() -> None:
                await asyncio.wait_for(body(Harness(slots)), 20)

            asyncio.run(run_body())

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return wrap


def running(harness: Harness) -> list[str]:
    return [run.job.job_id for run in harness.workers.started if not run.end.done()]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
