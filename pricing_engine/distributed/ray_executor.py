"""An executor that distributes a large model's parts between its own task and Ray tasks on free CPUs.

The task runs parts itself while there are any, so it keeps its CPU and its warm process: on one CPU all parts run
locally, one after the other, and nothing is copied into the object store. Other workers get a few parts at a time, in
the order in which stages are submitted. A part that takes too long elsewhere is run locally as well, and the first
result counts (backup tasks: Dean and Ghemawat, 2004); both have the same bytes.
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
"""Errors that Ray raises when a task's process or node ended: the task itself may not be the cause."""

_MAX_ATTEMPTS = 4
_STOP_TIMEOUT_S = 0.5  # for a part that is no longer needed: most finish within it, and their workers stay warm
_QUEUED_PER_CPU = 2  # parts for each remote CPU: one running, one queued
_POLL_INTERVAL_S = 1.0
_STEAL_AFTER_S = 1.0  # without a remote result, an idle task also runs a remote part itself


@dataclass(eq=False, slots=True)
class _SharedValue:
    """A value, and its reference in the object store once a remote part needs it."""

    value: Any
    reference: ray.ObjectRef[Any] | None = None

    def put(self) -> ray.ObjectRef[Any]:
        if self.reference is None:
            self.reference = ray.put(self.value)
        return self.reference


@dataclass(eq=False, slots=True)
class _Stage:
    """The parts of one stage: results by slot, and the number of missing ones."""

    name: str
    part: Part[Any]
    arguments: tuple[Any, ...]
    results: list[Any]
    missing: int
    error: BaseException | None = None


@dataclass(eq=False, slots=True)
class _PartCall:
    """One part of a stage: its slot, its range, the number of remote attempts, and whether it is done."""

    stage: _Stage
    slot: int
    lo: int
    hi: int
    attempts: int = 0
    done: bool = False


@ray.remote(max_retries=0)
def run_part(part: Part[T], lo: int, hi: int, threads: int, *arguments: Any) -> T:
    """Run one part on a worker; large arguments are views of the node's object store.

    A model of many parts runs long, so its parts yield to express jobs from the start.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) >= ORDINARY_NICENESS:
        return part(lo, hi, threads, *arguments)
    return run_limited(
        lambda: part(lo, hi, threads, *arguments),
        None,
        niceness=ORDINARY_NICENESS,
        stop_timeout_s=_STOP_TIMEOUT_S,
    )


@dataclass(eq=False)
class RayExecutor:
    """Runs parts locally and as tasks with ``options`` (CPUs, environment), named after stage, range and model.

    A part whose worker ends is retried, on another node if its node ended. To be used by one thread, as a context
    manager; leaving it cancels remote parts.
    """

    label: str
    threads: int
    options: Mapping[str, Any]
    _pending: deque[_PartCall] = field(default_factory=deque, init=False)
    _remote: dict[ray.ObjectRef[Any], _PartCall] = field(default_factory=dict, init=False)
    _last_result_at: float = field(default=float("-inf"), init=False)  # of a remote part
    _changed: Condition = field(default_factory=Condition, init=False)  # its lock guards all these fields
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
        """Wrap ``value``: the first remote part puts it into the object store, where all read it without a copy."""
        shared: Any = _SharedValue(value)
        return shared  # type: ignore[no-any-return]

    def submit(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Queue the parts for local and remote CPUs."""
        offsets = range(0, count, grain)
        submitted = _Stage(stage, part, arguments, [None] * len(offsets), len(offsets))
        with self._changed:
            self._pending.extend(
                _PartCall(submitted, slot, lo, min(lo + grain, count)) for slot, lo in enumerate(offsets)
            )
            self._changed.notify_all()
        if self._scheduler is None:  # a thread: Ray would release the CPU of a task whose main thread waits
            self._scheduler = Thread(target=self._schedule, name="remote parts", daemon=True)
            self._scheduler.start()
        return lambda: self._join(submitted)

    def _join(self, stage: _Stage) -> list[Any]:
        """Run parts locally, those of ``stage`` first, until it is complete."""
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
        """Return the next part to run locally; None when ``stage`` is complete or has failed."""
        with self._changed:
            while stage.missing and stage.error is None:
                pending = next((call for call in self._pending if call.stage is stage), None)
                if pending is None and self._pending:
                    pending = self._pending[0]  # of a later stage, which is needed too
                if pending is not None:
                    self._pending.remove(pending)
                    return pending
                overdue = [call for call in self._remote.values() if call.stage is stage and not call.done]
                if overdue and time.monotonic() > self._last_result_at + _STEAL_AFTER_S:
                    return overdue[-1]  # the last one sent is the least likely to have started
                self._changed.wait(_STEAL_AFTER_S)
        return None

    def _finish(self, call: _PartCall, result: Any) -> None:
        """Store a result; of duplicates, the first. The caller holds the lock."""
        if not call.done:
            call.done = True
            call.stage.results[call.slot] = result
            call.stage.missing -= 1
            self._changed.notify_all()

    def _schedule(self) -> None:
        """Keep the remote CPUs busy until the executor is closed."""
        counted_at, capacity = float("-inf"), 0
        while True:
            now = time.monotonic()
            if now - counted_at > _POLL_INTERVAL_S:
                counted_at, capacity = (
                    now,
                    _QUEUED_PER_CPU * (int(ray.cluster_resources().get("CPU", 0.0)) - self.threads),
                )
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
