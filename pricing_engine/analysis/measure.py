"""Measure a model: every stage over the kernels, once, into one immutable Analysis."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis import model as report
from pricing_engine.analysis.checks import find_checks
from pricing_engine.analysis.finishing import measure_reach
from pricing_engine.analysis.hull import convex_hull
from pricing_engine.analysis.orientation import search_orientations
from pricing_engine.analysis.slices import measure_slices
from pricing_engine.analysis.solid import measure_solid
from pricing_engine.analysis.thickness import measure_thickness
from pricing_engine.kernels.bvh import build_bvh
from pricing_engine.kernels.self_intersection import self_intersections
from pricing_engine.kernels.threads import default_threads
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.load import LoadedModel, load_model
from pricing_engine.mesh.model import Mesh
from pricing_engine.mesh.repair import repair


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller may choose about measuring; part of the analysis id."""

    layer_height_mm: float = 0.05
    thin_limits_mm: tuple[float, ...] = (0.5, 0.8, 1.0)
    reach_radii_mm: tuple[float, ...] = (1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """The Analysis, and what only a picture needs: the repaired mesh and the sphere thickness of its facets (F,) mm."""

    analysis: report.Analysis
    mesh: Mesh
    facet_thickness: NDArray[np.floating]


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


def analysis_id(sha256: str, unit: str | None, settings: Settings) -> str:
    """Hash of all that an analysis depends on: the model's bytes, the unit, the settings and the engine version."""
    key = {"engine": ENGINE_VERSION, "model": sha256, "unit": unit or "", "settings": asdict(settings)}
    return "sha256:" + hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
