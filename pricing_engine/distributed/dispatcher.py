"""Which job runs when: joins equal jobs, bounds what is in flight, retries, limits, cancels, tells how far each is.

Pure asyncio: how a calculation is run, where analyses are kept and what is counted come in as arguments, so this file
knows no Ray. State lives in memory alone: a job belongs to its owner, who submits it again if the dispatcher was
restarted, and submitting twice is harmless.
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
from pricing_engine.distributed.ports import Attempt, RunningAttempt, Counters, Store, Workers
from pricing_engine.distributed.resource_estimate import cpu_limit, estimate_facets, limits_for, memory_needed
from pricing_engine.distributed.slots import SlotKind, Slot, Slots
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost, limit_message

MAX_WAITING = 100_000
MAX_ATTEMPTS = 4
_MAX_OUTCOMES = 20_000  # outcomes, for owners who ask again
_STAGES = 7  # what a Partial can have in ``finished``, and the start
_MIN_CPU_S = 0.5  # of an attempt after others that were lost
_FORCE_AFTER_S = 0.5  # a worker that does not end what was cancelled is ended
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
    run: str = ""
    attempts: int = 0
    long_since: float | None = None
    spent_s: float = 0.0  # by attempts that were lost
    stopped: str = ""  # code of the limit at which the worker has ended the attempt
    demoted: bool = False  # it has ended, or shall end, an express attempt, and begins again as ordinary

    def publish(self, status: JobStatus, partial: PartialAnalysis | None = None) -> None:
        """Add an update and wake those who watch."""
        progress = len(partial.finished) / _STAGES if partial is not None else 0.0
        self.updates.append(JobUpdate(len(self.updates) + 1, status, progress, partial))
        self.changed.set()
        self.changed = asyncio.Event()


class Dispatcher:
    """One for a cluster. All methods belong to one event loop."""

    def __init__(
        self, workers: Workers, store: Store, counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers, self._store, self._counters, self._clock = workers, store, counters, clock
        self._queue = FairQueue()
        self.slots = Slots(workers.cpus, clock)
        self._calculation_of_run: dict[str, _Calculation] = {}  # attempts in flight
        self._refill_timer: asyncio.TimerHandle | None = None
        self._calculations: dict[str, _Calculation] = {}
        self._key_of_job: dict[str, str] = {}  # of jobs that have not ended
        self._outcomes: OrderedDict[str, JobOutcome] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, job: Job) -> JobOutcome:
        """Analyse the job's model; returns when the job has ended. Again for the same job: the same outcome.

        Raises QueueFull where :data:`MAX_WAITING` jobs wait.
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
            self._finish_early(job.job_id, JobOutcome(job.job_id, JobStatus.FAILED, code="deadline_exceeded", message=message))
            outcome = self._outcomes[job.job_id]
        self._counters.job_finished(outcome, job, self._clock() - submitted_at)
        return outcome

    def cancel(self, job_id: str) -> bool:
        """End this job; a calculation that others wait for goes on. False where no such job is under way."""
        if job_id not in self._key_of_job:
            return False
        self._finish_early(job_id, JobOutcome(job_id, JobStatus.CANCELLED, code="cancelled", message="the job was cancelled"))
        return True

    def unfinished(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        return list(self._key_of_job)

    async def watch(self, job_id: str, after: int) -> list[JobUpdate]:
        """Updates after number ``after``, as soon as there are any; empty when the job has ended or is not known."""
        while (calculation := self._calculations.get(self._key_of_job.get(job_id, ""))) is not None:
            if len(calculation.updates) > after:
                return calculation.updates[after:]
            await calculation.changed.wait()
        return []

    def stage_finished(self, calculation: str, partial: PartialAnalysis) -> None:
        """A worker tells what it knows by now."""
        calculation = self._calculations.get(calculation)
        if calculation is not None and calculation.running is not None:
            calculation.publish(JobStatus.RUNNING, partial)

    def waiting(self, priority: JobPriority) -> tuple[int, float]:
        """How many calculations of ``priority`` wait, and for how many seconds the oldest of them has."""
        oldest = self._queue.oldest(priority)
        return self._queue.length(priority), 0.0 if oldest is None else self._clock() - oldest

    def in_flight(self) -> int:
        """How many calculations are with workers."""
        return len(self.slots)

    def mark_long(self, run: str) -> None:
        """A worker says that an attempt has run for LONG_S and gives way now: its express slot is free again."""
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
        """A worker says that it ends itself, with an attempt that it could not stop at a limit."""
        calculation = self._calculation_of_run.get(run)
        if calculation is not None and calculation.running is not None:
            calculation.stopped = code
            calculation.running.cancel(force=True)

    def fill(self) -> None:
        """Start what there is room for: express jobs have slots of their own, so none waits for bulk work, and where
        all slots are taken an owner who has none still gets one.
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
        """Fill again once what was just begun may run long."""
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
    def _stop(calculation: RunningAttempt) -> None:
        calculation.cancel(force=False)
        asyncio.get_running_loop().call_later(_FORCE_AFTER_S, lambda: calculation.cancel(force=True))

    def _attach(self, job: Job) -> asyncio.Future[JobOutcome]:
        """The future of the job: of the calculation of equal jobs, of the store, or of a new calculation."""
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
            self._queue.withdraw(calculation.ticket)  # whoever is more urgent takes the others along
            calculation.ticket = self._ticket(calculation.job, job.priority)
            self._queue.push(calculation.ticket)
        future = calculation.waiters.setdefault(job.job_id, asyncio.get_running_loop().create_future())
        self._key_of_job[job.job_id] = job.calculation
        self.fill()
        return future

    def _ticket(self, job: Job, priority: JobPriority) -> Ticket:
        return Ticket(job.calculation, job.customer, priority, 1.0 + estimate_facets(job.model, job.bytes), self._clock())

    def _finish_early(self, job_id: str, outcome: JobOutcome) -> None:
        """End one job before its calculation has; the last to leave stops that."""
        key = self._key_of_job.pop(job_id, None)
        if job_id in self._outcomes:  # it was done in the same moment
            return
        self._record(outcome)
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
        """Run the calculation until it ends or has lost too many workers, then tell all who wait."""
        seconds: float | None = None
        try:
            outcome, seconds = await self._run_attempts(calculation, priority, slot)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of ours, not of the model: the job says so, and other jobs go on
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
        except OSError as error:  # then it is calculated
            _log.warning("analysis %s was not looked up: %s", key, error)
            return None

    def _store_analysis(self, key: str, analysis: bytes) -> None:
        try:
            self._store.put(key, analysis)
        except OSError as error:  # the analysis was what was asked for; keeping it only saves work
            _log.warning("analysis %s was not kept: %s", key, error)

    def _requeue(self, calculation: _Calculation) -> None:
        """An express calculation that ran long while too many others did waits for an ordinary slot."""
        if self._calculations.get(calculation.job.calculation) is calculation:
            calculation.ticket = self._ticket(calculation.job, JobPriority.STANDARD)
            calculation.publish(JobStatus.QUEUED)
            self._queue.push(calculation.ticket)
        self.fill()

    async def _run_attempts(self, calculation: _Calculation, priority: JobPriority, slot: Slot) -> tuple[JobOutcome | None, float | None]:
        """The outcome, and the seconds that the analysis took; no outcome where it has to begin again as ordinary."""
        reserved = memory = memory_needed(calculation.job.model, calculation.job.bytes)
        cpu_s = calculation.job.cpu_limit_s or cpu_limit(calculation.job.model, calculation.job.bytes)
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
            if calculation.stopped == "deadline":
                result, lost = AnalysisResult(None, calculation.stopped, limit_message(calculation.stopped, limits)), None
            elif calculation.stopped:
                lost = WorkerLost(calculation.stopped, limit_message(calculation.stopped, limits))
            if not calculation.waiters:
                break
            if calculation.demoted and calculation.ticket.priority is JobPriority.EXPRESS and result.code in ("", "cancelled"):
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
            memory *= 2  # a process that was ended may have wanted more than it asked for
        if lost is None or not calculation.waiters:
            return JobOutcome("", JobStatus.CANCELLED, code="cancelled", message="the job was cancelled"), None
        message = f"{lost} {calculation.attempts} times, last with {reserved >> 20} MiB; simplify the model"
        return JobOutcome("", JobStatus.FAILED, code=lost.code, message=message, attempts=calculation.attempts), None

    async def _run_attempt(self, calculation: _Calculation, attempt: Attempt) -> AnalysisResult:
        """Run it once; raises Lost. What its worker took along is made warm again."""
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
        """How many workers of the kind of ``priority`` are at work and will be in a moment."""
        return self.slots.taken(SlotKind.LONG if priority is JobPriority.EXPRESS else SlotKind.ORDINARY)

    def _record(self, outcome: JobOutcome) -> JobOutcome:
        self._outcomes[outcome.job_id] = outcome
        while len(self._outcomes) > _MAX_OUTCOMES:
            self._outcomes.popitem(last=False)
        return outcome
