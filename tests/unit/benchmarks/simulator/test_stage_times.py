"""Measured stage times and their interpolation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulator.errors import StageTimesError
from benchmarks.simulator.stage_times import load_stage_times
from tests.support.paths import ROOT


def test_stage_times_interpolate_the_ladder() -> None:
    times = load_stage_times()
    assert times.at(times.facets) == pytest.approx(times.seconds)
    arrived_between = np.sqrt(times.facets[:-1] * times.facets[1:])
    lower, upper = (pick(times.seconds[:-1], times.seconds[1:]) for pick in (np.minimum, np.maximum))
    assert (times.at(arrived_between) >= lower - 1e-12).all()
    assert (times.at(arrived_between) <= upper + 1e-12).all()
    assert times.at(4 * times.facets[-1:])[0] == pytest.approx(4 * times.seconds[-1])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": "other"}', '{"schema": "facet.stage-times/1", "ladder": [{"facets": 10}]}',
     '{"schema": "facet.stage-times/1", "ladder": []}'],
)  # fmt: skip
def test_an_invalid_file_is_reported_with_the_command_that_writes_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(content)
    with pytest.raises(StageTimesError, match=r"times\.json.*simulator measure"):
        load_stage_times(path)


def test_the_measured_file_contains_its_machine() -> None:
    content = json.loads((ROOT / "benchmarks/simulator/stage_times.json").read_text())
    assert content["threads"] == 1
    assert {"cpu", "cores", "python", "numba"} <= set(content["machine"])
