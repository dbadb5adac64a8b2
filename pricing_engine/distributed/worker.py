"""The worker's task: analyse one model."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import ray

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import measure
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed.address import DISPATCHER, NAMESPACE
from pricing_engine.distributed.limits import LimitExceeded, run_limited
from pricing_engine.distributed.metrics import WorkerMetrics
from pricing_engine.distributed.model_source import local_file, spooled
from pricing_engine.distributed.ray_executor import RayExecutor
from pricing_engine.distributed.resource_estimate import SMALL_FACETS
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask, limit_message
from pricing_engine.mesh.errors import ModelError

_FIRST_REPORT_S = 0.2  # a shorter analysis reports no progress: its result is there as soon
_REPORT_INTERVAL_S = 0.1
_LIMIT_REPORT_TIMEOUT_S = 2.0  # to report to the dispatcher why this process ends

_log = logging.getLogger(__name__)

ProgressCallback = Callable[[PartialAnalysis], None]


def assigned_threads() -> int:
    """Return the CPUs that Ray assigned to this task, at least one: ``num_cpus`` itself does not limit threads."""
    cpus: float = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
    return max(1, round(cpus))


def analyse(task: AnalysisTask, content: bytes | None = None) -> AnalysisResult:
    """Analyse the model of ``task``, or ``content`` under its name: a small one locally, a large one in parts."""
    file: AbstractContextManager[Path] = local_file(task.model) if content is None else spooled(task.model, content)
    threads = assigned_threads()
    name = Path(task.model).name

    on_progress = _progress_reporter(task.calculation) if task.calculation else None
    try:
        with file as path, ExitStack() as stack:

            def executor_for(facets: int) -> RayExecutor | None:
                if facets < SMALL_FACETS:
                    return None
                return stack.enter_context(RayExecutor(name, threads, task.options))

            analysis = measure(path, task.unit, task.settings, threads, executor_for, on_progress).analysis
    except ModelError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error
        return AnalysisResult(None, error.code, f"{name}: {error}")
    if task.sha256 is not None and analysis.model.sha256 != task.sha256:
        return AnalysisResult(
            None, "model_changed", f"{name}: the stored model is not the one that was sent; upload it again"
        )
    _metrics().analysed(analysis.model.facets, analysis.elapsed_s)
    encoded = json.dumps(analysis.to_dict(), allow_nan=False).encode()
    return AnalysisResult(encoded, seconds=analysis.elapsed_s["total"])


@cache
def with_limits(work: Callable[[AnalysisTask], AnalysisResult]) -> Callable[[AnalysisTask], AnalysisResult]:
    """Return ``work`` as a task under the limits of its argument."""

    def run_task(task: AnalysisTask) -> AnalysisResult:
        if task.limits is None:
            return work(task)
        try:
            return run_limited(
                lambda: work(task),
                task.limits,
                on_long=lambda: _report_long(task.run),
                on_kill=lambda code: _report_limit(task.run, code),
                niceness=task.niceness,
            )
        except LimitExceeded as error:
            return AnalysisResult(None, error.code, limit_message(error.code, task.limits))

    return run_task


def _report_long(run: str) -> None:
    try:
        _dispatcher().mark_long.remote(run)
    except ValueError as error:  # without a dispatcher there are no slots either
        _log.warning("run %s was not reported as long: %s", run, error)


def _report_limit(run: str, code: str) -> None:
    ray.get(_dispatcher().limit_exceeded.remote(run, code), timeout=_LIMIT_REPORT_TIMEOUT_S)


def no_op() -> None:
    """Do nothing: Ray starts a worker for this task if none is idle, which is warm for the next one."""


def occupy_worker(seconds: float) -> None:
    """Occupy a worker, so that the next task is assigned to another one."""
    time.sleep(seconds)


@cache
def _metrics() -> WorkerMetrics:
    """Return the metrics of this process."""
    return WorkerMetrics()


def _progress_reporter(calculation: str) -> ProgressCallback:
    """Return a callback that sends partial analyses to the dispatcher, at most one per interval."""
    last_report = time.monotonic() + _FIRST_REPORT_S - _REPORT_INTERVAL_S

    def on_progress(partial: PartialAnalysis) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report < _REPORT_INTERVAL_S:
            return
        try:
            _dispatcher().stage_finished.remote(calculation, partial)
            last_report = now
        except ValueError as error:  # no dispatcher: the analysis continues without progress reports
            _log.warning("the progress of %s was not reported: %s", calculation, error)
            last_report = float("inf")

    return on_progress


@cache
def _dispatcher() -> Any:
    """Return the dispatcher, looked up once per process: a handle in every task would cost more than the task."""
    return ray.get_actor(DISPATCHER, NAMESPACE)


@ray.remote(max_retries=0)
def engine_version() -> str:
    """Return the version of the engine that the cluster's workers run."""
    return ENGINE_VERSION
