"""``make bench``: each work item of ours beside its fastest peer, in fresh processes, on the same cores, in turn.

python -m benchmarks.engine --peers VENV_PYTHON [--models FILE ...] [--only ITEM ...] [--repeats 3] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import meshes

ROOT = Path(__file__).parent.parent
ITEMS = ["load", "mass", "ray", "sphere", "slices", "self_intersections", "orientation", "inspect"]
FLOOR_AND_GOAL = {
    "load": (2.0, 4.0), "mass": (1.5, 4.0), "ray": (0.8, 1.5), "sphere": (4.0, 15.0), "slices": (3.0, 10.0),
    "self_intersections": (0.7, 1.5), "orientation": (2.0, 10.0), "inspect": (2.0, 8.0),
}  # fmt: skip
# Tweaker-3 is in no registry: its time on the 1.38 M facet armadillo, extended mode, 18 to 24 orientations.
TWEAKER_S_AT_1384K = 20.0


def main() -> None:
    """Run, print a table a model, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="Python of the venv with the peers")
    parser.add_argument("--models", nargs="*", type=Path, help="models to use instead of the benchmark's own")
    parser.add_argument("--only", nargs="*", choices=ITEMS, default=ITEMS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    models = chosen.models or list(meshes.make(ROOT / ".facet" / "bench").values())
    everything = []
    for model in models:
        rows = compare(model, chosen.only, chosen.peers, chosen.repeats)
        show(model, rows)
        everything.append({"model": model.name, "rows": rows})
    if chosen.json:
        chosen.json.write_text(json.dumps(everything, indent=1) + "\n")


def compare(model: Path, items: list[str], peers: str, repeats: int) -> list[dict[str, Any]]:
    """One row an item: our seconds, the peer's, their ratio, our peak memory."""
    facets = (model.stat().st_size - 84) // 50
    rows: list[dict[str, Any]] = []
    for item in items:
        ours = measure([sys.executable, "-m", "benchmarks.ours"], item, model, repeats)
        if item == "orientation":
            peer = {"seconds": TWEAKER_S_AT_1384K * facets / 1_383_712}
        elif item == "inspect":
            peer = {"seconds": sum(row["peer"] or 0.0 for row in rows)}
        else:
            peer = measure([peers, str(ROOT / "benchmarks" / "peers.py")], item, model, repeats)
        mine, theirs = ours.get("seconds"), peer.get("seconds")
        rows.append({
            "item": item, "facets": facets, "ours": mine, "peer": theirs,
            "ratio": theirs / mine if mine and theirs else None,
            "peak_mib": ours.get("peak_mib"), "value": ours.get("value"), "peer_value": peer.get("value"),
            "failed": ours.get("failed") or peer.get("failed"),
        })  # fmt: skip
    return rows


def measure(command: list[str], item: str, model: Path, repeats: int) -> dict[str, Any]:
    """The JSON line that the worker prints; a worker that fails says so in ``failed``."""
    done = subprocess.run(
        [*command, item, str(model), str(repeats)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def show(model: Path, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one model."""
    table = Table(title=f"{model.name}: {rows[0]['facets']:,} facets", title_justify="left")
    for column in ("item", "ours, s", "peer, s", "peer / ours", "floor", "goal", "peak MiB", "note"):
        table.add_column(column, justify="left" if column in ("item", "note") else "right")
    for row in rows:
        floor, goal = FLOOR_AND_GOAL[row["item"]]
        ratio = row["ratio"]
        colour = "dim" if ratio is None else "green" if ratio >= goal else "yellow" if ratio >= floor else "red"
        table.add_row(
            row["item"], *(f"{x:.4f}" if x else "-" for x in (row["ours"], row["peer"])),
            f"[{colour}]{ratio:.2f}[/]" if ratio else "-", f"{floor:g}", f"{goal:g}",
            f"{row['peak_mib']:.0f}" if row["peak_mib"] else "-", row["failed"] or "",
        )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
