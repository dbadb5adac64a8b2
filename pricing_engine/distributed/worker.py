"""What runs on a worker: the task that analyses one model."""

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

_QUICK_S = 0.2  # what ends sooner has nothing to tell on the way: its price is there
_REPORT_EVERY_S = 0.1
_LAST_MESSAGE_S = 2.0  # for the dispatcher to learn why this process ends

_log = logging.getLogger(__name__)

Report = Callable[[PartialAnalysis], None]


def assigned_threads() -> int:
    """The whole CPUs that Ray gave this task, at least one: Ray's ``num_cpus`` does not limit threads by itself."""
    cpus: float = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
    return max(1, round(cpus))


def analyse(order: AnalysisTask, content: bytes | None = None) -> AnalysisResult:
    """Analyse the model of ``order``, or ``content`` of that name: a small one right here, a large one in parts."""
    file: AbstractContextManager[Path] = local_file(order.model) if content is None else spooled(order.model, content)
    threads = assigned_threads()
    name = Path(order.model).name

    report = _reporter(order.calculation) if order.calculation else None
    try:
        with file as path, ExitStack() as whole:

            def spread_for(facets: int) -> RayExecutor | None:
                if facets < SMALL_FACETS:
                    return None
                return whole.enter_context(RayExecutor(name, threads, order.options))

            analysis = measure(path, order.unit, order.settings, threads, spread_for, report).analysis
    except ModelError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error
        return AnalysisResult(None, error.code, f"{name}: {error}")
    if order.sha256 is not None and analysis.model.sha256 != order.sha256:
        return AnalysisResult(
            None, "model_changed", f"{name}: the stored model is not the one that was sent; upload it again"
        )
    _metrics().analysed(analysis.model.facets, analysis.elapsed_s)
    encoded = json.dumps(analysis.to_dict(), allow_nan=False).encode()
    return AnalysisResult(encoded, seconds=analysis.elapsed_s["total"])


@cache
def limited(work: Callable[[AnalysisTask], AnalysisResult]) -> Callable[[AnalysisTask], AnalysisResult]:
    """``work`` as a worker's task does it: under the limits of its order."""

    def task(order: AnalysisTask) -> AnalysisResult:
        if order.limits is None:
            return work(order)
        try:
            return run_limited(
                lambda: work(order),
                order.limits,
                on_long=lambda: _report_long(order.run),
                on_kill=lambda code: _report_limit(order.run, code),
                niceness=order.niceness,
            )
        except LimitExceeded as error:
            return AnalysisResult(None, error.code, limit_message(error.code, order.limits))

    return task


def _report_long(run: str) -> None:
    try:
        _dispatcher().ran_long.remote(run)
    except ValueError as error:  # no dispatcher: its slots are gone too
        _log.warning("run %s was not reported as long: %s", run, error)


def _report_limit(run: str, code: str) -> None:
    ray.get(_dispatcher().limit_exceeded.remote(run, code), timeout=_LAST_MESSAGE_S)


def no_work() -> None:
    """Begin a worker where none is idle, so that the next task finds one that is warm."""


def stay(seconds: float) -> None:
    """Keep a worker busy for a moment, so that the next task gets another one."""
    time.sleep(seconds)


@cache
def _metrics() -> WorkerMetrics:
    """One for the process."""
    return WorkerMetrics()


def _reporter(calculation: str) -> Report:
    """Tell the dispatcher what is known by now, not sooner and not more often than anybody could read."""
    told = time.monotonic() + _QUICK_S - _REPORT_EVERY_S

    def report(partial: PartialAnalysis) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < _REPORT_EVERY_S:
            return
        try:
            _dispatcher().stage_ended.remote(calculation, partial)
            told = now
        except ValueError as error:  # nobody listens any more: the analysis does not depend on it
            _log.warning("how far %s is was not told: %s", calculation, error)
            told = float("inf")

    return report


@cache
def _dispatcher() -> Any:
    """Looked up once for the process: a handle in every order would cost more than the order."""
    return ray.get_actor(DISPATCHER, NAMESPACE)


@ray.remote(max_retries=0)
def engine_version() -> str:
    """The version of the engine that the cluster's workers run."""
    return ENGINE_VERSION
