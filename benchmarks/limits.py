"""``make bench``, second part: what has no peer. Cold quote, repricing, shuffled facets, growth and memory.

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
    """Measure each and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in meshes.SIZES:
        parser.add_argument(f"--{name}", type=Path, help="a binary STL instead of the benchmark's own")
    chosen = parser.parse_args()
    own = {} if chosen.small and chosen.mid and chosen.large else meshes.make(ROOT / ".facet" / "bench")
    small, mid, large = (getattr(chosen, name) or own[name] for name in meshes.SIZES)
    table = Table(title="Limits", title_justify="left")
    for column in ("what", "figure", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(f"cold facet quote, {small.name}", f"{cold_quote(small):.2f} s", "3 s", "1.5 s")
    table.add_row("repricing for every material of casting", f"{1000 * repricing(small):.2f} ms", "1 ms", "")
    ours = [sys.executable, "-m", "benchmarks.facet_items"]
    with tempfile.TemporaryDirectory() as folder:
        mixed = shuffled(mid, Path(folder) / "shuffled.stl")
        given, loose = (measure(ours, "inspect", path, 3)["seconds"] for path in (mid, mixed))
    table.add_row("shuffled facets, whole inspect", f"{loose / given:.2f} x", "1.5 x", "")
    big = measure(ours, "inspect", large, 1)
    table.add_row("inspect, large over mid", f"{big['seconds'] / given:.2f} x", "4.8 x", "")
    table.add_row("peak memory, large inspect", f"{big['peak_mib']:.0f} MiB", "1280 MiB", "1024 MiB")
    Console(width=110).print(table)


def cold_quote(model: Path) -> float:
    """Median seconds of a new process that quotes ``model`` for every material, nothing cached but compiled kernels."""
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        command = [sys.executable, "-m", "pricing_engine", "quote", str(model), "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def repricing(model: Path) -> float:
    """Median seconds to price an Analysis at hand for every material of casting."""
    from pricing_engine.analysis.measure import Settings
    from pricing_engine.analysis.measure import measure as analyse
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quote import Request, quote

    analysis, book, request = analyse(model, None, Settings(), None).analysis, load_price_book(), Request()
    seconds = []
    for _ in range(200):
        begin = time.perf_counter()
        quote(analysis, book, request)
        seconds.append(time.perf_counter() - begin)
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
