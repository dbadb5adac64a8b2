"""The answers as tables in the terminal and pictures beside the documentation."""

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
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def steady_table(world: World, rate: float, outcomes: Sequence[Outcome]) -> Table:
    """Nodes against quote times; green where the target of that priority is met."""
    names = [f"{priority} {q}, s" for priority in PRIORITIES for q in ("p50", "p99")]
    table = _table(f"{rate:,.0f} models an hour", ["nodes", "use", *names])
    for outcome in outcomes:
        cells = []
        for priority in range(len(PRIORITIES)):
            colour = "green" if meets_target(world, outcome, priority) else "red"
            cells += [_figure(outcome.p50[priority]), f"[{colour}]{_figure(outcome.p99[priority])}[/]"]
        table.add_row(outcome.label, f"{outcome.use:.0%}", *cells)
    return table


def fewest_nodes_table(world: World, steady: Steady) -> Table:
    """The fewest nodes whose p99 is within the target, by rate and priority."""
    names = [f"{p} p99 <= {target:g} s" for p, target in zip(PRIORITIES, world.targets_s, strict=True)]
    table = _table("Fewest nodes", ["models an hour", *names])
    for rate, outcomes in steady.items():
        fewest = [
            next((outcome.label for outcome in outcomes if meets_target(world, outcome, priority)), f"> {outcomes[-1].label}")
            for priority in range(len(PRIORITIES))
        ]
        table.add_row(f"{rate:,.0f}", *fewest)
    return table


def day_table(world: World, title: str, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
    """Policies against quote times, node-hours and cost."""
    names = [f"{p} p99, s" for p in PRIORITIES] + [f"{p} in the rush" for p in PRIORITIES]
    table = _table(title, ["scaling", "nodes", "use", *names, "node-hours", "cost"])
    for label, outcome in outcomes:
        figures = [_figure(estimate) for estimate in (*outcome.p99, *rush_p99(outcome))]
        cost = f"{outcome.node_hours * world.node_price:.0f}"
        table.add_row(label, f"{outcome.nodes:.1f}", f"{outcome.use:.0%}", *figures, f"{outcome.node_hours:.1f}", cost)
    return table


def steady_chart(path: Path, world: World, steady: Steady) -> None:
    """p99 by nodes, a panel a rate; dashed: the target."""
    panels = []
    for rate, outcomes in steady.items():
        nodes = [int(outcome.label) for outcome in outcomes]
        lines = []
        for number, (priority, target) in enumerate(zip(PRIORITIES, world.targets_s, strict=True)):
            points = [(n, outcome.p99[number].value) for n, outcome in zip(nodes, outcomes, strict=True)]
            lines.append(Line(f"{priority} p99", points, COLOURS[number], width=2 + 3 * (number == 1)))
            ends = [(nodes[0], target), (nodes[-1], target)]
            lines.append(Line(f"{priority} target", ends, COLOURS[number], dashed=True))
        lines.reverse()  # express on top of standard, which is often the same
        panels.append(Panel(f"{rate:,.0f} models an hour", "nodes", "quote time, s", lines, nodes, True))
    write_svg(path, panels)


def day_chart(path: Path, cpus: int, outcomes: Sequence[Outcome]) -> None:
    """Nodes over the day under each policy, and those that the load keeps at work, means of ten minutes."""
    panels = []
    scaled = [outcome for outcome in outcomes if len(outcome.run.seen) > 1]
    for outcome in scaled:
        seen = outcome.run.seen
        every = max(1, round(600 / (seen[1][0] - seen[0][0])))
        chunks = [seen[i : i + every] for i in range(0, len(seen), every)]
        hours = [chunk[0][0] / HOUR_S for chunk in chunks]
        nodes = [sum(count for _, count, _ in chunk) / len(chunk) for chunk in chunks]
        load = [sum(busy for *_, busy in chunk) / len(chunk) / cpus for chunk in chunks]
        lines = [
            Line("nodes paid for", list(zip(hours, nodes, strict=True)), COLOURS[1]),
            Line("nodes' worth of CPUs at work", list(zip(hours, load, strict=True)), COLOURS[0]),
        ]
        ticks = range(round(hours[0]), round(hours[-1]) + 1, 4)
        panels.append(Panel(outcome.label, "hour of the day", "nodes", lines, list(ticks)))
    top = max((y for panel in panels for line in panel.lines for _, y in line.points), default=0.0)
    write_svg(path, [replace(panel, top=top) for panel in panels])


def boot_chart(path: Path, outcomes: Sequence[tuple[float, Outcome]]) -> None:
    """p99 in the rush hour by time to boot, a panel a priority."""
    panels = []
    seconds = sorted({boot_s for boot_s, _ in outcomes})
    for number, priority in enumerate(PRIORITIES):
        lines = []
        for place, label in enumerate(dict.fromkeys(outcome.label for _, outcome in outcomes)):
            points = [
                (boot_s, rush_p99(outcome)[number].value) for boot_s, outcome in outcomes if outcome.label == label
            ]
            lines.append(Line(label, points, COLOURS[place]))
        panels.append(Panel(f"{priority}, rush hour", "time to boot, s", "p99 quote time, s", lines, seconds))
    write_svg(path, panels)
