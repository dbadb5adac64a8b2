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
from pricing_engine.distributed.ports import Attempt, Calculation, Counters, Store, Workers
from pricing_engine.distributed.resource_estimate import cpu_limit, facets_in, limits_for, memory_needed
from pricing_engine.distributed.slots import Lane, Slot, Slots
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost, limit_message

MOST_WAITING = 100_000
MOST_ATTEMPTS = 4
_MOST_REMEMBERED = 20_000  # outcomes, for owners who ask again
_STAGES = 7  # what a Partial can have in ``ended``, and the start
_LEAST_CPU_S = 0.5  # of an attempt after others that were lost
_FORCE_AFTER_S = 0.5  # a worker that does not end what was cancelled is ended
_LANES = {Lane.EXPRESS: (JobPriority.EXPRESS,), Lane.ORDINARY: (JobPriority.STANDARD, JobPriority.BULK)}

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Work:
    """One calculation and the jobs that wait for it."""

    job: Job
    ticket: Ticket
    waiters: dict[str, asyncio.Future[JobOutcome]] = field(default_factory=dict)
    updates: list[JobUpdate] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running: Calculation | None = None
    slot: Slot | None = None
    run: str = ""
    attempts: int = 0
    long_since: float | None = None
    spent_s: float = 0.0  # by attempts that were lost
    stopped: str = ""  # code of the limit at which the worker has ended the attempt
    set_back: bool = False  # it has ended, or shall end, an express attempt, and begins again as ordinary

    def tell(self, status: JobStatus, partial: PartialAnalysis | None = None) -> None:
        """Add an update and wake those who watch."""
        progress = len(partial.ended) / _STAGES if partial is not None else 0.0
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
        self._runs: dict[str, _Work] = {}  # attempts in flight
        self._recheck: asyncio.TimerHandle | None = None
        self._work: dict[str, _Work] = {}
        self._calculation_of: dict[str, str] = {}  # of jobs that have not ended
        self._ended: OrderedDict[str, JobOutcome] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, job: Job) -> JobOutcome:
        """Analyse the job's model; returns when the job has ended. Again for the same job: the same outcome.

        Raises QueueFull where :data:`MOST_WAITING` jobs wait.
        """
        begin = self._clock()
        known = self._ended.get(job.job_id)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(job.deadline_s):
                outcome = await asyncio.shield(self._join(job))
        except TimeoutError:
            message = f"not done {job.deadline_s} s after it was submitted; give more time or express priority"
            self._leave(job.job_id, JobOutcome(job.job_id, JobStatus.FAILED, code="deadline_exceeded", message=message))
            outcome = self._ended[job.job_id]
        self._counters.ended(outcome, job, self._clock() - begin)
        return outcome

    def cancel(self, job_id: str) -> bool:
        """End this job; a calculation that others wait for goes on. False where no such job is under way."""
        if job_id not in self._calculation_of:
            return False
        self._leave(job_id, JobOutcome(job_id, JobStatus.CANCELLED, code="cancelled", message="the job was cancelled"))
        return True

    def unfinished(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        return list(self._calculation_of)

    async def watch(self, job_id: str, seen: int) -> list[JobUpdate]:
        """Updates after number ``seen``, as soon as there are any; empty when the job has ended or is not known."""
        while (work := self._work.get(self._calculation_of.get(job_id, ""))) is not None:
            if len(work.updates) > seen:
                return work.updates[seen:]
            await work.changed.wait()
        return []

    def stage_ended(self, calculation: str, partial: PartialAnalysis) -> None:
        """A worker tells what it knows by now."""
        work = self._work.get(calculation)
        if work is not None and work.running is not None:
            work.tell(JobStatus.RUNNING, partial)

    def waiting(self, priority: JobPriority) -> tuple[int, float]:
        """How many calculations of ``priority`` wait, and for how many seconds the oldest of them has."""
        oldest = self._queue.oldest(priority)
        return self._queue.length(priority), 0.0 if oldest is None else self._clock() - oldest

    def in_flight(self) -> int:
        """How many calculations are with workers."""
        return len(self.slots)

    def ran_long(self, run: str) -> None:
        """A worker says that an attempt has run for LONG_S and gives way now: its express slot is free again."""
        work = self._runs.get(run)
        if work is None or work.slot is None:
            return
        work.long_since = self._clock() - LONG_S
        if work.slot.lane is not Lane.EXPRESS:
            return
        victim = self.slots.ran_long(work.slot)
        for each in self._runs.values() if victim is not None else ():
            if each.slot is victim and each.running is not None:
                each.set_back = True
                self._stop(each.running)
        self._workers.prepare(JobPriority.EXPRESS, self._busy(JobPriority.EXPRESS))
        self.fill()

    def limit_exceeded(self, run: str, code: str) -> None:
        """A worker says that it ends itself, with an attempt that it could not stop at a limit."""
        work = self._runs.get(run)
        if work is not None and work.running is not None:
            work.stopped = code
            work.running.cancel(force=True)

    def fill(self) -> None:
        """Start what there is room for: express jobs have slots of their own, so none waits for bulk work, and where
        all slots are taken an owner who has none still gets one.
        """
        for lane, priorities in _LANES.items():
            while self.slots.is_free(lane) and (ticket := self._queue.pop(priorities)) is not None:
                self._begin(ticket, self.slots.take(ticket.customer, lane))
            if not any(self._queue.length(priority) for priority in priorities):
                continue
            owners = self.slots.owners_without_guest_place(lane)
            if owners is None:
                self._fill_later()
            elif (ticket := self._queue.pop(priorities, without=owners)) is not None:
                self._begin(ticket, self.slots.take(ticket.customer, lane, guest=True))

    def _fill_later(self) -> None:
        """Fill again once what was just begun may run long."""
        if self._recheck is None:

            def again() -> None:
                self._recheck = None
                self.fill()

            self._recheck = asyncio.get_running_loop().call_later(LONG_S, again)

    def _begin(self, ticket: Ticket, slot: Slot) -> None:
        work = self._work[ticket.key]
        work.slot = slot
        task = asyncio.ensure_future(self._calculate(work, ticket.priority, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _stop(calculation: Calculation) -> None:
        calculation.cancel(force=False)
        asyncio.get_running_loop().call_later(_FORCE_AFTER_S, lambda: calculation.cancel(force=True))

    def _join(self, job: Job) -> asyncio.Future[JobOutcome]:
        """The future of the job: of the calculation of equal jobs, of the store, or of a new calculation."""
        work = self._work.get(job.calculation)
        if work is None:
            stored = self._stored(job.key)
            if stored is not None:
                future = asyncio.get_running_loop().create_future()
                future.set_result(self._remember(JobOutcome(job.job_id, JobStatus.DONE, stored, cached=True)))
                return future
            if len(self._queue) >= MOST_WAITING:
                raise QueueFull(f"{MOST_WAITING} jobs wait already; try again later")
            work = self._work[job.calculation] = _Work(job, self._ticket(job, job.priority))
            work.tell(JobStatus.QUEUED)
            self._queue.push(work.ticket)
        elif (
            work.ticket.waiting
            and not work.set_back
            and list(JobPriority).index(job.priority) < list(JobPriority).index(work.ticket.priority)
        ):
            self._queue.withdraw(work.ticket)  # whoever is more urgent takes the others along
            work.ticket = self._ticket(work.job, job.priority)
            self._queue.push(work.ticket)
        future = work.waiters.setdefault(job.job_id, asyncio.get_running_loop().create_future())
        self._calculation_of[job.job_id] = job.calculation
        self.fill()
        return future

    def _ticket(self, job: Job, priority: JobPriority) -> Ticket:
        return Ticket(job.calculation, job.customer, priority, 1.0 + facets_in(job.model, job.bytes), self._clock())

    def _leave(self, job_id: str, outcome: JobOutcome) -> None:
        """End one job before its calculation has; the last to leave stops that."""
        key = self._calculation_of.pop(job_id, None)
        if job_id in self._ended:  # it was done in the same moment
            return
        self._remember(outcome)
        work = self._work.get(key) if key is not None else None
        if work is None:
            return
        work.waiters.pop(job_id).set_result(outcome)
        if work.waiters:
            return
        self._work.pop(work.job.calculation)
        work.tell(JobStatus.CANCELLED)
        self._queue.withdraw(work.ticket)
        if work.running is not None:
            self._stop(work.running)

    async def _calculate(self, work: _Work, priority: JobPriority, slot: Slot) -> None:
        """Run the calculation until it ends or has lost too many workers, then tell all who wait."""
        seconds: float | None = None
        try:
            outcome, seconds = await self._attempts(work, priority, slot)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of ours, not of the model: the job says so, and other jobs go on
            outcome = JobOutcome("", JobStatus.FAILED, code="internal_error", message=" ".join(f"{error!r}".split()))
        finally:
            self.slots.release(slot, seconds)
            work.running = work.slot = None
        if outcome is None:
            self._set_back(work)
            return
        if self._work.get(work.job.calculation) is work:
            del self._work[work.job.calculation]
            for job_id, future in work.waiters.items():
                self._calculation_of.pop(job_id, None)
                future.set_result(self._remember(replace(outcome, job_id=job_id)))
            work.tell(outcome.status)
        self.fill()
        if outcome.analysis is not None:
            self._keep(work.job.key, outcome.analysis)

    def _stored(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except OSError as error:  # then it is calculated
            _log.warning("analysis %s was not looked up: %s", key, error)
            return None

    def _keep(self, key: str, analysis: bytes) -> None:
        try:
            self._store.put(key, analysis)
        except OSError as error:  # the analysis was what was asked for; keeping it only saves work
            _log.warning("analysis %s was not kept: %s", key, error)

    def _set_back(self, work: _Work) -> None:
        """An express calculation that ran long while too many others did waits for an ordinary slot."""
        if self._work.get(work.job.calculation) is work:
            work.ticket = self._ticket(work.job, JobPriority.STANDARD)
            work.tell(JobStatus.QUEUED)
            self._queue.push(work.ticket)
        self.fill()

    async def _attempts(self, work: _Work, priority: JobPriority, slot: Slot) -> tuple[JobOutcome | None, float | None]:
        """The outcome, and the seconds that the analysis took; no outcome where it has to begin again as ordinary."""
        reserved = memory = memory_needed(work.job.model, work.job.bytes)
        cpu_s = work.job.cpu_limit_s or cpu_limit(work.job.model, work.job.bytes)
        lost: WorkerLost | None = None
        while work.attempts < MOST_ATTEMPTS and work.waiters:
            most = self._workers.most_memory()
            memory = min(memory, most)
            limits = limits_for(max(_LEAST_CPU_S, cpu_s - work.spent_s), memory, most)
            work.attempts += 1
            gives_way = self.slots.runs_long(slot.owner)
            attempt = Attempt(secrets.token_hex(8), priority, memory, limits, slot.guest, gives_way)
            try:
                result = await self._attempt(work, attempt)
                lost = WorkerLost(result.code, result.message) if result.code == "out_of_memory" else None
            except WorkerLost as error:
                result, lost = AnalysisResult(None), error
            if result.analysis is not None:
                done = JobOutcome("", JobStatus.DONE, result.analysis, attempts=work.attempts)
                return done, result.seconds
            if work.stopped == "deadline":
                result, lost = AnalysisResult(None, work.stopped, limit_message(work.stopped, limits)), None
            elif work.stopped:
                lost = WorkerLost(work.stopped, limit_message(work.stopped, limits))
            if not work.waiters:
                break
            if work.set_back and work.ticket.priority is JobPriority.EXPRESS and result.code in ("", "cancelled"):
                work.attempts -= 1
                return None, None
            if lost is None:
                return JobOutcome(
                    "", JobStatus.FAILED, code=result.code, message=result.message, attempts=work.attempts
                ), None
            self._counters.retried(lost.code)
            reserved = memory
            if lost.code == "out_of_memory" and memory == most:
                break
            memory *= 2  # a process that was ended may have wanted more than it asked for
        if lost is None or not work.waiters:
            return JobOutcome("", JobStatus.CANCELLED, code="cancelled", message="the job was cancelled"), None
        message = f"{lost} {work.attempts} times, last with {reserved >> 20} MiB; simplify the model"
        return JobOutcome("", JobStatus.FAILED, code=lost.code, message=message, attempts=work.attempts), None

    async def _attempt(self, work: _Work, attempt: Attempt) -> AnalysisResult:
        """Run it once; raises Lost. What its worker took along is made warm again."""
        work.stopped, work.long_since, taken_along = "", None, False
        self._runs[attempt.run] = work
        try:
            work.running = self._workers.start(work.job, attempt)
            work.tell(JobStatus.RUNNING)
            result = await work.running.result()
            taken_along = result.code == "cancelled"
            return result
        except WorkerLost:
            taken_along = True
            raise
        finally:
            del self._runs[attempt.run]
            if taken_along:
                self._workers.restore(attempt.priority, lambda: self._busy(attempt.priority))
            if work.long_since is not None:
                work.spent_s += self._clock() - work.long_since

    def _busy(self, priority: JobPriority) -> int:
        """How many workers of the kind of ``priority`` are at work and will be in a moment."""
        return self.slots.taken(Lane.LONG if priority is JobPriority.EXPRESS else Lane.ORDINARY)

    def _remember(self, outcome: JobOutcome) -> JobOutcome:
        self._ended[outcome.job_id] = outcome
        while len(self._ended) > _MOST_REMEMBERED:
            self._ended.popitem(last=False)
        return outcome
