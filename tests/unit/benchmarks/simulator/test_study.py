"""The studies: fixed sizes and days with scaling."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.simulator.cluster import ClusterSettings
from benchmarks.simulator.policies import Reactive
from benchmarks.simulator.study import day, offered_cpus, steady
from tests.unit.benchmarks.simulator.known_times import WORLD


def test_more_nodes_never_make_bulk_wait_longer() -> None:
    rows = list(steady(WORLD, 20_000, lambda _: None))
    p99 = [row.p99[2].value for row in rows]
    assert p99 == sorted(p99, reverse=True)
    assert int(rows[0].label) * 8 > offered_cpus(WORLD, 20_000)
    assert rows[0].use > rows[-1].use


def test_scaling_costs_less_than_a_cluster_for_the_rush() -> None:
    world = replace(WORLD, settings=ClusterSettings(cpus=1))
    outcomes = {row.label: row for row in day(world, 1500, (12, 24), Reactive(), lambda _: None)}
    assert list(outcomes) == ["fixed", "reactive, idle timeout", "reactive", "predictive"]
    for label in ("reactive", "predictive"):
        assert outcomes[label].node_hours < outcomes["fixed"].node_hours
        assert outcomes[label].use > outcomes["fixed"].use
