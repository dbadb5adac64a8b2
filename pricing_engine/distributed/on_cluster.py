"""A Spread that runs a large model's parts as Ray tasks."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError

from pricing_engine.analysis.spread import Part, Results

T = TypeVar("T")
LOST = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)
"""What Ray raises when a task's process or node is gone: the task itself may be innocent."""

_MOST_ATTEMPTS = 4
_WINDOW = 2  # parts a CPU of the cluster that are in Ray's hands: one runs, the next is at hand, others can still pass


@dataclass(slots=True)
class _Stage:
    """Parts of one stage: their ``results`` in order, and how many are still ``missing``."""

    name: str
    part: Part[Any]
    arguments: tuple[Any, ...]
    results: list[Any]
    missing: int


@dataclass(slots=True)
class _Call:
    stage: _Stage
    slot: int
    lo: int
    hi: int
    attempts: int = 0


@ray.remote(max_retries=0)
def run_part(part: Part[T], lo: int, hi: int, threads: int, *arguments: Any) -> T:
    """One part on a worker; large arguments are views of the node's object store."""
    return part(lo, hi, threads, *arguments)


class OnCluster:
    """Runs parts as tasks with ``options`` (CPUs, memory, resources), named after the model, stage and range.

    Urgent parts go before others, and only a few a CPU are in Ray's hands at a time, so one large model does not fill
    the nodes' queues. A part whose worker dies runs again, elsewhere if its node died. For one thread.
    """

    def __init__(self, label: str, threads: int, options: Mapping[str, Any]) -> None:
        self.threads = threads
        self._label, self._options = label, options
        self._waiting: list[tuple[bool, int, _Call]] = []
        self._running: dict[ray.ObjectRef[Any], _Call] = {}
        self._count = 0
        self._window = max(2, round(_WINDOW * ray.cluster_resources().get("CPU", 1)))

    def hold(self, value: T) -> T:
        """A reference to ``value`` in the object store, where every part reads it without a copy."""
        reference: Any = ray.put(value)
        return reference  # type: ignore[no-any-return]

    def start(
        self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any, urgent: bool = True
    ) -> Results[T]:
        """Queue the parts and hand as many to Ray as there is room for."""
        starts = range(0, count, grain)
        this = _Stage(stage, part, arguments, [None] * len(starts), len(starts))
        for slot, lo in enumerate(starts):
            self._queue(_Call(this, slot, lo, min(lo + grain, count)), urgent)
        self._fill()

        def join() -> list[T]:
            while this.missing:
                self._wait()
            return this.results

        return join

    def _queue(self, call: _Call, urgent: bool) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (not urgent, self._count, call))

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._window:
            _, _, call = heapq.heappop(self._waiting)
            call.attempts += 1
            stage = call.stage
            task = run_part.options(name=f"{stage.name} {call.lo}-{call.hi} of {self._label}", **self._options)
            self._running[task.remote(stage.part, call.lo, call.hi, self.threads, *stage.arguments)] = call

    def _wait(self) -> None:
        """Wait for a part of any stage to end, and let the next begin."""
        done, _ = ray.wait(list(self._running), num_returns=1)
        for reference in done:
            call = self._running.pop(reference)
            try:
                call.stage.results[call.slot] = ray.get(reference)
                call.stage.missing -= 1
            except LOST:
                if call.attempts >= _MOST_ATTEMPTS:
                    raise
                self._queue(call, urgent=True)
        self._fill()
