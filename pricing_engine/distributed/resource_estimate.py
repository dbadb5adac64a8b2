"""Estimate the resources of a model's task from the file alone, never from the cluster.

So the same model gives the same tasks, and the same bytes, on one worker and on a hundred.
"""

from __future__ import annotations

from pricing_engine.distributed.limits import WALL_FOR_CPU, JobLimits

SMALL_FACETS = 200_000
"""Below, a model is one task: splitting it would cost more than it saves."""

_BASE_BYTES = 360 << 20  # Python, numba and Ray in a worker with all kernels loaded
_BYTES_PER_FACET = 190  # the engine's upper bound for an analysis
_FILE_BYTES_PER_FACET = {"stl": 50, "obj": 45, "off": 40, "ply": 18, "glb": 9, "3mf": 6, "step": 2}
_DEFAULT_FILE_BYTES_PER_FACET = 18  # for unknown suffixes
_MAX_PARSE_FACTOR = 3.0  # bytes in memory for each byte of a file that is parsed at once
_MIN_CPU_S, _MAX_CPU_S = 15.0, 900.0
_CPU_S_PER_FACET = 1e-4  # 2.5 times what a model of 1.3 M facets takes on one core
_MIN_GROWTH = 512 << 20  # with the base 872 MiB
_MEMORY_SLACK = 1.25


def estimate_facets(model: str, size: int) -> int:
    """Return the approximate maximum of facets in a file called ``model`` of ``size`` bytes, before it is read."""
    suffix = model.rpartition(".")[2].lower()
    return size // _FILE_BYTES_PER_FACET.get(suffix, _DEFAULT_FILE_BYTES_PER_FACET)


def memory_needed(model: str, size: int) -> int:
    """Return the estimated bytes that a worker needs for the file, by which Ray places the task."""
    parsed = 0 if model.lower().endswith(".stl") else int(_MAX_PARSE_FACTOR * size)
    return _BASE_BYTES + parsed + _BYTES_PER_FACET * estimate_facets(model, size)


def cpu_limit(model: str, size: int) -> float:
    """Return the maximum CPU seconds of the file's analysis."""
    return min(_MAX_CPU_S, _MIN_CPU_S + _CPU_S_PER_FACET * estimate_facets(model, size))


def limits_for(cpu_s: float, memory: int, max_memory: int) -> JobLimits:
    """Return the limits of an attempt of ``cpu_s`` with ``memory`` bytes reserved of the largest node's ``max_memory``.

    Time spent waiting for a worker does not count. An attempt that needs more memory is retried with a larger
    reservation.
    """
    growth = max(_MIN_GROWTH, min(int(_MEMORY_SLACK * (memory - _BASE_BYTES)), max_memory - _BASE_BYTES))
    return JobLimits(cpu_s, WALL_FOR_CPU * cpu_s, growth)
