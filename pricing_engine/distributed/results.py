"""What a worker's task gives back, and how it can be lost."""

from __future__ import annotations

from dataclasses import dataclass

from pricing_engine.distributed.errors import DistributedError


@dataclass(frozen=True, slots=True)
class Result:
    """What the task found: ``analysis``, its JSON, or the ``code`` and ``message`` of what is wrong with the model."""

    analysis: bytes | None
    code: str = ""
    message: str = ""


class Lost(DistributedError):
    """The worker or its node was gone before the task ended. ``code``: worker_lost, node_lost or out_of_memory."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message
