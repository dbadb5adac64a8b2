"""Custom metrics of the cluster, through Ray's own exporter (Prometheus on every node)."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from pricing_engine.distributed.dispatcher import Dispatcher
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority

_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300]
_RATES = [1e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6]


class DispatcherMetrics:
    """Metrics of the dispatcher."""

    def __init__(self) -> None:
        self._length = Gauge("facet_queue_length", "Calculations that wait.", tag_keys=("priority",))
        self._age = Gauge("facet_queue_age_seconds", "How long the oldest of them has waited.", tag_keys=("priority",))
        self._in_flight = Gauge("facet_in_flight", "Calculations with workers.")
        self._jobs = Histogram(
            "facet_job_seconds",
            "From submission to the end of a job; cached: it cost no calculation.",
            boundaries=_SECONDS,
            tag_keys=("priority", "status", "cached"),
        )
        self._retries = Counter("facet_retries", "Calculations that lost their worker.", tag_keys=("reason",))

    def job_finished(self, outcome: JobOutcome, job: Job, seconds: float) -> None:
        """Record a finished job."""
        cached = "yes" if outcome.cached else "no"
        self._jobs.observe(seconds, tags={"priority": job.priority, "status": outcome.status, "cached": cached})

    def retried(self, reason: str) -> None:
        """Count a retried calculation."""
        self._retries.inc(tags={"reason": reason})

    def record_queue(self, dispatcher: Dispatcher) -> None:
        """Record the state of the queue."""
        for priority in JobPriority:
            length, age = dispatcher.waiting(priority)
            self._length.set(length, tags={"priority": priority})
            self._age.set(age, tags={"priority": priority})
        self._in_flight.set(dispatcher.in_flight())


class WorkerMetrics:
    """Metrics of a worker."""

    def __init__(self) -> None:
        self._stages = Histogram(
            "facet_stage_seconds", "Time of a stage of an analysis.", boundaries=_SECONDS, tag_keys=("stage",)
        )
        self._rate = Histogram("facet_facets_per_second", "Facets analysed a second.", boundaries=_RATES)

    def analysed(self, facets: int, seconds: Mapping[str, float]) -> None:
        """Record one analysis: seconds by stage, and ``total``."""
        for stage, elapsed in seconds.items():
            self._stages.observe(elapsed, tags={"stage": stage})
        if seconds["total"] > 0:
            self._rate.observe(facets / seconds["total"])
