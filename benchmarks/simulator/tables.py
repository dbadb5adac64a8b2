"""The results as tables in the terminal and as pictures for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

from rich.table import Table

from benchmarks.charts import COLOURS, Line, Panel, write_svg
from benchmarks.simulator.simulate import Estimate
from benchmarks.simulator.study import Outcome, World, meets_target, rush_p99
from benchmarks.simulator.workload import HOUR_S, PRIORITIES

Steady = dict[float, list[Outcome]]


def _figure(estimate: Estimate, precision: int = 1) -> str:
    if isnan(estimate.value):
        return "too few"
    return f"{estimate.value:.{precision}f} ±{estimate.error:.{precision}f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def steady_table(world: World, rate: float, outcomes: Sequence[Outcome]) -> Table:
    """Tabulate nodes against quote times; green if the target of that priority is met."""
    names = [f"{priority} {q}, s" for priority in PRIORITIES for q in ("p50", "p99")]
    table = _table(f"{rate:,.0f} models per hour", ["nodes", "use", *names])
    for outcome in outcomes:
        cells = []
        for priority in range(len(PRIORITIES)):
            colour = "green" if meets_target(world, outcome, priority) else "red"
            cells += [_figure(outcome.p50[priority]), f"[{colour}]{_figure(outcome.p99[priority])}[/]"]
        table.add_row(outcome.label, f"{outcome.use:.0%}", *cells)
    return table


def fewest_nodes_table(world: World, steady: Steady) -> Table:
    """Tabulate the fewest nodes with a p99 within the target, by rate and priority."""
    names = [f"{p} p99 <= {target:g} s" for p, target in zip(PRIORITIES, world.targets_s, strict=True)]
    table = _table("Fewest nodes", ["models per hour", *names])
    for rate, outcomes in steady.items():
        fewest = [
            next(
                (outcome.label for outcome in outcomes if meets_target(world, outcome, priority)),
                f"> {outcomes[-1].label}",
            )
            for priority in range(len(PRIORITIES))
        ]
        table.add_row(f"{rate:,.0f}", *fewest)
    return table


def day_table(world: World, title: str, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
    """Tabulate policies against quote times, node-hours and cost."""
    names = [f"{p} p99, s" for p in PRIORITIES] + [f"{p} in the rush" for p in PRIORITIES]
    table = _table(title, ["scaling", "nodes", "use", *names, "node-hours", "cost"])
    for label, outcome in outcomes:
        figures = [_figure(estimate) for estimate in (*outcome.p99, *rush_p99(outcome))]
        cost = f"{outcome.node_hours * world.node_price:.0f}"
        table.add_row(label, f"{outcome.nodes:.1f}", f"{outcome.use:.0%}", *figures, f"{outcome.node_hours:.1f}", cost)
    return table


def steady_chart(path: Path, world: World, steady: Steady) -> None:
    """Draw p99 by nodes, one panel per rate; dashed: the target."""
    panels = []
    for rate, outcomes in steady.items():
        nodes = [int(outcome.label) for outcome in outcomes]
        lines = []
        for index, (priority, target) in enumerate(zip(PRIORITIES, world.targets_s, strict=True)):
            points = [(n, outcome.p99[index].value) for n, outcome in zip(nodes, outcomes, strict=True)]
            lines.append(Line(f"{priority} p99", points, COLOURS[index], width=2 + 3 * (index == 1)))
            endpoints = [(nodes[0], target), (nodes[-1], target)]
            lines.append(Line(f"{priority} target", endpoints, COLOURS[index], dashed=True))
        lines.reverse()  # express above standard, which often coincides
        panels.append(Panel(f"{rate:,.0f} models per hour", "nodes", "quote time, s", lines, nodes, True))
    write_svg(path, panels)


def day_chart(path: Path, cpus: int, outcomes: Sequence[Outcome]) -> None:
    """Draw nodes over the day for each policy, and the busy ones, as means of ten minutes."""
    panels = []
    scaled = [outcome for outcome in outcomes if len(outcome.run.timeline) > 1]
    for outcome in scaled:
        timeline = outcome.run.timeline
        every = max(1, round(600 / (timeline[1][0] - timeline[0][0])))
        chunks = [timeline[i : i + every] for i in range(0, len(timeline), every)]
        hours = [chunk[0][0] / HOUR_S for chunk in chunks]
        nodes = [sum(count for _, count, _ in chunk) / len(chunk) for chunk in chunks]
        load = [sum(busy for *_, busy in chunk) / len(chunk) / cpus for chunk in chunks]
        lines = [
            Line("nodes", list(zip(hours, nodes, strict=True)), COLOURS[1]),
            Line("busy CPUs, in nodes", list(zip(hours, load, strict=True)), COLOURS[0]),
        ]
        ticks = range(round(hours[0]), round(hours[-1]) + 1, 4)
        panels.append(Panel(outcome.label, "hour of the day", "nodes", lines, list(ticks)))
    top = max((y for panel in panels for line in panel.lines for _, y in line.points), default=0.0)
    write_svg(path, [replace(panel, top=top) for panel in panels])


def boot_chart(path: Path, outcomes: Sequence[tuple[float, Outcome]]) -> None:
    """Draw p99 in the rush hour by boot time, one panel per priority."""
    panels = []
    seconds = sorted({boot_s for boot_s, _ in outcomes})
    for index, priority in enumerate(PRIORITIES):
        lines = []
        for colour, label in zip(COLOURS, dict.fromkeys(outcome.label for _, outcome in outcomes), strict=False):
            points = [
                (boot_s, rush_p99(outcome)[index].value) for boot_s, outcome in outcomes if outcome.label == label
            ]
            lines.append(Line(label, points, colour))
        panels.append(Panel(f"{priority}, rush hour", "time to boot, s", "p99 quote time, s", lines, seconds))
    write_svg(path, panels)
