"""Messages of a worker's task: its argument, its result, and the error of a lost worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pricing_engine.analysis.settings import Settings
from pricing_engine.distributed.errors import DistributedError
from pricing_engine.distributed.limits import JobLimits


@dataclass(frozen=True, slots=True)
class AnalysisTask:
    """An analysis to run on a worker: one object, because each argument costs Ray as much as a small message.

    ``model``: path or URL; ``sha256``: the expected digest, if any. The parts of a large model become tasks with
    ``options``. With a ``calculation`` key, the task reports each finished stage to the dispatcher. ``limits`` stop the
    task; ``run`` identifies this attempt. ``niceness``: the initial one.
    """

    model: str
    unit: str | None
    settings: Settings
    options: Mapping[str, Any]
    sha256: str | None = None
    calculation: str = ""
    limits: JobLimits | None = None
    run: str = ""
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """Result of a task: the JSON of the ``analysis``, or the ``code`` and ``message`` of the model's error.

    ``seconds``: duration of the analysis on its worker.
    """

    analysis: bytes | None
    code: str = ""
    message: str = ""
    seconds: float = 0.0


class WorkerLost(DistributedError):
    """The worker or its node ended before the task. ``code``: worker_lost, node_lost or out_of_memory."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


def limit_message(code: str, limits: JobLimits) -> str:
    """Return the customer's message for a job stopped at a limit. ``code``: deadline or out_of_memory."""
    if code == "deadline":
        return f"the model was not measured within {limits.cpu_s:.0f} s of computing; repair or simplify it"
    return "the model needed more memory than its worker had"
