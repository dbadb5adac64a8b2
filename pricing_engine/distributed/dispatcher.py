"""Job scheduler: merges equal jobs, bounds calculations in flight, retries, limits, cancels and reports progress.

Pure asyncio: workers, store and counters are passed in (see ``ports``), so this module does not depend on Ray. State is
in memory only: a job belongs to its owner, who submits it again after a restart of the dispatcher; a repeated
submission is harmless.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed.errors import QueueFull
from pricing_engine.distributed.fair_queue import FairQueue, Ticket
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority, JobStatus, JobUpdate
from pricing_engine.distributed.limits import LONG_S
from pricing_engine.distributed.ports import Attempt, Counters, RunningAttempt, Store, Workers
from pricing_engine.distributed.resource_estimate import cpu_limit, estimate_facets, limits_for, memory_needed
from pricing_engine.distributed.slots import Slot, SlotKind, Slots
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost, limit_message

MAX_WAITING = 100_000
MAX_ATTEMPTS = 4
_MAX_OUTCOMES = 20_000  # stored for repeated submissions
_MIN_CPU_S = 0.5  # of an attempt after lost ones
_FORCE_AFTER_S = 0.5  # from cancelling an attempt to killing its worker
_PRIORITIES_OF = {SlotKind.EXPRESS: (JobPriority.EXPRESS,), SlotKind.ORDINARY: (JobPriority.STANDARD, JobPriority.BULK)}

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Calculation:
    """One calculation and the jobs that wait for it."""

    job: Job
    ticket: Ticket
    waiters: dict[str, asyncio.Future[JobOutcome]] = field(default_factory=dict)
    updates: list[JobUpdate] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running: RunningAttempt | None = None
    slot: Slot | None = None
    attempts: int = 0
    long_since: float | None = None
    spent_s: float = 0.0  # by lost attempts
    stopped: str = ""  # code of the limit at which the worker stopped the attempt
    demoted: bool = False  # its express attempt is stopped, to be restarted as ordinary

    def publish(self, status: JobStatus, partial: PartialAnalysis | None = None) -> None:
        """Add an update and wake the watchers."""
        progress = partial.progress if partial is not None else 0.0
        self.updates.append(JobUpdate(len(self.updates) + 1, status, progress, partial))
        self.changed.set()
        self.changed = asyncio.Event()


class Dispatcher:
    """The scheduler of a cluster. All methods belong to one event loop."""

    def __init__(
        self, workers: Workers, store: Store, counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers, self._store, self._counters, self._clock = workers, store, counters, clock
        self._queue = FairQueue()
        self.slots = Slots(workers.cpus, clock)
        self._calculation_of_run: dict[str, _Calculation] = {}  # attempts in flight
        self._refill_timer: asyncio.TimerHandle | None = None
        self._calculations: dict[str, _Calculation] = {}
        self._key_of_job: dict[str, str] = {}  # of unfinished jobs
        self._outcomes: OrderedDict[str, JobOutcome] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, job: Job) -> JobOutcome:
        """Analyse the job's model and return its outcome; a repeated submission returns the same outcome.

        Raises QueueFull if :data:`MAX_WAITING` jobs wait.
        """
        submitted_at = self._clock()
        previous = self._outcomes.get(job.job_id)
        if previous is not None:
            return previous
        try:
            async with asyncio.timeout(job.deadline_s):
                outcome = await asyncio.shield(self._attach(job))
        except TimeoutError:
            message = f"not done {job.deadline_s} s after it was submitted; give more time or express priority"
            self._detach(job.job_id, JobStatus.FAILED, "deadline_exceeded", message)
            outcome = self._outcomes[job.job_id]
        self._counters.job_finished(outcome, job, self._clock() - submitted_at)
        return outcome

    def cancel(self, job_id: str) -> bool:
        """Cancel the job; a calculation that other jobs wait for continues. Return False if the job is not running."""
        if job_id not in self._key_of_job:
            return False
        self._detach(job_id, JobStatus.CANCELLED, "cancelled", "the job was cancelled")
        return True

    def unfinished(self) -> list[str]:
        """Return the ids of the unfinished jobs."""
        return list(self._key_of_job)

    async def watch(self, job_id: str, after: int) -> list[JobUpdate]:
        """Wait for updates after number ``after`` and return them; empty if the job is finished or does not exist."""
        while (calculation := self._calculations.get(self._key_of_job.get(job_id, ""))) is not None:
            if len(calculation.updates) > after:
                return calculation.updates[after:]
            await calculation.changed.wait()
        return []

    def stage_finished(self, key: str, partial: PartialAnalysis) -> None:
        """Handle a worker's progress report."""
        calculation = self._calculations.get(key)
        if calculation is not None and calculation.running is not None:
            calculation.publish(JobStatus.RUNNING, partial)

    def waiting(self, priority: JobPriority) -> tuple[int, float]:
        """Return the number of waiting calculations of ``priority``, and the age of the oldest in seconds."""
        oldest = self._queue.oldest(priority)
        return self._queue.length(priority), 0.0 if oldest is None else self._clock() - oldest

    def in_flight(self) -> int:
        """Return the number of calculations on workers."""
        return len(self.slots)

    def mark_long(self, run: str) -> None:
        """Handle a report that an attempt has run for LONG_S and has a lower priority: free its express slot."""
        calculation = self._calculation_of_run.get(run)
        if calculation is None or calculation.slot is None:
            return
        calculation.long_since = self._clock() - LONG_S
        if calculation.slot.kind is not SlotKind.EXPRESS:
            return
        preempted = self.slots.mark_long(calculation.slot)
        for each in self._calculation_of_run.values() if preempted is not None else ():
            if each.slot is preempted and each.running is not None:
                each.demoted = True
                self._stop(each.running)
        self._workers.prepare(JobPriority.EXPRESS, self._busy(JobPriority.EXPRESS))
        self.fill()

    def limit_exceeded(self, run: str, code: str) -> None:
        """Handle a worker's report that it kills itself, because its attempt did not stop at a limit."""
        calculation = self._calculation_of_run.get(run)
        if calculation is not None and calculation.running is not None:
            calculation.stopped = code
            calculation.running.cancel(force=True)

    def fill(self) -> None:
        """Start calculations in free slots.

        Express jobs have separate slots, so none waits for bulk work; if all are taken, an owner without any gets one
        more.
        """
        for kind, priorities in _PRIORITIES_OF.items():
            while self.slots.is_free(kind) and (ticket := self._queue.pop(priorities)) is not None:
                self._start(ticket, self.slots.take(ticket.customer, kind))
            if not any(self._queue.length(priority) for priority in priorities):
                continue
            owners = self.slots.owners_in_flight(kind)
            if owners is None:
                self._fill_later()
            elif (ticket := self._queue.pop(priorities, excluded=owners)) is not None:
                self._start(ticket, self.slots.take(ticket.customer, kind, reserved=True))

    def _fill_later(self) -> None:
        """Call ``fill`` again once the calculations started last may run long."""
        if self._refill_timer is None:

            def refill() -> None:
                self._refill_timer = None
                self.fill()

            self._refill_timer = asyncio.get_running_loop().call_later(LONG_S, refill)

    def _start(self, ticket: Ticket, slot: Slot) -> None:
        calculation = self._calculations[ticket.key]
        calculation.slot = slot
        task = asyncio.ensure_future(self._run_calculation(calculation, ticket.priority, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _stop(attempt: RunningAttempt) -> None:
        attempt.cancel(force=False)
        asyncio.get_running_loop().call_later(_FORCE_AFTER_S, lambda: attempt.cancel(force=True))

    def _attach(self, job: Job) -> asyncio.Future[JobOutcome]:
        """Return the future of the job: from the calculation of an equal job, the store, or a new calculation."""
        calculation = self._calculations.get(job.calculation)
        if calculation is None:
            stored = self._load_analysis(job.key)
            if stored is not None:
                future = asyncio.get_running_loop().create_future()
                future.set_result(self._record(JobOutcome(job.job_id, JobStatus.DONE, stored, cached=True)))
                return future
            if len(self._queue) >= MAX_WAITING:
                raise QueueFull(f"{MAX_WAITING} jobs wait already; try again later")
            calculation = self._calculations[job.calculation] = _Calculation(job, self._ticket(job, job.priority))
            calculation.publish(JobStatus.QUEUED)
            self._queue.push(calculation.ticket)
        elif (
            calculation.ticket.waiting
            and not calculation.demoted
            and list(JobPriority).index(job.priority) < list(JobPriority).index(calculation.ticket.priority)
        ):
            self._queue.withdraw(calculation.ticket)  # the most urgent job decides the priority
            calculation.ticket = self._ticket(calculation.job, job.priority)
            self._queue.push(calculation.ticket)
        future = calculation.waiters.setdefault(job.job_id, asyncio.get_running_loop().create_future())
        self._key_of_job[job.job_id] = job.calculation
        self.fill()
        return future

    def _ticket(self, job: Job, priority: JobPriority) -> Ticket:
        weight = 1.0 + estimate_facets(job.model, job.bytes)
        return Ticket(job.calculation, job.customer, priority, weight, self._clock())

    def _detach(self, job_id: str, status: JobStatus, code: str, message: str) -> None:
        """Finish a job before its calculation; without further jobs the calculation is stopped."""
        key = self._key_of_job.pop(job_id, None)
        if job_id in self._outcomes:  # finished just before
            return
        outcome = self._record(JobOutcome(job_id, status, code=code, message=message))
        calculation = self._calculations.get(key) if key is not None else None
        if calculation is None:
            return
        calculation.waiters.pop(job_id).set_result(outcome)
        if calculation.waiters:
            return
        self._calculations.pop(calculation.job.calculation)
        calculation.publish(JobStatus.CANCELLED)
        self._queue.withdraw(calculation.ticket)
        if calculation.running is not None:
            self._stop(calculation.running)

    async def _run_calculation(self, calculation: _Calculation, priority: JobPriority, slot: Slot) -> None:
        """Run the calculation until it finishes or has lost too many workers, then resolve its jobs."""
        seconds: float | None = None
        try:
            outcome, seconds = await self._run_attempts(calculation, priority, slot)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a bug, not a fault of the model: it fails this job alone
            outcome = JobOutcome("", JobStatus.FAILED, code="internal_error", message=" ".join(f"{error!r}".split()))
        finally:
            self.slots.release(slot, seconds)
            calculation.running = calculation.slot = None
        if outcome is None:
            self._requeue(calculation)
            return
        if self._calculations.get(calculation.job.calculation) is calculation:
            del self._calculations[calculation.job.calculation]
            for job_id, future in calculation.waiters.items():
                self._key_of_job.pop(job_id, None)
                future.set_result(self._record(replace(outcome, job_id=job_id)))
            calculation.publish(outcome.status)
        self.fill()
        if outcome.analysis is not None:
            self._store_analysis(calculation.job.key, outcome.analysis)

    def _load_analysis(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except OSError as error:  # calculate it instead
            _log.warning("analysis %s was not loaded: %s", key, error)
            return None

    def _store_analysis(self, key: str, analysis: bytes) -> None:
        try:
            self._store.put(key, analysis)
        except OSError as error:  # the outcome does not depend on the cache
            _log.warning("analysis %s was not stored: %s", key, error)

    def _requeue(self, calculation: _Calculation) -> None:
        """Queue a preempted express calculation for an ordinary slot."""
        if self._calculations.get(calculation.job.calculation) is calculation:
            calculation.ticket = self._ticket(calculation.job, JobPriority.STANDARD)
            calculation.publish(JobStatus.QUEUED)
            self._queue.push(calculation.ticket)
        self.fill()

    async def _run_attempts(
        self, calculation: _Calculation, priority: JobPriority, slot: Slot
    ) -> tuple[JobOutcome | None, float | None]:
        """Return the outcome and the duration of the analysis in seconds; no outcome if it is demoted to ordinary."""
        job = calculation.job
        reserved = memory = memory_needed(job.model, job.bytes)
        cpu_s = job.cpu_limit_s or cpu_limit(job.model, job.bytes)
        lost: WorkerLost | None = None
        while calculation.attempts < MAX_ATTEMPTS and calculation.waiters:
            node_memory = self._workers.max_memory()
            memory = min(memory, node_memory)
            limits = limits_for(max(_MIN_CPU_S, cpu_s - calculation.spent_s), memory, node_memory)
            calculation.attempts += 1
            low_priority = self.slots.has_long_work(slot.owner)
            attempt = Attempt(secrets.token_hex(8), priority, memory, limits, slot.reserved, low_priority)
            try:
                result = await self._run_attempt(calculation, attempt)
                lost = WorkerLost(result.code, result.message) if result.code == "out_of_memory" else None
            except WorkerLost as error:
                result, lost = AnalysisResult(None), error
            if result.analysis is not None:
                finished = JobOutcome("", JobStatus.DONE, result.analysis, attempts=calculation.attempts)
                return finished, result.seconds
            stopped = calculation.stopped
            if stopped == "deadline":
                result, lost = AnalysisResult(None, stopped, limit_message(stopped, limits)), None
            elif stopped:
                lost = WorkerLost(stopped, limit_message(stopped, limits))
            if not calculation.waiters:
                break
            demoted = calculation.demoted and calculation.ticket.priority is JobPriority.EXPRESS
            if demoted and result.code in ("", "cancelled"):
                calculation.attempts -= 1
                return None, None
            if lost is None:
                return JobOutcome(
                    "", JobStatus.FAILED, code=result.code, message=result.message, attempts=calculation.attempts
                ), None
            self._counters.retried(lost.code)
            reserved = memory
            if lost.code == "out_of_memory" and memory == node_memory:
                break
            memory *= 2  # a killed process may have needed more than it had reserved
        if lost is None or not calculation.waiters:
            return JobOutcome("", JobStatus.CANCELLED, code="cancelled", message="the job was cancelled"), None
        message = f"{lost} {calculation.attempts} times, last with {reserved >> 20} MiB; simplify the model"
        return JobOutcome("", JobStatus.FAILED, code=lost.code, message=message, attempts=calculation.attempts), None

    async def _run_attempt(self, calculation: _Calculation, attempt: Attempt) -> AnalysisResult:
        """Run one attempt; raises WorkerLost. A worker that may have ended is restored."""
        calculation.stopped, calculation.long_since, worker_lost = "", None, False
        self._calculation_of_run[attempt.run] = calculation
        try:
            calculation.running = self._workers.start(calculation.job, attempt)
            calculation.publish(JobStatus.RUNNING)
            result = await calculation.running.result()
            worker_lost = result.code == "cancelled"
            return result
        except WorkerLost:
            worker_lost = True
            raise
        finally:
            del self._calculation_of_run[attempt.run]
            if worker_lost:
                self._workers.restore(attempt.priority, lambda: self._busy(attempt.priority))
            if calculation.long_since is not None:
                calculation.spent_s += self._clock() - calculation.long_since

    def _busy(self, priority: JobPriority) -> int:
        """Return the number of workers for ``priority`` that are occupied for longer."""
        return self.slots.taken(SlotKind.LONG if priority is JobPriority.EXPRESS else SlotKind.ORDINARY)

    def _record(self, outcome: JobOutcome) -> JobOutcome:
        self._outcomes[outcome.job_id] = outcome
        while len(self._outcomes) > _MAX_OUTCOMES:
            self._outcomes.popitem(last=False)
        return outcome
