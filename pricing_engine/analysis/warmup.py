"""Compile every kernel into numba's cache (``make setup``), so that the first model does not wait for it."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from pricing_engine.analysis.kernel_cache import discard_stale
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.mesh.samples import SAMPLES, Sample, box


def warm() -> None:
    """Measure small models that together call every kernel: clean, overlapping, open, hollow, reversed, text."""
    import numpy as np

    signet = SAMPLES["signet"]()
    vertices, facets = box(np.zeros(3), np.full(3, 10.0))
    hollow = (box(np.full(3, 3.0), np.full(3, 6.0))[0], facets[:, ::-1])
    overlapping_box, touching_box = (
        box(np.full(3, 5.0), np.full(3, 15.0))[0],
        box(np.array([10.0, 10, 0]), np.array([20.0, 20, 10]))[0],
    )
    models = [
        replace(signet, name="overlapping"),
        _sample("closed", (vertices, facets)),
        _sample("open", (vertices, facets[:-1])),
        _sample("turned", (vertices, np.concatenate([facets[:-1], facets[-1:, ::-1]]))),
        _sample("hollow", (vertices, facets), hollow),
        _sample("reversed", (vertices, facets), (overlapping_box, facets[:, ::-1])),
        _sample("touching", (vertices, facets), (touching_box, facets)),
    ]
    partials: list[PartialAnalysis] = []
    with tempfile.TemporaryDirectory() as folder:
        for sample in models:
            measure(
                sample.write_stl(Path(folder)),
                None,
                Settings(layer_height_mm=0.5),
                threads=2,
                on_progress=partials.append,
            )
        text = Path(folder) / "text.stl"
        corners = "".join(
            "facet normal 0 0 0\nouter loop\n"
            + "".join(f"vertex {x} {y} {z}\n" for x, y, z in triangle)
            + "endloop\nendfacet\n"
            for triangle in vertices[facets]
        )
        text.write_text(f"solid warm\n{corners}endsolid warm\n")
        measure(text, None, Settings(layer_height_mm=0.5), threads=2, on_progress=partials.append)


def _sample(name: str, *shells: object) -> Sample:
    return Sample(name, name, shells, 0.0, "")  # type: ignore[arg-type]


if __name__ == "__main__":
    started = time.perf_counter()
    discard_stale()
    warm()
    print(f"kernels compiled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
