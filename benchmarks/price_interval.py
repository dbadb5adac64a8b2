"""Quality of the price interval: how often it contains the final price, and its width, stage by stage.

python -m benchmarks.price_interval [MODEL_OR_FOLDER ...] [--generated 48] [--quantities 1 20] [--misses] [--json OUT]

Also measures the project's samples, and rings, pendants, hollow and torn shells generated from a seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from pricing_engine.analysis.executor import ThreadExecutor
from pricing_engine.analysis.progress import PartialAnalysis, partial_of
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.stages import Stopwatch, run_stages
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.threads import default_threads
from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.mesh.errors import ModelError
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.samples import SAMPLES, Sample, Shell, box, lathe, openwork_plate, sphere
from pricing_engine.pricing.book import PROCESSES, PriceBook, load_price_book
from pricing_engine.pricing.interval import Interval, Key, price_interval, price_intervals
from pricing_engine.pricing.quote import Request

SUFFIXES = {".stl", ".obj", ".ply", ".off", ".3mf", ".glb"}
STAGES = ("load", "integrity", "geometry", "orientation", "slices", "finishing")


class Row(NamedTuple):
    """One option's interval after a stage: whether it contains the final price, and its width over its middle."""

    model: str
    process: str
    key: Key
    stage: str
    covered: bool
    width: float


def main() -> None:
    """Measure every model, price it after every stage, print a table and, with ``--misses``, the misses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--generated", type=int, default=48)
    parser.add_argument("--quantities", nargs="*", type=int, default=[1, 20])
    parser.add_argument("--misses", action="store_true", help="name the options whose first interval missed the price")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    book, console = load_price_book(), Console()
    rows: list[Row] = []
    quick_scan_ms: list[float] = []
    first_price_ms: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in find_models(options.models, Path(folder), options.generated):
            try:
                mesh = load_model(path, None, default_threads()).mesh
            except ModelError as error:
                console.print(f"{path.name}: {error}")
                continue
            partials = list(measure(mesh))
            rows += price(f"{path.parent.name}/{path.name}", partials, book, options.quantities)
            quick_scan, first = time_first(mesh, book)
            quick_scan_ms.append(quick_scan)
            first_price_ms.append(first)
    show(console, rows)
    console.print(
        f"quick scan, median of all models {statistics.median(quick_scan_ms):.2f} ms; first interval of one option "
        f"{statistics.median(first_price_ms):.2f} ms, at most {max(first_price_ms):.2f} ms"
    )
    if options.misses:
        missed = defaultdict(list)
        for row in rows:
            if row.stage == "load" and not row.covered:
                missed[row.model, row.process].append(f"{row.key[0]} x {row.key[1]}")
        for (model, process), keys in missed.items():
            console.print(f"{model}, {process}: {', '.join(keys)}")
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows]) + "\n")


def find_models(named: list[Path], folder: Path, generated: int) -> Iterator[Path]:
    """Yield each different file once: those named or in named folders, the samples, the generated ones."""
    paths = [path for name in named for path in (sorted(name.rglob("*")) if name.is_dir() else [name])]
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
    paths += [make().write_stl(folder) for make in SAMPLES.values()]
    paths += [sample.write_stl(folder) for sample in generate(generated)]
    digests = set()
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest not in digests:
            digests.add(digest)
            yield path


def measure(mesh: Mesh) -> Iterator[tuple[str, PartialAnalysis]]:
    """Yield the partial analysis after each stage."""
    settings, threads = Settings(), default_threads()
    partial = partial_of(mesh, mass_properties(mesh, threads), settings, threads)
    yield "load", partial
    found = run_stages(mesh, settings, ThreadExecutor(threads), Stopwatch())
    partial = partial.after_integrity(found.repaired)
    yield "integrity", partial
    partial = partial.after_geometry(found.solid)
    yield "geometry", partial
    partial = partial.after_orientation(found.poses)
    yield "orientation", partial
    partial = partial.after_slices(found.layers)
    yield "slices", partial
    yield "finishing", partial.after_finishing(found.reach)


def price(
    model: str, partials: list[tuple[str, PartialAnalysis]], book: PriceBook, quantities: list[int]
) -> Iterator[Row]:
    """Yield every option's interval after every stage, compared with the price of the last stage."""
    for process in PROCESSES:
        request = Request(process, quantities=quantities)
        final = price_intervals(partials[-1][1], book, request, None)
        if final is None:
            return
        before: dict[Key, Interval] | None = None
        for stage, partial in partials:
            before = price_intervals(partial, book, request, before) or {}
            for key, interval in before.items():
                yield Row(model, process, key, stage, interval.low <= final[key].low <= interval.high, interval.width)


def time_first(mesh: Mesh, book: PriceBook) -> tuple[float, float]:
    """Return milliseconds, best of five, of :func:`partial_of` and of the first interval of one option."""
    settings, threads, request = Settings(), default_threads(), Request(materials=("silver-925",))
    mass = mass_properties(mesh, threads)
    scans, prices = [], []
    for _ in range(5):
        start = time.perf_counter()
        partial = partial_of(mesh, mass, settings, threads)
        scans.append(time.perf_counter() - start)
        start = time.perf_counter()
        price_interval(partial, book, request, None)
        prices.append(time.perf_counter() - start)
    return 1e3 * min(scans), 1e3 * min(prices)


def show(console: Console, rows: list[Row]) -> None:
    """Print a row for each stage, process and quantity; the worst material in brackets."""
    table = Table(title=f"{len({row.model for row in rows})} models", caption="in brackets: the worst material")
    for column in ("after", "process", "pieces", "contains the price", "median width"):
        table.add_column(column)
    for stage in STAGES:
        for process, quantity in sorted({(row.process, row.key[1]) for row in rows}):
            covered, width = defaultdict(list), defaultdict(list)
            for row in rows:
                if (row.stage, row.process, row.key[1]) == (stage, process, quantity):
                    for material in ("all", row.key[0]):
                        covered[material].append(row.covered)
                        width[material].append(row.width)
            share = {material: statistics.mean(values) for material, values in covered.items()}
            median = {material: statistics.median(values) for material, values in width.items()}
            covers = f"{share['all']:.1%} ({min(share.values()):.1%})"
            table.add_row(stage, process, str(quantity), covers, f"{median['all']:.1%} ({max(median.values()):.1%})")
    console.print(table)


def generate(count: int, seed: int = 3) -> Iterator[Sample]:
    """Yield jewellery-sized shells of six kinds in turn."""
    random = np.random.default_rng(seed)
    kinds = (_band, _signet, _pave, _pendant, _hollow, _torn)
    for index in range(count):
        make = kinds[index % len(kinds)]
        yield Sample(f"generated{make.__name__}-{index:02}", "", tuple(make(random)), 0.0, "")


def _ring(random: np.random.Generator) -> tuple[Shell, float, float, float]:
    """Return a band with its inner radius, wall and half width in mm."""
    inner, wall, half = random.uniform(7.5, 10.5), random.uniform(0.9, 2.5), random.uniform(0.8, 4.0)
    rim, edge = inner + wall, half * random.uniform(0.6, 1.0)
    profile = np.array([[inner, -half], [rim, -edge], [rim + wall / 10, 0], [rim, edge], [inner, half]])
    return lathe(profile, int(random.integers(64, 257))), inner, wall, half


def _band(random: np.random.Generator) -> list[Shell]:
    return [_ring(random)[0]]


def _signet(random: np.random.Generator) -> list[Shell]:
    ring, inner, wall, _ = _ring(random)
    width, top = random.uniform(3, 7), inner + wall + random.uniform(0.5, 2.5)
    return [ring, box(np.array([inner + 0.2, -width, -0.8 * width]), np.array([top, width, 0.8 * width]))]


def _pave(random: np.random.Generator) -> list[Shell]:
    ring, inner, wall, half = _ring(random)
    count, radius = int(random.integers(12, 50)), random.uniform(0.4, 0.9)
    angles = 2 * np.pi * np.arange(count) / count
    centres = [(inner + wall) * np.array([np.cos(t), np.sin(t), 0]) for t in angles]
    return [ring, *(sphere(at + np.array([0, 0, z]), radius) for z in (-half / 2, half / 2) for at in centres)]


def _pendant(random: np.random.Generator) -> list[Shell]:
    pitch = random.integers(128, 320) / 64  # exact in binary, so that cells share their corners
    return [
        openwork_plate(int(random.integers(3, 9)), pitch, pitch * random.uniform(0.2, 0.45), random.uniform(0.8, 3))
    ]


def _hollow(random: np.random.Generator) -> list[Shell]:
    radius = random.uniform(4, 12)
    vertices, facets = sphere(np.zeros(3), radius * random.uniform(0.5, 0.9))
    return [sphere(np.zeros(3), radius), (vertices, facets[:, ::-1])]


def _torn(random: np.random.Generator) -> list[Shell]:
    vertices, facets = _band(random)[0]
    keep = np.ones(len(facets), bool)
    keep[random.integers(0, len(facets), int(random.integers(1, 30)))] = False
    return [(vertices, facets[keep])]


if __name__ == "__main__":
    main()
