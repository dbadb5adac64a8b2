"""``make bench``, items without a peer: cold quote, repricing, shuffled facets, growth and memory.

python -m benchmarks.limits [--small FILE --mid FILE --large FILE]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import meshes
from benchmarks.engine import ROOT, measure


def main() -> None:
    """Measure each item and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in meshes.SIZES:
        parser.add_argument(f"--{name}", type=Path, help="a binary STL instead of the benchmark's own")
    options = parser.parse_args()
    own = {} if options.small and options.mid and options.large else meshes.make(ROOT / ".facet" / "bench")
    small, mid, large = (getattr(options, name) or own[name] for name in meshes.SIZES)
    table = Table(title="Limits", title_justify="left")
    for column in ("what", "figure", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(f"cold facet quote, {small.name}", f"{cold_quote(small):.2f} s", "3 s", "1.5 s")
    table.add_row("repricing for every material of casting", f"{1000 * repricing(small):.2f} ms", "1 ms", "")
    facet_items = [sys.executable, "-m", "benchmarks.facet_items"]
    with tempfile.TemporaryDirectory() as folder:
        shuffled_model = shuffled(mid, Path(folder) / "shuffled.stl")
        baseline_s, shuffled_s = (measure(facet_items, "inspect", path, 3)["seconds"] for path in (mid, shuffled_model))
    table.add_row("shuffled facets, complete inspect", f"{shuffled_s / baseline_s:.2f} x", "1.5 x", "")
    large_result = measure(facet_items, "inspect", large, 1)
    table.add_row("inspect, large over mid", f"{large_result['seconds'] / baseline_s:.2f} x", "4.8 x", "")
    table.add_row("peak memory, large inspect", f"{large_result['peak_mib']:.0f} MiB", "1280 MiB", "1024 MiB")
    Console(width=110).print(table)


def cold_quote(model: Path) -> float:
    """Return the median seconds of a new process that quotes ``model`` for every material with compiled kernels."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        command = [sys.executable, "-m", "pricing_engine", "quote", str(model), "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def repricing(model: Path) -> float:
    """Return the median seconds to price an existing Analysis for every material of casting."""
    from pricing_engine.analysis.measure import Settings
    from pricing_engine.analysis.measure import measure as analyse
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quote import Request, quote

    analysis, book, request = analyse(model, None, Settings(), None).analysis, load_price_book(), Request()
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        quote(analysis, book, request)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def shuffled(model: Path, out: Path) -> Path:
    """Write ``model`` (binary STL) to ``out`` with its facets in random order."""
    content = np.fromfile(model, np.uint8)
    facets = content[84:].reshape(-1, 50)
    with out.open("wb") as file:
        file.write(content[:84].tobytes())
        facets[np.random.default_rng(0).permutation(len(facets))].tofile(file)
    return out


if __name__ == "__main__":
    main()
