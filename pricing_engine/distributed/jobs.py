"""Pricing jobs, their updates and their outcomes. Plain picklable data, independent of Ray and of prices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from pricing_engine.analysis.measure import Settings, analysis_id
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed.errors import BadDeadline, UnknownPriority


class JobPriority(StrEnum):
    """Express precedes standard, standard precedes bulk, and age overrides both."""

    EXPRESS = "express"
    STANDARD = "standard"
    BULK = "bulk"

    @classmethod
    def of(cls, name: str) -> JobPriority:
        """Return the priority called ``name``; raises UnknownPriority."""
        try:
            return cls(name)
        except ValueError:
            raise UnknownPriority(f"unknown priority {name!r}: use {', '.join(cls)}") from None


class JobStatus(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """One model to analyse.

    ``job_id`` is chosen by the owner; submitting it again is harmless. ``model`` is a path or URL that every worker can
    read, ``sha256`` and ``bytes`` describe its content. The cluster is shared fairly between ``customer`` names. A job
    that is not finished ``deadline_s`` after the dispatcher received it fails. ``cpu_limit_s``: maximum CPU seconds on
    its worker, instead of the limit by file size. ``key`` is the id of the analysis; jobs with equal ``calculation``
    are calculated once (it includes the location, so that a wrong one fails alone). Raises UnknownPriority,
    BadDeadline.
    """

    job_id: str
    customer: str
    model: str
    sha256: str
    bytes: int
    unit: str | None = None
    settings: Settings = field(default_factory=Settings)
    priority: JobPriority = JobPriority.STANDARD
    deadline_s: float | None = None
    cpu_limit_s: float | None = None
    key: str = field(init=False)
    calculation: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "priority", JobPriority.of(self.priority))
        for seconds in (self.deadline_s, self.cpu_limit_s):
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise BadDeadline(f"deadline of {seconds} s: give a positive number of seconds, or none")
        object.__setattr__(self, "key", analysis_id(self.sha256, self.unit, self.settings))
        object.__setattr__(self, "calculation", f"{self.key} {self.model}")

    @property
    def file_name(self) -> str:
        """The model's file name, shown in Ray's dashboard."""
        return self.model.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """Progress of a job: ``sequence`` grows by one with each update, ``partial`` holds the results so far."""

    sequence: int
    status: JobStatus
    progress: float
    partial: PartialAnalysis | None = None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """Final outcome of a job.

    DONE has ``analysis``, the JSON of ``Analysis.to_dict()``; FAILED and CANCELLED have ``code`` and a one-line
    ``message``. ``cached``: the analysis was stored already. ``attempts``: runs on a worker.
    """

    job_id: str
    status: JobStatus
    analysis: bytes | None = None
    code: str = ""
    message: str = ""
    cached: bool = False
    attempts: int = 0
