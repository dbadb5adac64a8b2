"""A Spread that runs a large model's parts as Ray tasks."""

from __future__ import annotations

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


@dataclass(slots=True)
class _Call:
    """One part: its place among its stage's results, its range, and how often it was begun."""

    slot: int
    lo: int
    hi: int
    attempts: int = 0


@ray.remote(max_retries=0)
def run_part(part: Part[T], lo: int, hi: int, threads: int, *arguments: Any) -> T:
    """One part on a worker; large arguments are views of the node's object store."""
    return part(lo, hi, threads, *arguments)


class OnCluster:
    """Runs parts as tasks with ``options`` (CPUs, environment), named after the stage, the range and the model.

    Ray begins them in the order in which stages are started. A part whose worker dies runs again, elsewhere if its node
    died. For one thread.
    """

    def __init__(self, label: str, threads: int, options: Mapping[str, Any]) -> None:
        self.threads = threads
        self._label, self._options = label, options

    def hold(self, value: T) -> T:
        """A reference to ``value`` in the object store, where every part reads it without a copy."""
        reference: Any = ray.put(value)
        return reference  # type: ignore[no-any-return]

    def start(self, stage: str, part: Part[T], count: int, grain: int, *arguments: Any) -> Results[T]:
        """Hand the parts to Ray."""
        running: dict[ray.ObjectRef[T], _Call] = {}

        def begin(call: _Call) -> None:
            call.attempts += 1
            task = run_part.options(name=f"{stage} {call.lo}-{call.hi} of {self._label}", **self._options)
            running[task.remote(part, call.lo, call.hi, self.threads, *arguments)] = call

        starts = range(0, count, grain)
        results: list[Any] = [None] * len(starts)
        for slot, lo in enumerate(starts):
            begin(_Call(slot, lo, min(lo + grain, count)))

        def join() -> list[T]:
            while running:
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                call = running.pop(done)
                try:
                    results[call.slot] = ray.get(done)
                except LOST:
                    if call.attempts >= _MOST_ATTEMPTS:
                        raise
                    begin(call)
            return results

        return join
