"""What the simulator is fed with: the trace, the plan, the measured times, its parameters and its command line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulator.__main__ import main
from benchmarks.simulator.cluster import ClusterSettings
from benchmarks.simulator.errors import ParameterError, StageTimesError
from benchmarks.simulator.plan import Plan, work_seconds
from benchmarks.simulator.policies import Predictive, Reactive, Scaling
from benchmarks.simulator.simulate import run_jobs
from benchmarks.simulator.stage_times import STAGES, load_stage_times
from benchmarks.simulator.study import World
from benchmarks.simulator.workload import HOUR_S, RUSH_HOUR, Mix, day_profile, make_trace
from pricing_engine.distributed.jobs import JobPriority
from tests.unit.simulated import BARE, TIMES, one


def test_trace_has_the_mix_asked_for() -> None:
    mix = Mix(catalogue=20)
    trace = make_trace(mix, 50_000, 0, 2 * HOUR_S, 12)
    assert len(trace) == pytest.approx(100_000, rel=0.03)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.facets.min() >= mix.least_facets
    assert trace.facets.max() <= mix.most_facets
    assert np.median(trace.facets) == pytest.approx(mix.median_facets, rel=0.03)
    assert np.bincount(trace.priority) / len(trace) == pytest.approx(mix.shares, abs=0.01)
    catalogues = np.unique(trace.customer[trace.priority == 2], return_counts=True)[1]
    assert catalogues.mean() == pytest.approx(mix.catalogue, rel=0.1)


def test_day_has_its_rush_hour() -> None:
    mix = Mix(catalogue=1)
    assert day_profile(mix).mean() == pytest.approx(1)
    assert day_profile(mix).argmax() == RUSH_HOUR
    trace = make_trace(mix, 5000, 0, 24 * HOUR_S, 13, daily=True)
    middle = (RUSH_HOUR + 0.25) * HOUR_S
    inside = (trace.arrival_s >= middle) & (trace.arrival_s < middle + HOUR_S / 2)
    assert inside.sum() == pytest.approx(2500 * mix.rush, rel=0.05)
    assert len(trace) == pytest.approx(24 * 5000, rel=0.02)


@pytest.mark.parametrize("facets", [2000, 200_000, 200_001, 1_000_000, 5_000_000])
def test_tasks_of_a_model_add_up_to_its_work(facets: float) -> None:
    plan, seconds = Plan(), TIMES.at(np.array([facets]))[0]
    phases = plan.phases(facets, seconds)
    assert sum(map(sum, phases)) == pytest.approx(seconds.sum())
    if facets <= plan.small_facets:
        assert [len(phase) for phase in phases] == [1]
    else:
        assert len(phases) == 2
        assert max(phases[1][1:]) <= plan.task_s


def test_stage_times_hit_the_ladder_and_lie_between_its_rungs() -> None:
    times = load_stage_times()
    assert times.at(times.facets) == pytest.approx(times.seconds)
    between = np.sqrt(times.facets[:-1] * times.facets[1:])
    lower, upper = (pick(times.seconds[:-1], times.seconds[1:]) for pick in (np.minimum, np.maximum))
    assert (times.at(between) >= lower - 1e-12).all()
    assert (times.at(between) <= upper + 1e-12).all()
    assert times.at(4 * times.facets[-1:])[0] == pytest.approx(4 * times.seconds[-1])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": "other"}', '{"schema": "facet.stage-times/1", "ladder": [{"facets": 10}]}',
     '{"schema": "facet.stage-times/1", "ladder": []}'],
)  # fmt: skip
def test_a_file_that_holds_no_stage_times_is_named_with_its_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(content)
    with pytest.raises(StageTimesError, match=r"times\.json.*simulator measure"):
        load_stage_times(path)


def test_measured_file_says_where_it_comes_from() -> None:
    content = json.loads((Path(__file__).parents[2] / "benchmarks/simulator/stage_times.json").read_text())
    assert content["threads"] == 1
    assert {"cpu", "cores", "python", "numba"} <= set(content["machine"])


BAD: list[tuple[type, dict[str, object], str]] = [
    (Mix, {"shares": (0.5, 0.6, 0.3)}, "shares"),
    (Mix, {"shares": (-0.1, 0.8, 0.3)}, "shares"),
    (Mix, {"median_facets": 1.0}, "median_facets"),
    (Mix, {"least_facets": 0.0}, "least_facets"),
    (Mix, {"spread": 0.0}, "spread"),
    (Mix, {"spread": float("nan")}, "spread"),
    (Mix, {"catalogue": 0.5}, "catalogue"),
    (Mix, {"rush": 24.0}, "rush"),
    (ClusterSettings, {"cpus": 0}, "cpus"),
    (ClusterSettings, {"boot_s": -1.0}, "boot_s"),
    (ClusterSettings, {"boot_s": float("inf")}, "boot_s"),
    (ClusterSettings, {"in_flight": 0.5}, "in_flight"),
    (Plan, {"task_s": 0.0}, "task_s"),
    (Plan, {"split": ("load",)}, "split"),
    (Reactive, {"use": 1.5}, "use"),
    (Reactive, {"clear_s": 0.0}, "clear_s"),
    (Predictive, {"expected": (1.0,), "reactive": Reactive()}, "expected"),
    (Scaling, {"policy": Reactive(), "least": 5, "most": 4}, "least"),
    (World, {"times": TIMES, "jobs": 10}, "jobs"),
    (World, {"times": TIMES, "targets_s": (1.0, 0.0, 1.0)}, "target"),
]


@pytest.mark.parametrize(("kind", "parameters", "name"), BAD)
def test_a_parameter_that_cannot_be_is_named(kind: type, parameters: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        kind(**parameters)


def test_a_cluster_that_could_never_finish_is_refused() -> None:
    with pytest.raises(ParameterError, match="nodes"):
        run_jobs([one(0.0, JobPriority.BULK, 1.0)], BARE, 0)
    with pytest.raises(ParameterError, match="jobs"):
        run_jobs([], BARE, 1)


def test_command_line_answers_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rate", "500", "--jobs", "1000", "--day-rate", "200", "--boots", "30", "--svg", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Fewest nodes" in printed
    assert "predictive, boot 30 s" in printed
    assert work_seconds(make_trace(Mix(), 100, 0, HOUR_S, 1), TIMES).shape[1] == len(STAGES)
    for name in ("nodes", "scaling", "boot"):
        drawn = ET.parse(tmp_path / f"planning-{name}.svg").getroot()
        assert drawn.findall(".//{http://www.w3.org/2000/svg}polyline")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--rate", "0"], "rate"), (["--rate", "inf"], "rate"), (["--hours", "9", "3"], "hours"),
        (["--day-rate", "-1"], "day-rate"), (["weather"], "question"), (["--svg", "/no/such/folder"], "svg"),
    ],
)  # fmt: skip
def test_command_line_names_what_is_wrong(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    questions = ["scaling"] if name in ("hours", "day-rate") else []
    assert main([*questions, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"simulator: {name} is ")
