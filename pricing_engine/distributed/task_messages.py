"""What a worker's task is given, what it gives back, and how it can be lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pricing_engine.analysis.settings import Settings
from pricing_engine.distributed.errors import DistributedError
from pricing_engine.distributed.limits import Limits


@dataclass(frozen=True, slots=True)
class AnalysisTask:
    """What a worker shall analyse: one argument, because each one costs Ray as much as a small message.

    The model at ``model``; ``sha256``, if given, of what was stored there. Its parts, if it is large, become tasks with
    ``options``. The dispatcher hears of each stage that ends, if a ``calculation`` is named. ``limits`` end the task;
    under ``run`` the dispatcher knows this attempt. ``niceness``: that it starts with.
    """

    model: str
    unit: str | None
    settings: Settings
    options: Mapping[str, Any]
    sha256: str | None = None
    calculation: str = ""
    limits: Limits | None = None
    run: str = ""
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """What the task found: ``analysis``, its JSON, or the ``code`` and ``message`` of what is wrong with the model.

    ``seconds``: what the analysis took on its worker.
    """

    analysis: bytes | None
    code: str = ""
    message: str = ""
    seconds: float = 0.0


class WorkerLost(DistributedError):
    """The worker or its node was gone before the task ended. ``code``: worker_lost, node_lost or out_of_memory."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


def limit_message(code: str, limits: Limits) -> str:
    """Why a job was stopped, for whoever sent the model. ``code``: deadline or out_of_memory."""
    if code == "deadline":
        return f"the model was not measured within {limits.cpu_s:.0f} s of computing; repair or simplify it"
    return "the model needed more memory than its worker had"
