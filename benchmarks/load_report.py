"""The report of a load test: figures as JSON, and time series as a picture."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.charts import COLOURS, Line, Panel, write_svg

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
STEP_S = 5
"""Width of the intervals of the time series."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, or another measurement. ``at``: s since the start; ``kind``: HTTP method or one of NOT_HTTP."""

    at: float
    kind: str
    name: str
    ms: float
    error: str | None


@dataclass
class Samples:
    """All measurements of one run, by one process."""

    users: int
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return requests per second, and of each kind the percentiles in ms (of successes) and the failures."""
        http = [sample for sample in self.samples if sample.kind not in NOT_HTTP]
        by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in self.samples:
            by_name[sample.name].append(sample)
        failures = [sample for sample in self.samples if sample.error]
        return {
            "schema": "facet.load/1",
            "users": self.users,
            "cpus": len(os.sched_getaffinity(0)),
            "seconds": round(self.seconds, 1),
            "requests": len(http),
            "requests_per_s": round(len(http) / self.seconds, 2) if self.seconds else 0.0,
            "failures": len(failures),
            "failures_by_reason": dict(
                Counter(f"{sample.name}: {sample.error}" for sample in failures).most_common(20)
            ),
            "kinds": {name: self._figures(samples) for name, samples in sorted(by_name.items())},
        }

    def write(self, folder: Path) -> Path:
        """Write ``load-summary.json`` and ``load.svg`` into ``folder``; return the path of the former."""
        folder.mkdir(parents=True, exist_ok=True)
        summary = folder / "load-summary.json"
        summary.write_text(json.dumps(self.summary(), indent=1) + "\n")
        if self.samples:
            write_svg(folder / "load.svg", self._panels())
        return summary

    def _figures(self, samples: Sequence[Sample]) -> dict[str, Any]:
        successful = percentiles(sample.ms for sample in samples if not sample.error)
        failed = sum(1 for sample in samples if sample.error)
        rate = round(len(samples) / self.seconds, 2) if self.seconds else 0.0
        return {"count": len(samples), "failures": failed, "per_s": rate, **successful}

    def _panels(self) -> list[Panel]:
        http = [sample for sample in self.samples if sample.kind not in NOT_HTTP]
        steps = range(int(self.seconds // STEP_S))
        within = {step: [sample for sample in http if sample.at // STEP_S == step] for step in steps}
        ticks = [step * STEP_S for step in steps if step % max(1, len(steps) // 6) == 0]
        rates = [
            Line("requests", [(STEP_S * step, len(samples) / STEP_S) for step, samples in within.items()], COLOURS[1]),
            Line(
                "failures",
                [
                    (STEP_S * step, sum(1 for sample in samples if sample.error) / STEP_S)
                    for step, samples in within.items()
                ],
                COLOURS[0],
            ),
        ]
        quantile_lines = [
            Line(
                name,
                [
                    (STEP_S * step, max(1.0, percentiles(sample.ms for sample in samples)[name]))
                    for step, samples in within.items()
                    if samples
                ],
                colour,
            )
            for name, colour in zip(QUANTILES, (COLOURS[2], COLOURS[1], COLOURS[0]), strict=True)
        ]
        latencies: dict[str, list[float]] = defaultdict(list)
        for sample in self.samples:
            if sample.kind == ORDER and not sample.error:
                latencies[sample.name.rpartition(" ")[2]].append(sample.ms / 1000)
        shares = [
            Line(
                f"{priority} orders",
                [(latency, 100 * (n + 1) / len(samples)) for n, latency in enumerate(sorted(samples))],
                COLOURS[3],
                dashed=priority != "standard",
            )
            for priority, samples in sorted(latencies.items())
        ]
        max_latency = max((latency for samples in latencies.values() for latency in samples), default=1.0)
        return [
            Panel("Requests", "seconds", "per second", rates, ticks),
            Panel("HTTP latency", "seconds", "ms", quantile_lines, ticks, logarithmic=True),
            Panel(
                "Order submitted to quote in status", "seconds", "% of orders",
                shares, [round(max_latency * n / 4, 1) for n in range(5)], top=100,
            ),
        ]  # fmt: skip


ORDER, STREAM = "ORDER", "SSE"
NOT_HTTP = frozenset({ORDER, STREAM})
"""Kinds of samples that are not requests: latency of a price, and of a status change to a watcher's stream."""
SUBMITTED_TO_QUOTED, STATUS_CHANGED = "submitted -> quote", "status changed -> event received"


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Return p50, p95 and p99 (nearest rank); empty without values."""
    ranked = sorted(values)
    return {name: round(ranked[int(share * (len(ranked) - 1) + 0.5)], 1) for name, share in QUANTILES.items() if ranked}


def markdown(summary: dict[str, Any]) -> str:
    """Format the figures as a Markdown table."""
    lines = [
        f"{summary['users']} users for {summary['seconds']:g} s on {summary['cpus']} CPUs: {summary['requests']}"
        f" requests, {summary['requests_per_s']:g} per second, {summary['failures']} failures",
        "",
        "| what | count | per second | failures | p50 ms | p95 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, figures in summary["kinds"].items():
        shares = " | ".join(f"{figures[share]:g}" if share in figures else "" for share in QUANTILES)
        lines.append(f"| {name} | {figures['count']} | {figures['per_s']:g} | {figures['failures']} | {shares} |")
    return "\n".join(lines) + "\n"
