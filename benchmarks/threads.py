"""Speed-up of each stage with threads: new processes with 1, 2, 4, ... threads up to the machine's cores.

python -m benchmarks.threads [--model FILE] [--threads N ...] [--only ITEM ...]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import meshes
from benchmarks.engine import ITEMS, ROOT, measure

CORES = len(os.sched_getaffinity(0))


def main() -> None:
    """Measure and print one table: seconds on one thread, and the speed-up on more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model instead of the generated one of 1.3 M facets")
    parser.add_argument("--threads", nargs="+", type=int, default=thread_counts(CORES), metavar="N")
    parser.add_argument("--only", nargs="*", choices=ITEMS, default=ITEMS)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    model = options.model or meshes.make(ROOT / ".facet" / "bench")["mid"]
    table = Table(title=f"{model.name} on {CORES} cores", title_justify="left")
    for column in ("item", "1 thread, s", *(f"{count} threads" for count in options.threads[1:])):
        table.add_column(column, justify="left" if column == "item" else "right")
    for item in options.only:
        seconds = [seconds_with(threads, item, model, options.repeats) for threads in options.threads]
        table.add_row(item, f"{seconds[0]:.4f}", *(f"{seconds[0] / each:.2f} x" for each in seconds[1:]))
    Console(width=150).print(table)


def thread_counts(maximum: int) -> list[int]:
    """Return 1, 2, 4, ... and ``maximum``."""
    return sorted({*(1 << power for power in range(maximum.bit_length())), maximum})


def seconds_with(threads: int, item: str, model: Path, repeats: int) -> float:
    """Return the median seconds of the item; raises RuntimeError with its error if it fails."""
    os.environ["BENCH_THREADS"] = str(threads)
    found = measure([sys.executable, "-m", "benchmarks.facet_items"], item, model, repeats)
    if "failed" in found:
        raise RuntimeError(f"{item} on {threads} threads: {found['failed']}")
    return float(found["seconds"])


if __name__ == "__main__":
    main()
