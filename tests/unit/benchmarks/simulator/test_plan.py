"""The split of a model into tasks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator.plan import Plan
from tests.unit.benchmarks.simulator.known_times import TIMES


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
