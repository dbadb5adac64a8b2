"""The audit of a chaos run: low coverage, leftovers and incomplete objects are findings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import pytest

from tests.support.chaos.audit import MESSAGING, Audit, Databases, coverage, models, parked_events
from tests.support.chaos.traffic import STATUSES, Ledger, Order
from tests.support.disks import BALLAST


class Rows(Databases):
    """Databases that return for a query the first of ``answers`` whose text it contains."""

    def __init__(self, answers: Mapping[tuple[str, str], list[tuple[Any, ...]]]) -> None:
        self._answers = answers

    def rows(self, service: str, query: LiteralString, *_parameters: object) -> list[tuple[Any, ...]]:
        found = [rows for (where, text), rows in self._answers.items() if where in ("*", service) and text in query]
        return found[0] if found else [(None,)]


def histories(**counts: int) -> dict[str, list[tuple[str, datetime, Any]]]:
    """Return the histories of ``counts`` orders by their last status."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        f"{last} {n}": [(status, now, None) for status in STATUSES[: STATUSES.index(last) + 1]]
        for last, count in counts.items()
        for n in range(count)
    }


@pytest.mark.parametrize(
    ("orders", "findings"),
    [
        (histories(PRICE_CALCULATED=90, SHIPPED=10), []),
        (histories(SUBMITTED=5, PRICE_CALCULATED=90, SHIPPED=5), []),
        (histories(SUBMITTED=6, PRICE_CALCULATED=90, SHIPPED=4), ["94 of 100 submitted orders were priced"]),
        (histories(PRICE_CALCULATED=100), ["no order was shipped"]),
        (histories(SUBMITTED=100), ["0 of 100 submitted", "no order was shipped"]),
        (histories(FILE_UPLOADED=100), ["0 of 0 submitted", "no order was shipped"]),
        ({}, ["0 of 0 submitted", "no order was shipped"]),
    ],
)
def test_a_run_with_low_coverage_is_a_finding(
    orders: dict[str, list[tuple[str, datetime, Any]]], findings: list[str]
) -> None:
    found = Audit()
    coverage(found, orders)
    assert len(found.findings) == len(findings)
    assert all(part in finding for part, finding in zip(findings, found.findings, strict=True))


def test_parked_events_of_every_service_are_counted() -> None:
    some = Rows({("shop", "count"): [(3,)], ("*", "count"): [(0,)]})
    assert parked_events(some) == {**dict.fromkeys(MESSAGING, 0), "shop": 3}


def test_every_object_is_complete_and_every_acknowledged_model_exists(tmp_path: Path) -> None:
    content = [bytes([n]) * 100 for n in range(3)]
    names = [hashlib.sha256(each).hexdigest() for each in content]
    (tmp_path / f"{names[0]}.stl").write_bytes(content[0])
    (tmp_path / names[1]).write_bytes(content[1][:50])
    (tmp_path / BALLAST).write_bytes(bytes(10))
    (tmp_path / "incoming-x.part").write_bytes(bytes(10))
    ledger = Ledger()
    for order_id, status in (("a", "FILE_UPLOADED"), ("b", "INITIATED"), ("c", "SHIPPED"), ("d", "SUBMITTED")):
        ledger.acknowledge(Order(order_id, "customer", "INITIATED", False), status)
    stored = [("a", names[0]), ("b", None), ("c", names[2]), ("d", names[0])]
    found = Audit()
    models(found, Rows({("shop", "model_sha256"): stored}), ledger, tmp_path)
    assert [
        any(word in each for each in found.findings) for word in (names[1], f"c: its model {names[2]}", "share")
    ] == [
        True,
        True,
        True,
    ]
    assert len(found.findings) == 3
    assert found.counted["models"] == 2
