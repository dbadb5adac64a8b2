"""A pricing job as its owner describes it, and what comes back. Plain data: pickles, knows neither Ray nor prices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from pricing_engine.analysis.measure import Settings, analysis_id
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed.errors import BadDeadline, UnknownPriority


class JobPriority(StrEnum):
    """Express passes standard, standard passes bulk, and age passes all."""

    EXPRESS = "express"
    STANDARD = "standard"
    BULK = "bulk"

    @classmethod
    def of(cls, name: str) -> JobPriority:
        """The priority called ``name``; raises UnknownPriority."""
        try:
            return cls(name)
        except ValueError:
            raise UnknownPriority(f"unknown priority {name!r}: use {', '.join(cls)}") from None


class JobStatus(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """One model to analyse.

    ``job_id`` is the owner's: submitting it again is harmless. ``model`` is a path or URL that every worker can read,
    ``sha256`` and ``bytes`` what is stored there. ``customer`` shares the cluster fairly with other customers.
    A job that is not done ``deadline_s`` after it came to the dispatcher fails. ``cpu_limit_s``: most CPU seconds on
    its worker, where the size of the file shall not decide. ``key`` is the id of the analysis;
    jobs with equal ``calculation`` are calculated once (who says that the model lies elsewhere must show it there).
    Raises UnknownPriority, BadDeadline.
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
        """The model's own name, by which Ray's dashboard shows what is done for it."""
        return self.model.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """How far a job is: ``sequence`` grows by one with each update, ``partial`` is what is known of the model."""

    sequence: int
    status: JobStatus
    progress: float
    partial: PartialAnalysis | None = None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended, once and for all.

    DONE carries ``analysis``, the JSON of ``Analysis.to_dict()``; FAILED and CANCELLED carry ``code`` and a one-line
    ``message``. ``cached``: no worker was asked. ``attempts``: how often a worker was.
    """

    job_id: str
    status: JobStatus
    analysis: bytes | None = None
    code: str = ""
    message: str = ""
    cached: bool = False
    attempts: int = 0
