"""How each stage gains from more threads: fresh processes with 1, 2, 4, ... threads up to the machine's cores.

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
    """Measure and print one table: seconds on one thread, and how many times as fast on more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model instead of the benchmark's own of 1.3 M facets")
    parser.add_argument("--threads", nargs="+", type=int, default=thread_counts(CORES), metavar="N")
    parser.add_argument("--only", nargs="*", choices=ITEMS, default=ITEMS)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    model = chosen.model or meshes.make(ROOT / ".facet" / "bench")["mid"]
    table = Table(title=f"{model.name} on {CORES} cores", title_justify="left")
    for column in ("item", "1 thread, s", *(f"{count} threads" for count in chosen.threads[1:])):
        table.add_column(column, justify="left" if column == "item" else "right")
    for item in chosen.only:
        seconds = [seconds_with(threads, item, model, chosen.repeats) for threads in chosen.threads]
        table.add_row(item, f"{seconds[0]:.4f}", *(f"{seconds[0] / each:.2f} x" for each in seconds[1:]))
    Console(width=150).print(table)


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and ``most``."""
    return sorted({*(1 << power for power in range(most.bit_length())), most})


def seconds_with(threads: int, item: str, model: Path, repeats: int) -> float:
    """Median seconds of the item; raises RuntimeError with its words where it fails."""
    os.environ["BENCH_THREADS"] = str(threads)
    found = measure([sys.executable, "-m", "benchmarks.facet_items"], item, model, repeats)
    if "failed" in found:
        raise RuntimeError(f"{item} on {threads} threads: {found['failed']}")
    return float(found["seconds"])


if __name__ == "__main__":
    main()
