"""The trace of arrivals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator.workload import HOUR_S, RUSH_HOUR, Mix, day_profile, make_trace


def test_the_trace_has_the_mix() -> None:
    mix = Mix(catalogue=20)
    trace = make_trace(mix, 50_000, 0, 2 * HOUR_S, 12)
    assert len(trace) == pytest.approx(100_000, rel=0.03)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.facets.min() >= mix.min_facets
    assert trace.facets.max() <= mix.max_facets
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
