"""What can go wrong on a cluster. ``str(error)`` is one line that says what to do; ``code`` is stable for programs."""

from __future__ import annotations


class DistributedError(Exception):
    """Something between the caller and the worker failed, not the model."""

    code = "distributed_error"


class ClusterUnreachable(DistributedError):
    """No Ray cluster answers at the address."""

    code = "cluster_unreachable"


class ClusterMismatch(DistributedError):
    """The cluster runs another version of Ray, Python or the engine."""

    code = "cluster_mismatch"


class UnknownPriority(DistributedError):
    """A priority that is not express, standard or bulk."""

    code = "unknown_priority"


class BadDeadline(DistributedError):
    """A deadline that is no positive number of seconds."""

    code = "bad_deadline"


class QueueFull(DistributedError):
    """More jobs wait than the dispatcher keeps."""

    code = "queue_full"


class JobFailed(DistributedError):
    """A job ended without an analysis; ``code`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message
