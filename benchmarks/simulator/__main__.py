"""How many nodes, and when? Simulate a cluster with the engine's measured stage times.

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
    ("rate", [10.0, 1000.0, 100_000.0], "+", "models per hour, for nodes"),
    ("target", [10.0, 30.0, 300.0], 3, "p99 in s of express, standard and bulk, for nodes"),
    ("jobs", 60_000, None, "models counted for each size of cluster, for nodes"),
    ("day-rate", 20_000.0, None, "models per hour as the day's mean, for scaling and boot"),
    ("hours", [0.0, 24.0], 2, "hours of the day, for scaling"),
    ("boots", [15.0, 90.0, 180.0, 300.0, 600.0], "+", "s to boot, for boot"),
    ("use", 0.7, None, "target utilisation of the CPUs, for scaling"),
    ("cpus", 8, None, "CPUs of a node"),
    ("boot", 90.0, None, "s from requesting a node until it is up"),
    ("cold", 2.5, None, "extra s of a worker's first task"),
    ("node-price", 0.41, None, "price of a node per hour"),
    ("median", 60_000.0, None, "facets of the median model"),
    ("spread", 1.3, None, "standard deviation of the logarithm of the facets"),
    ("rush", 3.0, None, "busiest hour over the day's mean"),
    ("catalogue", 200.0, None, "mean number of models in a partner's catalogue"),
    ("seed", 1, None, "seed of the random numbers"),
)
EXAMPLES = """examples:
  python -m benchmarks.simulator                              the three questions, some 5 minutes
  python -m benchmarks.simulator nodes --rate 2500 --target 5 10 60
  python -m benchmarks.simulator scaling --day-rate 100000 --hours 14 20 --node-price 0.12
  python -m benchmarks.simulator boot --boots 30 300 --svg docs
  python -m benchmarks.simulator measure                      times the stages on this machine, one minute

The times are read from stage_times.json beside this program; measure on the kind of machine that you plan for.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command-line options that are not part of the world."""

    questions: list[str]
    rates: list[float]
    day_rate: float
    hours: tuple[float, float]
    boots: list[float]
    reactive: Reactive
    svg: Path | None


def main(arguments: list[str] | None = None) -> int:
    """Run the studies; return the exit code: 0 done, 2 an invalid parameter."""
    console = Console(width=190 if not sys.stdout.isatty() else None)
    options = _parser().parse_args(arguments)
    try:
        if "measure" in options.questions:
            from benchmarks.simulator.measure import measure_ladder

            measure_ladder(options.times)
            console.print(f"wrote {options.times}")
            return 0
        _answer(_world(options), _options(options), console)
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


def _world(options: argparse.Namespace) -> study.World:
    mix = Mix(median_facets=options.median, spread=options.spread, rush=options.rush, catalogue=options.catalogue)
    settings = ClusterSettings(cpus=options.cpus, boot_s=options.boot, cold_s=options.cold)
    express, standard, bulk = options.target
    return study.World(
        load_stage_times(options.times), mix, Plan(), settings, options.jobs, options.seed, options.node_price,
        (express, standard, bulk),
    )  # fmt: skip


def _options(options: argparse.Namespace) -> Options:
    unknown = [question for question in options.questions if question not in QUESTIONS]
    require(not unknown, "question", ", ".join(unknown), f"{', '.join(QUESTIONS)} or measure")
    require(options.svg is None or options.svg.is_dir(), "svg", options.svg, "a folder that exists")
    start, end = options.hours
    return Options(
        options.questions or list(QUESTIONS), options.rate, options.day_rate, (start, end), options.boots,
        Reactive(use=options.use), options.svg,
    )  # fmt: skip


def _answer(world: study.World, options: Options, console: Console) -> None:
    with console.status("simulating") as status:
        if "nodes" in options.questions:
            _nodes(world, options, console, status.update)
        if "scaling" in options.questions:
            outcomes = list(study.day(world, options.day_rate, options.hours, options.reactive, status.update))
            start, end = options.hours
            title = f"{options.day_rate:,.0f} models per hour as the day's mean, from {start:g} to {end:g} h"
            console.print(tables.day_table(world, title, [(outcome.label, outcome) for outcome in outcomes]))
            if options.svg:
                tables.day_chart(options.svg / "planning-scaling.svg", world.settings.cpus, outcomes)
        if "boot" in options.questions:
            boots = list(study.boots(world, options.day_rate, options.reactive, options.boots, status.update))
            rows = [(f"{outcome.label}, boot {boot_s:g} s", outcome) for boot_s, outcome in boots]
            title = f"{options.day_rate:,.0f} models per hour as the day's mean, around the rush hour"
            console.print(tables.day_table(world, title, rows))
            if options.svg:
                tables.boot_chart(options.svg / "planning-boot.svg", boots)


def _nodes(world: study.World, options: Options, console: Console, report: study.Report) -> None:
    steady: tables.Steady = {}
    for rate in options.rates:
        steady[rate] = list(study.steady(world, rate, report))
        console.print(tables.steady_table(world, rate, steady[rate]))
    console.print(tables.fewest_nodes_table(world, steady))
    if options.svg:
        tables.steady_chart(options.svg / "planning-nodes.svg", world, steady)


if __name__ == "__main__":
    sys.exit(main())
