"""Measure a model file: load it, run every stage once and assemble one immutable Analysis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.assemble import assemble
from pricing_engine.analysis.executor import StageExecutor, ThreadExecutor
from pricing_engine.analysis.progress import PartialAnalysis, Stage
from pricing_engine.analysis.schema import Analysis
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.stages import Stopwatch, run_stages
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.threads import default_threads
from pricing_engine.mesh.load import load_model

__all__ = ["Measured", "Settings", "analysis_id", "measure"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The Analysis, and for rendering the repaired mesh and the sphere thickness of its facets (F,) in mm."""

    analysis: Analysis
    mesh: Mesh
    facet_thickness: NDArray[np.floating]


def analysis_id(sha256: str, unit: str | None, settings: Settings) -> str:
    """Return the hash of an analysis's inputs: the model's bytes, the unit, the settings and the engine version."""
    key = {"engine": ENGINE_VERSION, "model": sha256, "unit": unit or "mm", "settings": asdict(settings)}
    return "sha256:" + hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def measure(
    path: Path,
    unit: str | None,
    settings: Settings,
    threads: int | None,
    executor_for: Callable[[int], StageExecutor | None] = lambda facets: None,
    on_progress: Callable[[PartialAnalysis], None] | None = None,
) -> Measured:
    """Read and measure the model at ``path``.

    ``unit``: mm, cm, m or in for formats without a unit. ``threads``: None for all cores; the numbers are the same for
    any value. ``executor_for`` returns the executor of the heavy stages for a number of facets, or None for the threads
    of this process. ``on_progress`` receives the partial analysis after each stage. Raises :class:`ModelError` if the
    model can't be read. O(n log n) in the number of facets.
    """
    threads = threads or default_threads()
    stopwatch = Stopwatch()
    with stopwatch.stage(Stage.TOTAL):
        with stopwatch.stage(Stage.LOAD):
            loaded = load_model(path, unit, threads)
        executor = executor_for(loaded.mesh.facet_count) or ThreadExecutor(threads)
        found = run_stages(loaded.mesh, settings, executor, stopwatch, on_progress)
    analysis = assemble(analysis_id(loaded.sha256, unit, settings), loaded, settings, found, stopwatch.seconds)
    return Measured(analysis, found.repaired.mesh, found.walls.facet_mm)
