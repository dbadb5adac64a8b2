"""How many nodes, and when? A simulated cluster answers, fed with the engine's measured stage times.

python -m benchmarks.simulator [nodes|scaling|boot|measure ...] [options]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.simulator import study, tables
from benchmarks.simulator.cluster import ClusterSettings
from benchmarks.simulator.errors import ParameterError, StageTimesError, require
from benchmarks.simulator.plan import Plan
from benchmarks.simulator.policies import Reactive
from benchmarks.simulator.stage_times import MEASURED, load_stage_times
from benchmarks.simulator.workload import Mix

QUESTIONS = ("nodes", "scaling", "boot")
PARAMETERS: tuple[tuple[str, int | float | list[float], str | int | None, str], ...] = (
    ("rate", [10.0, 1000.0, 100_000.0], "+", "models an hour, for nodes"),
    ("target", [10.0, 30.0, 300.0], 3, "p99 in s of express, standard and bulk, for nodes"),
    ("jobs", 60_000, None, "models counted for each size of cluster, for nodes"),
    ("day-rate", 20_000.0, None, "models an hour in the day's mean, for scaling and boot"),
    ("hours", [0.0, 24.0], 2, "hours of the day, for scaling"),
    ("boots", [15.0, 90.0, 180.0, 300.0, 600.0], "+", "s to boot, for boot"),
    ("use", 0.7, None, "share of CPUs at work that scaling aims at"),
    ("cpus", 8, None, "CPUs of a node"),
    ("boot", 90.0, None, "s from ordering a node until it is up"),
    ("cold", 2.5, None, "s that a worker's first task takes longer"),
    ("node-price", 0.41, None, "of a node, an hour"),
    ("median", 60_000.0, None, "facets of the median model"),
    ("spread", 1.3, None, "deviation of the logarithm of the facets"),
    ("rush", 3.0, None, "busiest hour over the day's mean"),
    ("catalogue", 200.0, None, "models in a partner's catalogue, in the mean"),
    ("seed", 1, None, "another seed, another sample"),
)
EXAMPLES = """examples:
  python -m benchmarks.simulator                              the three questions, some 5 minutes
  python -m benchmarks.simulator nodes --rate 2500 --target 5 10 60
  python -m benchmarks.simulator scaling --day-rate 100000 --hours 14 20 --node-price 0.12
  python -m benchmarks.simulator boot --boots 30 300 --svg docs
  python -m benchmarks.simulator measure                      times the stages on this machine, one minute

The times come from stage_times.json beside this program; measure on the kind of machine that you plan for.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, apart from the world."""

    questions: list[str]
    rates: list[float]
    day_rate: float
    hours: tuple[float, float]
    boots: list[float]
    reactive: Reactive
    svg: Path | None


def main(arguments: list[str] | None = None) -> int:
    """Answer what is asked; returns the exit code: 0 done, 2 a parameter that can't be."""
    console = Console(width=190 if not sys.stdout.isatty() else None)
    chosen = _parser().parse_args(arguments)
    try:
        if "measure" in chosen.questions:
            from benchmarks.simulator.measure import measure_ladder

            measure_ladder(chosen.times)
            console.print(f"wrote {chosen.times}")
            return 0
        _answer(_world(chosen), _options(chosen), console)
    except (ParameterError, StageTimesError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulator", description=(__doc__ or "").splitlines()[0], epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"{', '.join(QUESTIONS)} (all), or measure")
    for name, default, count, text in PARAMETERS:
        kind = int if isinstance(default, int) else float
        parser.add_argument(f"--{name}", type=kind, nargs=count, default=default, metavar="N", help=text)
    parser.add_argument("--times", type=Path, default=MEASURED, metavar="FILE", help="stage times (JSON)")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="write the pictures planning-*.svg there")
    return parser


def _world(chosen: argparse.Namespace) -> study.World:
    mix = Mix(median_facets=chosen.median, spread=chosen.spread, rush=chosen.rush, catalogue=chosen.catalogue)
    settings = ClusterSettings(cpus=chosen.cpus, boot_s=chosen.boot, cold_s=chosen.cold)
    express, standard, bulk = chosen.target
    return study.World(
        load_stage_times(chosen.times), mix, Plan(), settings, chosen.jobs, chosen.seed, chosen.node_price,
        (express, standard, bulk),
    )  # fmt: skip


def _options(chosen: argparse.Namespace) -> Options:
    unknown = [question for question in chosen.questions if question not in QUESTIONS]
    require(not unknown, "question", ", ".join(unknown), f"{', '.join(QUESTIONS)} or measure")
    require(chosen.svg is None or chosen.svg.is_dir(), "svg", chosen.svg, "a folder that exists")
    begin, end = chosen.hours
    return Options(
        chosen.questions or list(QUESTIONS), chosen.rate, chosen.day_rate, (begin, end), chosen.boots,
        Reactive(use=chosen.use), chosen.svg,
    )  # fmt: skip


def _answer(world: study.World, asked: Options, console: Console) -> None:
    with console.status("simulating") as status:
        if "nodes" in asked.questions:
            _nodes(world, asked, console, status.update)
        if "scaling" in asked.questions:
            outcomes = list(study.day(world, asked.day_rate, asked.hours, asked.reactive, status.update))
            begin, end = asked.hours
            title = f"{asked.day_rate:,.0f} models an hour in the day's mean, from {begin:g} to {end:g} h"
            console.print(tables.day_table(world, title, [(outcome.label, outcome) for outcome in outcomes]))
            if asked.svg:
                tables.day_chart(asked.svg / "planning-scaling.svg", world.settings.cpus, outcomes)
        if "boot" in asked.questions:
            boots = list(study.boots(world, asked.day_rate, asked.reactive, asked.boots, status.update))
            rows = [(f"{outcome.label}, boot {boot_s:g} s", outcome) for boot_s, outcome in boots]
            title = f"{asked.day_rate:,.0f} models an hour in the day's mean, around the rush hour"
            console.print(tables.day_table(world, title, rows))
            if asked.svg:
                tables.boot_chart(asked.svg / "planning-boot.svg", boots)


def _nodes(world: study.World, asked: Options, console: Console, report: study.Report) -> None:
    steady: tables.Steady = {}
    for rate in asked.rates:
        steady[rate] = list(study.steady(world, rate, report))
        console.print(tables.steady_table(world, rate, steady[rate]))
    console.print(tables.fewest_nodes_table(world, steady))
    if asked.svg:
        tables.steady_chart(asked.svg / "planning-nodes.svg", world, steady)


if __name__ == "__main__":
    sys.exit(main())
