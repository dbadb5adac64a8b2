"""Which job runs when: joins equal jobs, bounds what is in flight, retries, cancels, tells how far each is.

Pure asyncio: how a calculation is run, where analyses are kept and what is counted come in as arguments, so this file
knows no Ray. State lives in memory alone: a job belongs to its owner, who submits it again if the dispatcher was
restarted, and submitting twice is harmless.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pricing_engine.analysis.partial import Partial
from pricing_engine.distributed.errors import QueueFull
from pricing_engine.distributed.fair_queue import FairQueue, Ticket
from pricing_engine.distributed.jobs import Job, Outcome, Priority, Status, Update
from pricing_engine.distributed.plan import facets_in, memory_needed
from pricing_engine.distributed.results import Lost, Result

MOST_WAITING = 100_000
MOST_ATTEMPTS = 4
_MOST_REMEMBERED = 20_000  # outcomes, for owners who ask again
_STAGES = 7  # what a Partial can have in ``ended``, and the start
_HAND_OVER_S = 0.01  # from the end of a calculation to the beginning of one that waits in the dispatcher
_MOST_AT_HAND = 15  # a CPU
_KEPT_FREE_S = 1.0  # a CPU after an express job, for the next
_SMOOTHING = 8  # calculations
_GRACE_S = 3.0  # for a cancelled calculation to end by itself before its process is ended
ORDINARY = (Priority.STANDARD, Priority.BULK)

_log = logging.getLogger(__name__)


class Calculation(Protocol):
    """A model being analysed on a worker."""

    async def result(self) -> Result:
        """Wait for the end; raises Lost when the worker or its node is gone."""

    def cancel(self, force: bool) -> None:
        """Stop it; ``force`` ends its process."""


class Workers(Protocol):
    """Where calculations run."""

    def cpus(self) -> int:
        """CPUs of the cluster."""

    def most_memory(self) -> int:
        """Bytes of the largest node."""

    def start(self, job: Job, memory: int) -> Calculation:
        """Begin to analyse the job's model with so many bytes reserved."""


class Store(Protocol):
    """Where analyses are kept, by key."""

    def get(self, key: str) -> bytes | None:
        """The JSON of the analysis, if it is there."""

    def put(self, key: str, analysis: bytes) -> None:
        """Keep it."""


class Counters(Protocol):
    """What is counted for operations."""

    def ended(self, outcome: Outcome, job: Job, seconds: float) -> None:
        """A job has ended."""

    def retried(self, reason: str) -> None:
        """A calculation lost its worker and begins again."""


@dataclass(eq=False)
class _Work:
    """One calculation and the jobs that wait for it."""

    job: Job
    ticket: Ticket
    waiters: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running: Calculation | None = None
    attempts: int = 0

    def tell(self, status: Status, partial: Partial | None = None) -> None:
        """Add an update and wake those who watch."""
        progress = len(partial.ended) / _STAGES if partial is not None else 0.0
        self.updates.append(Update(len(self.updates) + 1, status, progress, partial))
        self.changed.set()
        self.changed = asyncio.Event()


class Dispatcher:
    """One for a cluster. All methods belong to one event loop."""

    def __init__(
        self, workers: Workers, store: Store, counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers, self._store, self._counters, self._clock = workers, store, counters, clock
        self._queue = FairQueue()
        self._work: dict[str, _Work] = {}
        self._calculation_of: dict[str, str] = {}  # of jobs that have not ended
        self._ended: OrderedDict[str, Outcome] = OrderedDict()
        self._in_flight = dict.fromkeys(Priority, 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._express_at = float("-inf")  # when one was last in flight
        self._seconds = 1.0  # that an analysis takes, smoothed

    async def run(self, job: Job) -> Outcome:
        """Analyse the job's model; returns when the job has ended. Again for the same job: the same outcome.

        Raises QueueFull where :data:`MOST_WAITING` jobs wait.
        """
        begin = self._clock()
        known = self._ended.get(job.job_id)
        if known is not None:
            return known
        left = None if job.deadline_s is None else job.submitted_at + job.deadline_s - time.time()
        try:
            async with asyncio.timeout(left):
                outcome = await asyncio.shield(self._join(job))
        except TimeoutError:
            message = f"not done {job.deadline_s} s after it was submitted; give more time or express priority"
            self._leave(job.job_id, Outcome(job.job_id, Status.FAILED, code="deadline_exceeded", message=message))
            outcome = self._ended[job.job_id]
        self._counters.ended(outcome, job, self._clock() - begin)
        return outcome

    def cancel(self, job_id: str) -> bool:
        """End this job; a calculation that others wait for goes on. False where no such job is under way."""
        if job_id not in self._calculation_of:
            return False
        self._leave(job_id, Outcome(job_id, Status.CANCELLED, code="cancelled", message="the job was cancelled"))
        return True

    async def watch(self, job_id: str, seen: int) -> list[Update]:
        """Updates after number ``seen``, as soon as there are any; empty when the job has ended or is not known."""
        while (work := self._work.get(self._calculation_of.get(job_id, ""))) is not None:
            if len(work.updates) > seen:
                return work.updates[seen:]
            await work.changed.wait()
        return []

    def stage_ended(self, calculation: str, partial: Partial) -> None:
        """A worker tells what it knows by now."""
        work = self._work.get(calculation)
        if work is not None and work.running is not None:
            work.tell(Status.RUNNING, partial)

    def waiting(self, priority: Priority) -> tuple[int, float]:
        """How many calculations of ``priority`` wait, and for how many seconds the oldest of them has."""
        oldest = self._queue.oldest(priority)
        return self._queue.length(priority), 0.0 if oldest is None else self._clock() - oldest

    def in_flight(self) -> int:
        """How many calculations are with workers."""
        return sum(self._in_flight.values())

    def fill(self) -> None:
        """Start what there is room for: express jobs have slots of their own, so none waits for bulk work."""
        for lane, slots in (((Priority.EXPRESS,), self._slots()), (ORDINARY, self._ordinary_slots())):
            while sum(self._in_flight[priority] for priority in lane) < slots:
                ticket = self._queue.pop(lane)
                if ticket is None:
                    break
                self._in_flight[ticket.priority] += 1
                task = asyncio.ensure_future(self._calculate(self._work[ticket.key], ticket.priority))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _slots(self) -> int:
        """How many express jobs, and how many others, may be in flight: for each CPU one that runs and so many at hand
        that the next is there when it ends, more where jobs are short.
        """
        at_hand = 1 + int(_HAND_OVER_S / max(self._seconds, 1e-4))
        return self._workers.cpus() * (1 + min(at_hand, _MOST_AT_HAND))

    def _ordinary_slots(self) -> int:
        """How many ordinary jobs may be in flight: while express jobs come, a CPU for each of those stays free, for a
        core that calculates beside another, or in turn with it, is slower. One CPU always goes on with ordinary work.
        """
        express = self._in_flight[Priority.EXPRESS]
        if express:
            self._express_at = self._clock()
        elif self._clock() - self._express_at > _KEPT_FREE_S:
            return self._slots()
        return max(1, self._workers.cpus() - max(1, express))

    def _join(self, job: Job) -> asyncio.Future[Outcome]:
        """The future of the job: of the calculation of equal jobs, of the store, or of a new calculation."""
        work = self._work.get(job.calculation)
        if work is None:
            stored = self._stored(job.key)
            if stored is not None:
                future = asyncio.get_running_loop().create_future()
                future.set_result(self._remember(Outcome(job.job_id, Status.DONE, stored, cached=True)))
                return future
            if len(self._queue) >= MOST_WAITING:
                raise QueueFull(f"{MOST_WAITING} jobs wait already; try again later")
            work = self._work[job.calculation] = _Work(job, self._ticket(job, job.priority))
            work.tell(Status.QUEUED)
            self._queue.push(work.ticket)
        elif work.ticket.waiting and list(Priority).index(job.priority) < list(Priority).index(work.ticket.priority):
            self._queue.withdraw(work.ticket)  # whoever is more urgent takes the others along
            work.ticket = self._ticket(work.job, job.priority)
            self._queue.push(work.ticket)
        future = work.waiters.setdefault(job.job_id, asyncio.get_running_loop().create_future())
        self._calculation_of[job.job_id] = job.calculation
        self.fill()
        return future

    def _ticket(self, job: Job, priority: Priority) -> Ticket:
        return Ticket(job.calculation, job.customer, priority, 1.0 + facets_in(job.model, job.bytes), self._clock())

    def _leave(self, job_id: str, outcome: Outcome) -> None:
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
        work.tell(Status.CANCELLED)
        self._queue.withdraw(work.ticket)
        if work.running is not None:
            work.running.cancel(force=False)
            stopping = work.running
            asyncio.get_running_loop().call_later(_GRACE_S, lambda: stopping.cancel(force=True))

    async def _calculate(self, work: _Work, priority: Priority) -> None:
        """Run the calculation until it ends or has lost too many workers, then tell all who wait."""
        try:
            outcome = await self._attempt(work, priority)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of ours, not of the model: the job says so, and other jobs go on
            outcome = Outcome("", Status.FAILED, code="internal_error", message=" ".join(f"{error!r}".split()))
        finally:
            self._in_flight[priority] -= 1
            work.running = None
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

    async def _attempt(self, work: _Work, priority: Priority) -> Outcome:
        job = replace(work.job, priority=priority)  # of whoever is most urgent among those who wait
        memory = memory_needed(work.job.model, work.job.bytes)
        lost: Lost | None = None
        while work.attempts < MOST_ATTEMPTS and work.waiters:
            memory = min(memory, self._workers.most_memory())
            work.attempts += 1
            work.running = self._workers.start(job, memory)
            work.tell(Status.RUNNING)
            try:
                result = await work.running.result()
            except Lost as error:
                self._counters.retried(error.code)
                lost, memory = error, 2 * memory  # a process that was ended may have wanted more than it asked for
                continue
            if result.analysis is None:
                return Outcome("", Status.FAILED, code=result.code, message=result.message, attempts=work.attempts)
            self._seconds += (result.seconds - self._seconds) / _SMOOTHING
            return Outcome("", Status.DONE, result.analysis, attempts=work.attempts)
        if lost is None:
            return Outcome("", Status.CANCELLED, code="cancelled", message="the job was cancelled")
        message = f"{lost} {work.attempts} times, last with {memory // 2 >> 20} MiB; simplify the model"
        return Outcome("", Status.FAILED, code=lost.code, message=message, attempts=work.attempts)

    def _remember(self, outcome: Outcome) -> Outcome:
        self._ended[outcome.job_id] = outcome
        while len(self._ended) > _MOST_REMEMBERED:
            self._ended.popitem(last=False)
        return outcome
