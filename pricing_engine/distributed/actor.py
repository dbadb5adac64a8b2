"""The dispatcher as a named Ray actor: one per cluster, restarted by Ray, which also repeats its calls."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import NodeDiedError, OutOfMemoryError, TaskCancelledError, WorkerCrashedError
from ray.runtime_env import RuntimeEnv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.cache import MAX_BYTES, AnalysisCache
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed.address import DISPATCHER, NAMESPACE
from pricing_engine.distributed.dispatcher import Dispatcher
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority, JobUpdate
from pricing_engine.distributed.metrics import DispatcherMetrics
from pricing_engine.distributed.niceness import LONG_NICENESS, ORDINARY_NICENESS
from pricing_engine.distributed.ports import Attempt
from pricing_engine.distributed.ray_executor import LOST
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask, WorkerLost
from pricing_engine.distributed.worker import analyse, no_op, occupy_worker, with_limits
from pricing_engine.distributed.worker_process import COLD, NICE

# A node of C CPUs, up to 48, takes C ordinary tasks and 10 C others: express ones, long-running ones, and ordinary ones
# of owners with nothing else in flight. The dispatcher admits fewer, so an express task always starts.
_CPU, _OVERSUBSCRIBED_CPU = 0.98, 0.002
# Not 19: on a core of such a process a sleeping thread wakes with 69 times the scheduling delay, 0.1 s and more.
_NICENESS = {JobPriority.EXPRESS: 0, JobPriority.STANDARD: ORDINARY_NICENESS, JobPriority.BULK: ORDINARY_NICENESS}
_POLL_INTERVAL_S = 1.0
_EXPRESS_PER_CPU = 2  # warm workers, and one more
_OCCUPY_S = 0.2  # for Ray to assign the other tasks to other workers
_WORKER_START_S = 10.0  # from the start of a worker until it is warm, on busy cores
_MAX_RESTORED = 8  # workers of a kind that are restored at once, on a cluster of any size
_NEVER = 1 << 30  # collections of the younger generations before a full one
_MAX_CALLS = 200_000  # concurrent calls of the actor, one per job and one per watcher


@cache
def options_for(priority: JobPriority, oversubscribed: bool = False) -> dict[str, Any]:
    """Return Ray's options for a task of ``priority``; ``oversubscribed``: start even if all CPUs are taken.

    A CPU has capacity for one ordinary task and several oversubscribed ones; the operating system prefers express.
    """
    environment = RuntimeEnv(env_vars={NICE: str(_NICENESS[priority]), COLD: ""})
    cpus = _OVERSUBSCRIBED_CPU if oversubscribed or priority is JobPriority.EXPRESS else _CPU
    return {"num_cpus": cpus, "runtime_env": environment}


@cache
def task_of(work: Callable[..., Any], priority: JobPriority, oversubscribed: bool = False) -> Any:
    """Return ``work`` as a task of ``priority``, cached: building its options is too expensive for each job."""
    return ray.remote(max_retries=0, **options_for(priority, oversubscribed))(work)


class _Task:
    """An analysis that Ray runs."""

    def __init__(self, reference: ray.ObjectRef[AnalysisResult]) -> None:
        self._reference = reference

    async def result(self) -> AnalysisResult:
        """Wait for the result; raises WorkerLost."""
        try:
            return await self._reference
        except TaskCancelledError:
            return AnalysisResult(None, "cancelled", "the job was cancelled")
        except LOST as error:
            raise _worker_lost(error) from error

    def cancel(self, force: bool) -> None:
        """Interrupt the task between two kernels; ``force`` kills its process."""
        ray.cancel(self._reference, force=force, recursive=True)


def _worker_lost(error: Exception) -> WorkerLost:
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, OutOfMemoryError):
        return WorkerLost("out_of_memory", "the model needed more memory than its worker had")
    if isinstance(cause, WorkerCrashedError):
        return WorkerLost("worker_lost", "the worker that analysed the model ended")
    if isinstance(cause, NodeDiedError):
        return WorkerLost("node_lost", "the node that analysed the model ended")
    return WorkerLost("worker_lost", "the data of the analysis was lost with its worker")


class _RayWorkers:
    """The cluster's workers, as the dispatcher's port."""

    def __init__(self, work: Callable[[AnalysisTask], AnalysisResult]) -> None:
        self._work = with_limits(work)
        self._cpus, self._memory = 1, 1 << 62
        self._restoring: dict[JobPriority, asyncio.Task[None]] = {}
        self._restore_requested: set[JobPriority] = set()
        self._last_prepared_at = float("-inf")

    def refresh(self) -> None:
        """Query the size of the cluster."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._cpus = max(1, int(sum(node.get("CPU", 0.0) for node in nodes)))
        self._memory = int(max((node.get("memory", 0.0) for node in nodes if node.get("CPU")), default=1 << 62))

    def cpus(self) -> int:
        return self._cpus

    def max_memory(self) -> int:
        return self._memory

    def start(self, job: Job, attempt: Attempt) -> _Task:
        remote_task = task_of(self._work, attempt.priority, attempt.oversubscribed)
        task = AnalysisTask(
            job.model,
            job.unit,
            job.settings,
            options_for(attempt.priority),
            job.sha256,
            job.calculation,
            attempt.limits,
            attempt.run,
            LONG_NICENESS if attempt.low_priority else 0,
        )
        return _Task(remote_task.options(name=f"analyse {job.file_name}", memory=attempt.memory).remote(task))

    def prepare(self, priority: JobPriority, busy: int) -> None:
        """Start a worker, at most once in ``_WORKER_START_S``: Ray starts one per task, even if others are starting."""
        now = time.monotonic()
        if busy >= warm_count(priority, self._cpus) and now - self._last_prepared_at >= _WORKER_START_S:
            self._last_prepared_at = now
            task_of(no_op, priority, oversubscribed=True).remote()

    def restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        """Submit enough concurrent tasks that each needs its own worker: Ray has no call to start or count workers."""
        self._restore_requested.add(priority)
        if priority not in self._restoring:
            self._restoring[priority] = asyncio.ensure_future(self._restore(priority, busy))

    async def _restore(self, priority: JobPriority, busy: Callable[[], int]) -> None:
        while priority in self._restore_requested:
            self._restore_requested.discard(priority)
            count = min(warm_count(priority, self._cpus) - busy(), _MAX_RESTORED)
            task = task_of(occupy_worker, priority, oversubscribed=True)
            occupations = [task.remote(_OCCUPY_S) for _ in range(count)]
            await asyncio.gather(*occupations, return_exceptions=True)  # a node that ends has nothing to restore
        del self._restoring[priority]  # not in a callback: a request in between would be lost


@ray.remote
class DispatcherActor:
    """The methods of :class:`Dispatcher` as remote calls."""

    def __init__(
        self, cache_folder: str, cache_bytes: int, max_cpus: int, work: Callable[[AnalysisTask], AnalysisResult]
    ) -> None:
        # A full collection visits every waiting job: a pause of a quarter of a second for ten thousand.
        gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
        self._workers = _RayWorkers(work)
        self._workers.refresh()
        self._metrics, self._max_cpus = DispatcherMetrics(), max_cpus
        store = AnalysisCache(Path(cache_folder), cache_bytes)
        self._dispatcher = Dispatcher(self._workers, store, self._metrics)
        self._poll_task: asyncio.Task[None] | None = None

    async def run(self, job: Job) -> JobOutcome:
        """See :meth:`Dispatcher.run`."""
        self._ensure_polling()
        return await self._dispatcher.run(job)

    async def run_many(self, jobs: list[Job]) -> list[JobOutcome]:
        """Run all ``jobs`` in one call."""
        self._ensure_polling()
        return await asyncio.gather(*(self._dispatcher.run(job) for job in jobs))

    @ray.method(enable_task_events=False)  # keeps messages out of the dashboard's table of tasks
    async def watch(self, job_id: str, after: int) -> list[JobUpdate]:
        """See :meth:`Dispatcher.watch`."""
        return await self._dispatcher.watch(job_id, after)

    async def cancel(self, job_id: str) -> bool:
        """See :meth:`Dispatcher.cancel`."""
        return self._dispatcher.cancel(job_id)

    async def unfinished(self) -> list[str]:
        """See :meth:`Dispatcher.unfinished`."""
        return self._dispatcher.unfinished()

    @ray.method(enable_task_events=False)
    async def stage_finished(self, key: str, partial: PartialAnalysis) -> None:
        """See :meth:`Dispatcher.stage_finished`."""
        self._dispatcher.stage_finished(key, partial)

    @ray.method(enable_task_events=False)
    async def mark_long(self, run: str) -> None:
        """See :meth:`Dispatcher.mark_long`."""
        self._dispatcher.mark_long(run)

    @ray.method(enable_task_events=False)
    async def limit_exceeded(self, run: str, code: str) -> None:
        """See :meth:`Dispatcher.limit_exceeded`."""
        self._dispatcher.limit_exceeded(run, code)

    @ray.method(enable_task_events=False)
    async def hello(self) -> dict[str, Any]:
        """Return the engine version, the process id, and the numbers of waiting and running calculations."""
        queued = {str(priority): self._dispatcher.waiting(priority)[0] for priority in JobPriority}
        return {
            "engine": ENGINE_VERSION, "pid": os.getpid(), "waiting": queued, "running": self._dispatcher.in_flight()
        }  # fmt: skip

    def _ensure_polling(self) -> None:
        if self._poll_task is None or self._poll_task.done():
            self._poll_task = asyncio.ensure_future(self._poll())

    async def _poll(self) -> None:
        """Poll the cluster's size, request the nodes that the queue needs, and record metrics."""
        requested = 0
        while True:
            await asyncio.to_thread(self._workers.refresh)
            self._dispatcher.fill()
            self._metrics.record_queue(self._dispatcher)
            queued = sum(self._dispatcher.waiting(priority)[0] for priority in JobPriority)
            needed = min(self._max_cpus, queued + self._dispatcher.in_flight())
            if requested and not needed:
                gc.collect()  # cheap while nothing waits
            if needed != requested:
                await asyncio.to_thread(request_resources, needed)
                requested = needed
            await asyncio.sleep(_POLL_INTERVAL_S)


def warm_workers(cpus: int) -> list[ray.ObjectRef[None]]:
    """Start workers on ``cpus`` CPUs for the first models.

    An ordinary one per CPU, and express ones for long-running jobs plus one for the next. They belong to the Ray job of
    this process, as the dispatcher that it has started does.
    """
    kinds = JobPriority.STANDARD, JobPriority.EXPRESS
    return [task_of(occupy_worker, kind).remote(1.0) for kind in kinds for _ in range(warm_count(kind, cpus))]


def warm_count(priority: JobPriority, cpus: int) -> int:
    """Return the target number of warm workers for ``priority`` on ``cpus`` CPUs."""
    return _EXPRESS_PER_CPU * cpus + 1 if priority is JobPriority.EXPRESS else cpus


def start_dispatcher(
    cache_folder: str,
    cache_bytes: int = MAX_BYTES,
    max_cpus: int = 1_000,
    work: Callable[[AnalysisTask], AnalysisResult] = analyse,
) -> Any:
    """Return the cluster's dispatcher, started if there is none; it outlives the process that started it.

    ``cache_folder``, on the head, stores analyses up to ``cache_bytes``. ``max_cpus``: maximum requested from an
    autoscaler. ``work``: the function that a worker runs on a task.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    head = next(node["NodeID"] for node in nodes if "node:__internal_head__" in node["Resources"])
    return DispatcherActor.options(  # type: ignore[attr-defined]
        name=DISPATCHER,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=_MAX_CALLS,
        scheduling_strategy=NodeAffinitySchedulingStrategy(head, soft=True),
        runtime_env={"env_vars": {COLD: "1"}},
    ).remote(cache_folder, cache_bytes, max_cpus, work)
