"""Metrics: totals are exported as counters, and unknown counts are left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from data.kit.database import Connection, Database
from serve_app.kit import metrics
from serve_app.kit.metrics import TotalsExporter


class FakeMetric:
    """Records what is exported. ``exported``: by name of the metric."""

    exported: dict[str, list[tuple[float, dict[str, str]]]]

    def __init__(self, name: str, _description: str, _tag_keys: tuple[str, ...]) -> None:
        self.values = self.exported.setdefault(f"{type(self).__name__} {name}", [])

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values.append((value, tags))

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0, "Ray's counters refuse everything else"
        self.values.append((value, tags))


class Gauge(FakeMetric):
    pass


class Counter(FakeMetric):
    pass


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[float, dict[str, str]]]]:
    monkeypatch.setattr(FakeMetric, "exported", {}, raising=False)
    monkeypatch.setattr(metrics, "Gauge", Gauge)
    monkeypatch.setattr(metrics, "Counter", Counter)
    return FakeMetric.exported


def test_a_counter_grows_by_what_the_total_grew(exported: dict[str, Any]) -> None:
    total = 0
    exporter = TotalsExporter(Counter("n", "", ()), "shop", {"published": lambda: total})
    for total in (0, 3, 3, 10):  # noqa: B007
        exporter.update()
    tags = {"service": "shop", "what": "published"}
    assert exported["Counter n"] == [(3, tags), (7, tags)]


class UnreachableDatabase(Database):
    """A database that is down."""

    def __init__(self) -> None:
        pass

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        raise psycopg.OperationalError("down")
        yield


async def test_unknown_counts_are_left_out_and_totals_are_exported(exported: dict[str, Any]) -> None:
    exporting = metrics.export("shop", UnreachableDatabase(), {"published": lambda: 4}, ["shop"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(exporting, 0.05)
    assert exported.pop("Counter facet_events") == [(4, {"service": "shop", "what": "published"})]
    assert set(exported) == {
        "Gauge facet_outbox_waiting",
        "Gauge facet_events_parked",
        "Gauge facet_events_unreachable",
    }
    assert not any(exported.values())
