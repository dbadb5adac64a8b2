"""The parts of the load test that need no stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.load.models import SEGMENTS, ring
from benchmarks.load.target import NoTarget, find_target, is_loopback
from benchmarks.load_report import ORDER, SUBMITTED_TO_QUOTED, Sample, Samples, percentiles
from pricing_engine.analysis.measure import Settings, measure


def test_models_are_watertight_and_differ(tmp_path: Path) -> None:
    models = [ring(seed) for seed in range(5)]
    assert len(set(models)) == 5
    assert ring(3) == models[3]
    file = tmp_path / "ring.stl"
    file.write_bytes(models[0])
    analysis = measure(file, None, Settings(), 2).analysis
    assert analysis.model.facets == SEGMENTS**2
    assert analysis.integrity.watertight
    assert analysis.integrity.self_intersecting_facets == 0


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://10.0.0.1:8000", False),
        ("http://localhost.example.org", False),
        ("", False),
    ],
)
def test_only_loopback_is_loaded(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_an_invalid_target_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    for status in ({"url": None}, {"url": "http://192.0.2.1:80", "demo": {}}, {"url": "http://127.0.0.1:80"}):
        file.write_text(json.dumps(status))
        with pytest.raises(NoTarget):
            find_target(str(file))


def test_percentiles_are_of_successes_and_failures_are_counted(tmp_path: Path) -> None:
    run = Samples(20, seconds=10)
    run.samples += [Sample(n / 10, "GET", "GET /a", float(n), None) for n in range(1, 101)]
    run.samples += [
        Sample(1, "GET", "GET /a", 9999, "503 away"),
        Sample(2, ORDER, f"{SUBMITTED_TO_QUOTED}, express", 250, None),
    ]
    run.write(tmp_path)
    summary = json.loads((tmp_path / "load-summary.json").read_text())
    assert (summary["requests"], summary["requests_per_s"], summary["failures"]) == (101, 10.1, 1)
    assert summary["kinds"]["GET /a"] == {"count": 101, "failures": 1, "per_s": 10.1, "p50": 51, "p95": 95, "p99": 99}
    assert summary["failures_by_reason"] == {"GET /a: 503 away": 1}
    assert "<svg" in (tmp_path / "load.svg").read_text()


def test_no_values_have_no_percentiles() -> None:
    assert percentiles([]) == {}
