"""``make bench``: each item of Facet against its fastest peer, in new processes, on the same cores, alternating.

python -m benchmarks.engine --peers VENV_PYTHON [--tweaker FOLDER] [--models FILE ...] [--only ITEM ...]
    [--repeats 3] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import models
from benchmarks.models import Model

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "models"
ITEMS = ["load", "mass", "ray", "sphere", "slices", "self_intersections", "orientation", "inspect"]
_STAGES = {
    "load": (2.0, 4.0), "mass": (1.5, 4.0), "ray": (0.8, 1.5), "sphere": (4.0, 15.0), "slices": (3.0, 10.0),
    "self_intersections": (0.7, 1.5), "orientation": (2.0, 10.0),
}  # fmt: skip
# Of Tweaker-3's extended mode, measured on 29 November 2026 on two cores, for runs without its source.
_RECORDED_TWEAKER_S = {"geometry_ring": 0.14, "pendant": 0.18, "pave": 0.24, "waveform_ring": 0.38}


def main() -> None:
    """Run, print a table per model and a summary, and write the results as JSON with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="Python of the venv with the peers")
    parser.add_argument("--tweaker", type=Path, help="a checkout of Tweaker-3, the peer of the orientation search")
    parser.add_argument("--models", nargs="*", type=Path, help="models to use instead of the benchmark's own")
    parser.add_argument("--only", nargs="*", choices=ITEMS, default=ITEMS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.tweaker:
        os.environ["TWEAKER"] = str(options.tweaker.resolve())
    named = [models.model_for(path, SHARED) for path in options.models or ()]
    results = []
    for model in named or models.make(ROOT / ".facet" / "bench", SHARED):
        rows = compare(model, options.only, options.peers, options.repeats, measured=options.tweaker is not None)
        show(model, rows)
        results.append({"model": model.path.name, "rows": rows})
    summarize(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def compare(model: Model, items: list[str], peers: str, repeats: int, measured: bool) -> list[dict[str, Any]]:
    """Return a row per item: Facet's and the peer's seconds, ratio, peak memory. ``measured``: run Tweaker-3."""
    rows: list[dict[str, Any]] = []
    for item in items:
        facet = measure([sys.executable, "-m", "benchmarks.facet_items"], item, model.path, repeats)
        note = facet.get("failed") or ""
        if item == "orientation" and not measured:
            recorded = _RECORDED_TWEAKER_S.get(model.name)
            peer = {"seconds": recorded} if recorded else {}
            note = note or ("recorded, another run" if recorded else "no peer without --tweaker")
        elif item == "inspect":
            without = [row["item"] for row in rows if row["peer"] is None]
            peer = {"seconds": sum(row["peer"] or 0.0 for row in rows)}
            note = note or (f"no peer for {', '.join(without)}" if without else "")
        else:
            peer = measure([peers, str(ROOT / "benchmarks" / "peers.py")], item, model.path, repeats)
            note = note or peer.get("failed") or ""
        facet_s, peer_s = facet.get("seconds"), peer.get("seconds")
        floor, goal = (model.inspect if item == "inspect" else _STAGES[item]) or (None, None)
        rows.append({
            "item": item, "facet": facet_s, "peer": peer_s, "ratio": peer_s / facet_s if facet_s and peer_s else None,
            "floor": floor, "goal": goal, "peak_mib": facet.get("peak_mib"), "value": facet.get("value"),
            "peer_value": peer.get("value"), "note": note,
        })  # fmt: skip
    return rows


def measure(command: list[str], item: str, model: Path, repeats: int) -> dict[str, Any]:
    """Return the JSON line that the worker prints; ``failed`` is the error of a failed worker."""
    done = subprocess.run(
        [*command, item, str(model), str(repeats)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def show(model: Model, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one model; ``share`` is of Facet's inspect."""
    table = Table(title=f"{model.path.name}{' (production model)' if model.real else ''}", title_justify="left")
    for column in ("item", "Facet, s", "peer, s", "peer / Facet", "floor", "goal", "share", "peak MiB", "note"):
        table.add_column(column, justify="left" if column in ("item", "note") else "right")
    total = next((row["facet"] for row in rows if row["item"] == "inspect"), None)
    for row in rows:
        share = row["facet"] / total if total and row["facet"] else None
        table.add_row(
            row["item"], *(f"{x:.4f}" if x else "-" for x in (row["facet"], row["peer"])), _coloured(row),
            *(f"{x:g}" if x else "" for x in (row["floor"], row["goal"])), f"{share:.0%}" if share else "-",
            f"{row['peak_mib']:.0f}" if row["peak_mib"] else "-", row["note"],
        )  # fmt: skip
    Console(width=150).print(table)


def summarize(results: list[dict[str, Any]]) -> None:
    """Print the complete inspect of every model."""
    table = Table(title="inspect, all models", title_justify="left")
    for column in ("model", "Facet, s", "sum of the fastest peers, s", "peers / Facet", "floor", "goal", "note"):
        table.add_column(column, justify="left" if column in ("model", "note") else "right")
    for each in results:
        for row in each["rows"]:
            if row["item"] == "inspect":
                table.add_row(
                    each["model"], *(f"{x:.3f}" if x else "-" for x in (row["facet"], row["peer"])), _coloured(row),
                    *(f"{x:g}" if x else "" for x in (row["floor"], row["goal"])), row["note"],
                )  # fmt: skip
    if table.row_count:
        Console(width=150).print(table)


def _coloured(row: dict[str, Any]) -> str:
    """Format the ratio: green at or above the goal, yellow at or above the floor, red below it."""
    ratio, floor, goal = row["ratio"], row["floor"], row["goal"]
    if ratio is None:
        return "-"
    if floor is None:
        return f"{ratio:.2f}"
    colour = "green" if ratio >= goal else "yellow" if ratio >= floor else "red"
    return f"[{colour}]{ratio:.2f}[/]"


if __name__ == "__main__":
    main()
