"""The command line of the simulator."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.simulator.__main__ import main
from benchmarks.simulator.plan import work_seconds
from benchmarks.simulator.stage_times import STAGES
from benchmarks.simulator.workload import HOUR_S, Mix, make_trace
from tests.unit.benchmarks.simulator.known_times import TIMES


def test_the_command_line_prints_tables_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_the_command_line_reports_invalid_parameters(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = ["scaling"] if name in ("hours", "day-rate") else []
    assert main([*questions, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"simulator: {name} is ")
