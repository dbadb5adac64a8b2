"""The worst cases of ``tests/support/worst_cases.py``: seconds, work and memory of the analysis of each as a file.

``python -m benchmarks.worst_cases [--sizes 1000 10000 100000] [--kinds KIND ...]``; each file is measured in a separate
process on two threads, after a warm-up on a small model, and stopped after ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import worst_cases

_PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.kernels.runtime.search_counters import counting
from pricing_engine.mesh.errors import ModelError
measure(Path(sys.argv[1]), None, Settings(), 2)
begin, found = time.perf_counter(), {}
with counting() as counts:
    try:
        analysis = measure(Path(sys.argv[2]), None, Settings(), 2).analysis
        found["volume"] = analysis.geometry.volume_mm3
        found["crossing"] = analysis.integrity.self_intersecting_facets
        found["stages"] = {name: round(s, 2) for name, s in analysis.elapsed_s.items()}
    except ModelError as error:
        found["refused"] = type(error).__name__
found["seconds"] = time.perf_counter() - begin
found["work"] = counts.total()
found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
"""


def measure_case(folder: Path, kind: str, n: int, limit: float) -> dict[str, Any]:
    """Measure one file; return ``{"timed_out": limit}`` if it took longer."""
    small, path = folder / "small.ply", folder / f"{kind}.ply"
    small.write_bytes(worst_cases.ply(*worst_cases.tiny_bodies(400)))
    path.write_bytes(worst_cases.ply(*worst_cases.KINDS[kind](n)))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(small), str(path)],
            capture_output=True, text=True, timeout=limit, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"timed_out": limit}
    found: dict[str, Any] = json.loads(done.stdout)
    return {"bytes": path.stat().st_size, **found}


def main() -> None:
    """Print one row per kind and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--kinds", nargs="*", default=list(worst_cases.KINDS))
    parser.add_argument("--limit", type=float, default=60.0)
    arguments = parser.parse_args()
    print(
        f"{'kind':24} {'facets':>7} {'KB':>6} {'s':>7} {'work':>12} {'MiB':>6}  volume, crossing facets, slowest stage"
    )
    with tempfile.TemporaryDirectory(prefix="facet-worst-") as folder:
        for kind in arguments.kinds:
            for n in arguments.sizes:
                row = measure_case(Path(folder), kind, n, arguments.limit)
                if "timed_out" in row:
                    print(f"{kind:24} {n:7} more than {row['timed_out']:.0f} s", flush=True)
                    continue
                stages = row.get("stages") or {}
                slowest = max((s, name) for name, s in stages.items() if name != "total") if stages else row["refused"]
                print(
                    f"{kind:24} {n:7} {row['bytes'] / 1000:6.0f} {row['seconds']:7.2f} {row['work']:12,} "
                    f"{row['peak_mib']:6.0f}  {row.get('volume')}, {row.get('crossing')}, {slowest}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
