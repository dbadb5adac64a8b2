"""Orders are placed while ``kill -9`` hits the stack every few seconds; then what was promised is looked for.

The short form runs with the tests of the services, the long one with ``make chaos``.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cluster.local.state import Folder
from tests.services.audit import Databases, audit, come_to_rest
from tests.services.stack import Stack
from tests.services.strikes import STRIKES, WEIGHTS
from tests.services.traffic import Traffic

SETTLE_WITHIN_S = 150.0
_SHOWN_FINDINGS = 30
LONG_SILENCE_S = 2.0
_ONLY_JSON = frozenset({"findings", "course"})


@dataclass(frozen=True, slots=True)
class Plan:
    """``seconds`` of strikes, one every ``every_s`` on average; orders come at ``rate`` a second."""

    seconds: float
    every_s: float
    rate: float = 3.0
    seed: int = 7


def disturbed(stack: Stack, plan: Plan, folder: Path) -> dict[str, Any]:
    """Do as ``plan`` says, let the stack come to rest and audit it; gives the report, ``findings`` in it."""
    traffic = Traffic(stack, folder, plan.rate, plan.seed)
    orders_before = Databases(stack).count("shop", "SELECT count(*) FROM orders")
    began = time.monotonic()
    traffic.start()
    try:
        strikes = _strike(Folder(stack.folder / ".facet" / "stack"), plan)
    finally:
        traffic.stop(SETTLE_WITHIN_S)
    struck_s = time.monotonic() - began
    busy = come_to_rest(stack, SETTLE_WITHIN_S)
    ledger = traffic.ledger
    found = audit(stack, ledger, orders_before)
    findings = [*(f"not at rest: {each}" for each in busy), *ledger.faults, *found.findings]
    findings += [f"given up: {each}" for each in ledger.given_up]
    kills = Counter(strike.victim for strike in strikes)
    return {
        "seconds": round(struck_s, 1),
        "seconds_to_rest": round(time.monotonic() - began - struck_s, 1),
        "seed": plan.seed,
        "kills": sum(kills.values()),
        "kills_by_kind": dict(sorted(Counter(strike.kind for strike in strikes).items())),
        "kills_by_victim": dict(sorted(kills.items())),
        "kinds_never_hit": sorted(set(STRIKES) - {strike.kind for strike in strikes}),
        **_course(strikes, ledger.acknowledged_at, began),
        "answers": dict(sorted(ledger.answers.items())),
        **found.counted,
        "findings": findings,
    }


@dataclass(frozen=True, slots=True)
class Struck:
    """What was killed, and when (monotonic seconds)."""

    kind: str
    victim: str
    at: float


def _strike(folder: Folder, plan: Plan) -> list[Struck]:
    """Kill until the time is over."""
    chance, struck = random.Random(plan.seed), []
    end = time.monotonic() + plan.seconds
    time.sleep(plan.every_s / 2)  # so that there are orders under way
    first = list(STRIKES)
    chance.shuffle(first)
    while (left := end - time.monotonic()) > 0:
        kind = first.pop() if first else chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        at = time.monotonic()
        victim = STRIKES[kind](folder, chance)
        if victim is not None:
            struck.append(Struck(kind, victim, at))
        time.sleep(min(left, chance.uniform(0.4, 1.6) * plan.every_s))
    return struck


def _course(strikes: Sequence[Struck], acknowledged: Sequence[float], began: float) -> dict[str, Any]:
    """How often people heard nothing for long, and the whole course."""
    times = sorted(acknowledged)
    silences = [(before, after - before) for before, after in pairwise([began, *times])]
    long = [(before, length) for before, length in silences if length > LONG_SILENCE_S]
    return {
        "longest_time_without_acknowledgement_s": round(max(length for _, length in silences), 2),
        "times_without_acknowledgement": len(long),
        "seconds_without_acknowledgement": round(sum(length for _, length in long), 1),
        "course": [
            *([round(strike.at - began, 1), f"kill {strike.victim}"] for strike in strikes),
            *([round(before - began, 1), f"nothing for {length:.1f} s"] for before, length in long),
        ],
    }


def write(report: Mapping[str, Any], stack: Stack, folder: Path) -> None:
    """Write ``kills.json`` and ``kills.md`` into ``folder``; with findings also the logs of the replicas."""
    folder.mkdir(parents=True, exist_ok=True)
    state = Folder(stack.folder / ".facet" / "stack").read()
    if report["findings"] and state:
        logs = Path(state.temp) / "head" / "session_latest" / "logs" / "serve"
        shutil.copytree(logs, folder / "logs", dirs_exist_ok=True, ignore_dangling_symlinks=True)
    (folder / "kills.json").write_text(json.dumps(report, indent=1))
    (folder / "kills.md").write_text(markdown(report))


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table."""
    lines = ["| what | measured |", "|---|---|"]
    for name, value in report.items():
        if name in _ONLY_JSON:
            continue
        shown = ", ".join(f"{key} {each:g}" for key, each in value.items()) if isinstance(value, dict) else value
        lines.append(f"| {name.replace('_', ' ')} | {', '.join(shown) if isinstance(shown, list) else shown} |")
    lines.append(f"| findings | {len(report['findings'])} |")
    return "\n".join([*lines, "", *(f"- {each}" for each in report["findings"][:_SHOWN_FINDINGS])]) + "\n"
