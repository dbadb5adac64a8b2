"""Errors of the cluster. ``str(error)`` is one line with a remedy; ``code`` is stable for programs."""

from __future__ import annotations


class DistributedError(Exception):
    """A failure between the caller and the worker, not of the model."""

    code = "distributed_error"


class ClusterUnreachable(DistributedError):
    """No Ray cluster responds at the address."""

    code = "cluster_unreachable"


class ClusterMismatch(DistributedError):
    """The cluster runs another version of Ray, Python or the engine."""

    code = "cluster_mismatch"


class UnknownPriority(DistributedError):
    """A priority that is not express, standard or bulk."""

    code = "unknown_priority"


class BadDeadline(DistributedError):
    """A deadline that is not a positive number of seconds."""

    code = "bad_deadline"


class QueueFull(DistributedError):
    """The dispatcher's queue is full."""

    code = "queue_full"


class JobFailed(DistributedError):
    """A job finished without an analysis; ``code`` is the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message
