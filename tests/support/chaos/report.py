"""The report of a chaos run, as JSON and as a table, named by its seed so that reports of several runs coexist."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.local.state import Folder
from tests.support.stack import Stack

_MAX_FINDINGS = 30
_NOT_IN_TABLE = frozenset({"findings", "course", "faults"})


def write(report: Mapping[str, Any], stack: Stack, folder: Path) -> None:
    """Write ``kills-<seed>.json`` and ``.md`` into ``folder``; with findings, also the logs of replicas and parts."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"kills-{report['seed']}"
    if report["findings"]:
        keep_logs(stack, folder / f"{name}-logs")
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1))
    (folder / f"{name}.md").write_text(markdown(report))


def keep_logs(stack: Stack, folder: Path) -> None:
    """Copy the logs of replicas and parts, and the state of the parts, into ``folder``."""
    place = Folder(stack.folder / ".facet" / "stack")
    shutil.copytree(place.logs, folder / "parts", dirs_exist_ok=True)
    if state := place.read():
        logs = Path(state.temp) / "head" / "session_latest" / "logs" / "serve"
        shutil.copytree(logs, folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        (folder / "state.json").write_text(json.dumps(asdict(state), indent=1, default=str))


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a table of its figures, a table of its long faults, and the first findings."""
    lines = ["| what | measured |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in report.items()
              if name not in _NOT_IN_TABLE]  # fmt: skip
    lines += [f"| findings | {len(report['findings'])} |", ""]
    if report["faults"]:
        lines += ["| long fault | hit | s | outcome | parts ready after, s | partitions move after, s |",
                  "|---|---|---:|---|---:|---:|", *map(_row, report["faults"]), ""]  # fmt: skip
    return "\n".join([*lines, *(f"- {each}" for each in report["findings"][:_MAX_FINDINGS])]) + "\n"


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each:g}" for name, each in value.items())
    return ", ".join(value) if isinstance(value, list) else value


def _row(found: Mapping[str, Any]) -> str:
    moved = "not in time" if found["stuck"] else found["moved_after_s"]
    cells = (found["name"], found["hit"], round(found["ended"] - found["began"], 1), found["outcome"],
             found["ready_after_s"], moved)  # fmt: skip
    return "| " + " | ".join("" if each is None else str(each) for each in cells) + " |"
