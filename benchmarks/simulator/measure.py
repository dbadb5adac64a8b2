"""Time the engine's stages on one thread over a ladder of generated models."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
from rich.progress import track

from benchmarks import meshes
from benchmarks.simulator.stage_times import SCHEMA, STAGES
from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.samples import SAMPLES

LEVELS = (3, 4, 5, 6, 7, 8)
REPEATS = 3
BIG = 7


def measure_ladder(out: Path) -> None:
    """Write the stage times to ``out`` as JSON.

    The models are the benchmarks' figure at six sizes, 1,280 to 1.3 M facets, and the sample jewellery. Takes some 30 s
    of one core; keep the machine otherwise idle.
    """
    machine = _machine()
    with tempfile.TemporaryDirectory() as folder:
        models = list(_models(Path(folder)))
        rungs = {name: _rung(path, 1 if big else REPEATS) for name, path, big in track(models, "timing stages")}
    ladder = [rung for name, rung in rungs.items() if name not in SAMPLES]
    samples = [{"name": name, **rung} for name, rung in rungs.items() if name in SAMPLES]
    content = {
        "schema": SCHEMA, "engine_version": ENGINE_VERSION, "threads": 1, "machine": machine,
        "ladder": ladder, "samples": samples,
    }  # fmt: skip
    out.write_text(json.dumps(content, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    """Return the kind of CPU, its cores, the load, and the versions that affect times."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    split = (line.partition(":") for line in lines)
    fields = {key.strip(): value.strip() for key, _, value in split}
    cpu = " ".join(fields.get(key, "") for key in ("model name", "cpu family", "model"))
    return {
        "cpu": cpu.strip() or platform.processor(), "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2), "system": platform.system(),
        "python": platform.python_version(), "numba": numba.__version__,
    }  # fmt: skip


def _models(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    for name, make in SAMPLES.items():
        yield name, make().write_stl(folder), False
    for level in LEVELS:
        path = folder / f"figure-{level}.stl"
        meshes.write_stl(path, *meshes.figure(level))
        yield path.stem, path, level >= BIG


def _rung(path: Path, repeats: int) -> dict[str, Any]:
    """Return the minimum of several runs, stage by stage: interruptions only add time."""
    runs = [measure(path, None, Settings(), 1).analysis for _ in range(repeats)]
    seconds = {stage: min(float(run.elapsed_s[stage]) for run in runs) for stage in STAGES}
    return {"facets": runs[0].model.facets, "seconds": {stage: round(s, 6) for stage, s in seconds.items()}}
