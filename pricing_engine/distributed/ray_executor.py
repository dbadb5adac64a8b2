"""A Spread that shares a large model's parts between the task that has the model and Ray tasks wherever CPUs are free.

The task never waits idle while there is a part to do, so it keeps its CPU and its warm process: on one CPU the parts
run here, one after the other, and nothing is copied into the object store. Others are given a few parts at a time, in
the order in which stages begin. What they keep for too long is done here as well, and whoever is first counts (backup
tasks: Dean and Ghemawat, 2004); both would give the same bytes.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition, Thread
from types import TracebackType
from typing import Any, TypeVar

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayError, WorkerCrashedError

from pricing_engine.analysis.executor import Part, Results
from pricing_engine.distributed.limits import run_limited
from pricing_engine.distributed.niceness import ORDINARY_NICENESS

T = TypeVar("T")
LOST = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)
"""What Ray raises when a task's process or node is gone: the task itself may be innocent."""

_MAX_ATTEMPTS = 4
_STOP_TIMEOUT_S = 0.5  # for a part that is not needed any more: most end by themselves, and their workers stay warm
_QUEUED_PER_CPU = 2  # parts for each CPU elsewhere: one that runs, one at hand
_POLL_INTERVAL_S = 1.0
_STEAL_AFTER_S = 1.0  # with parts that run elsewhere, when there is nothing else to do here


@dataclass(eq=False, slots=True)
class _SharedValue:
    """A value, and its place in the object store once somebody elsewhere needs it."""

    value: Any
    reference: ray.ObjectRef[Any] | None = None

    def put(self) -> ray.ObjectRef[Any]:
        if self.reference is None:
            self.reference = ray.put(self.value)
        return self.reference


@dataclass(eq=False, slots=True)
class _Stage:
    """The parts of one stage: results by slot, and how many are still missing."""

    name: str
    part: Part[Any]
    arguments: tuple[Any, ...]
    results: list[Any]
    missing: int
    error: BaseException | None = None


@dataclass(eq=False, slots=True)
class _PartCall:
    """One part of a stage: its slot, its range, how often it was begun elsewhere, and whether its result is there."""

    stage: _Stage
    slot: int
    lo: int
    hi: int
    attempts: int = 0
    done: bool = False


@ray.remote(max_retries=0)
def run_part(part: Part[T], lo: int, hi: int, threads: int, *arguments: Any) -> T:
    """One part on a worker; large arguments are views of the node's object store.

    A model of many parts runs long, so each of its parts gives way to express jobs from the start.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) >= ORDINARY_NICENESS:
        return part(lo, hi, threads, *arguments)
    return run_limited(lambda: part(lo, hi, threads, *arguments), None, niceness=ORDINARY_NICENESS, stop_timeout_s=_STOP_TIMEOUT_S)


@dataclass(eq=False)
class RayExecutor:
    """Runs parts here and as tasks with ``options`` (CPUs, environment), named after stage, range and model.

    A part whose worker dies runs again, elsewhere if its node died. Made, used and left by one thread; leaving ends
    what still runs elsewhere.
    """

    label: str
    threads: int
    options: Mapping[str, Any]
    _pending: deque[_PartCall] = field(default_factory=deque, init=False)
    _remote: dict[ray.ObjectRef[Any], _PartCall] = field(default_factory=dict, init=False)
    _last_result_at: float = field(default=float("-inf"), init=False)  # when a result last came from elsewhere
    _changed: Condition = field(default_factory=Condition, init=False)  # its lock guards all of these
    _closed: bool = field(default=False, init=False)
    _scheduler: Thread | None = field(default=None, init=False)

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            remaining = list(self._remote)
            self._changed.notify_all()
        for reference in remaining:
            ray.cancel(reference)

    def share(self, value: T) -> T:
        """``value``, put into the object store once a part runs elsewhere, for every part there to read uncopied."""
        shared: Any = _SharedValue(value)
        return shared  # type: ignore[no-any-return]

    def submit(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Offer the parts to whoever has a CPU free."""
        offsets = range(0, count, grain)
        submitted = _Stage(stage, part, arguments, [None] * len(offsets), len(offsets))
        with self._changed:
            self._pending.extend(_PartCall(submitted, slot, lo, min(lo + grain, count)) for slot, lo in enumerate(offsets))
            self._changed.notify_all()
        if self._scheduler is None:  # while a task's main thread waits, Ray takes its CPU away: this one waits
            self._scheduler = Thread(target=self._schedule, name="parts elsewhere", daemon=True)
            self._scheduler.start()
        return lambda: self._join(submitted)

    def _join(self, stage: _Stage) -> list[Any]:
        """Do parts right here, those of ``stage`` first, until all of it is there."""
        while (call := self._next_local(stage)) is not None:
            arguments = (each.value if isinstance(each, _SharedValue) else each for each in call.stage.arguments)
            result = call.stage.part(call.lo, call.hi, self.threads, *arguments)
            with self._changed:
                self._finish(call, result)
                duplicates = [reference for reference, submitted in self._remote.items() if submitted is call]
            for reference in duplicates:
                ray.cancel(reference)
        if stage.error is not None:
            raise stage.error
        return stage.results

    def _next_local(self, stage: _Stage) -> _PartCall | None:
        """The part to do here; None when ``stage`` is complete or has failed."""
        with self._changed:
            while stage.missing and stage.error is None:
                pending = next((call for call in self._pending if call.stage is stage), None)
                if pending is None and self._pending:
                    pending = self._pending[0]  # of a later stage: it has to be done too
                if pending is not None:
                    self._pending.remove(pending)
                    return pending
                overdue = [call for call in self._remote.values() if call.stage is stage and not call.done]
                if overdue and time.monotonic() > self._last_result_at + _STEAL_AFTER_S:
                    return overdue[-1]  # the last that was sent has the least chance of having begun
                self._changed.wait(_STEAL_AFTER_S)
        return None

    def _finish(self, call: _PartCall, result: Any) -> None:
        """Note a result; of one that came twice, the first. The lock is held."""
        if not call.done:
            call.done = True
            call.stage.results[call.slot] = result
            call.stage.missing -= 1
            self._changed.notify_all()

    def _schedule(self) -> None:
        """Keep the CPUs elsewhere busy until all is over."""
        counted_at, capacity = float("-inf"), 0
        while True:
            now = time.monotonic()
            if now - counted_at > _POLL_INTERVAL_S:
                counted_at, capacity = now, _QUEUED_PER_CPU * (int(ray.cluster_resources().get("CPU", 0.0)) - self.threads)
            with self._changed:
                if self._closed:
                    return
                available = max(0, capacity - len(self._remote))
                calls = [self._pending.popleft() for _ in range(min(available, len(self._pending)))]
                if not calls and not self._remote:
                    self._changed.wait(_POLL_INTERVAL_S)
            for call in calls:
                self._send(call)
            if self._remote:
                done, _ = ray.wait(list(self._remote), timeout=_POLL_INTERVAL_S)
                for reference in done:
                    self._receive(reference)

    def _send(self, call: _PartCall) -> None:
        call.attempts += 1
        stage = call.stage
        arguments = (each.put() if isinstance(each, _SharedValue) else each for each in stage.arguments)
        task = run_part.options(name=f"{stage.name} {call.lo}-{call.hi} of {self.label}", **self.options)
        reference = task.remote(stage.part, call.lo, call.hi, self.threads, *arguments)
        with self._changed:
            self._remote[reference] = call
            closed = self._closed
        if closed:
            ray.cancel(reference)

    def _receive(self, reference: ray.ObjectRef[Any]) -> None:
        result, error = None, None
        try:
            result = ray.get(reference)
        except RayError as failure:
            error = failure
        with self._changed:
            call = self._remote.pop(reference)
            if error is None:
                self._last_result_at = time.monotonic()
                self._finish(call, result)
            elif isinstance(error, LOST) and call.attempts < _MAX_ATTEMPTS and not call.done:
                self._pending.appendleft(call)
                self._changed.notify_all()
            elif not call.done:
                call.stage.error = error
                self._changed.notify_all()
