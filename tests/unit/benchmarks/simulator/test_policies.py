"""Scaling policies."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator.plan import mean_work
from benchmarks.simulator.policies import Load, Predictive, Reactive, forecast
from benchmarks.simulator.workload import HOUR_S, RUSH_HOUR, Mix
from tests.unit.benchmarks.simulator.known_times import TIMES


def test_reactive_follows_use_and_backlog() -> None:
    reactive = Reactive(use=0.5, clear_s=100)
    assert [
        reactive.target_nodes(Load(0, busy, waiting, 8)) for busy, waiting in ((0, 0), (4, 0), (8, 0), (0, 1600))
    ] == [
        0,
        1,
        2,
        4,
    ]


def test_predictive_orders_ahead_of_the_rush() -> None:
    mix = Mix(catalogue=1)
    expected = forecast(mix, 10_000, TIMES, seed=1)
    assert np.mean(expected) == pytest.approx(10_000 / 3600 * mean_work(mix, TIMES), rel=0.05)
    policy = Predictive(expected, Reactive(), ahead_s=600)
    rush = RUSH_HOUR * HOUR_S
    early, before, during = (policy.target_nodes(Load(at, 0, 0, 8)) for at in (rush - 700, rush - 500, rush + 1))
    assert early < before == during
