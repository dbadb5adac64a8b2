"""A simulated world with known stage times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulator.cluster import ClusterSettings, Job
from benchmarks.simulator.stage_times import STAGES, StageTimes
from benchmarks.simulator.study import World
from pricing_engine.distributed.jobs import JobPriority

Floats = NDArray[np.float64]
NO_OVERHEAD = ClusterSettings(cpus=1, boot_s=0, cold_s=0, job_s=0, task_s=0, in_flight=1)
COUNT = 60_000
# One second for 100,000 facets, proportionally.
TIMES = StageTimes(np.array([1e3, 1e7]), np.outer([1e3, 1e7], np.full(len(STAGES), 1 / 100_000 / len(STAGES))))
WORLD = World(TIMES, jobs=2000)


def single_task_job(at: float, priority: JobPriority, seconds: float, customer: str = "a") -> Job:
    """Return a job of one task."""
    return Job(at, priority, customer, ((seconds,),))
