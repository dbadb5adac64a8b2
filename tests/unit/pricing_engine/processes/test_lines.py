"""Line items: rounded quantities and amounts, no zero lines, and sums with exclusions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing_engine.processes.lines import LineItems, PriceLine


def test_a_line_is_quantity_times_rate_each_rounded_half_up() -> None:
    items = LineItems()
    items.add("machine", "Machine time", Decimal("1.0005"), "h", Decimal("9.5"), "casting.machine_per_h")
    assert items.lines == [
        PriceLine(
            "machine", "Machine time", Decimal("1.001"), "h", Decimal("9.5"), Decimal("9.51"), "casting.machine_per_h"
        )
    ]
    assert items.lines[0].to_dict() == {
        "code": "machine", "label": "Machine time", "quantity": "1.001", "unit": "h", "rate": "9.50", "amount": "9.51",
        "source": "casting.machine_per_h",
    }  # fmt: skip


@pytest.mark.parametrize(("quantity", "rate"), [(0, "1"), (1, "0"), ("0.0004", "100"), (0, "0")])
def test_a_zero_quantity_or_rate_is_no_line(quantity: int | str, rate: str) -> None:
    items = LineItems()
    items.add("setup", "Setup", Decimal(quantity), "order", Decimal(rate), "setup")
    assert items.lines == []


def test_lines_keep_their_order() -> None:
    items = LineItems()
    for code in ("setup", "metal", "finish"):
        items.add(code, code, 2, "piece", Decimal("1.25"), code)
    assert [(line.code, str(line.quantity), str(line.amount)) for line in items.lines] == [
        ("setup", "2.000", "2.50"), ("metal", "2.000", "2.50"), ("finish", "2.000", "2.50"),
    ]  # fmt: skip


def test_a_total_leaves_out_excluded_codes() -> None:
    items = LineItems()
    for code, rate in (("setup", "18.00"), ("metal", "100.10"), ("finish", "7.05"), ("metal", "0.02")):
        items.add(code, code, 1, "piece", Decimal(rate), code)
    assert items.total() == Decimal("125.17")
    assert items.total(("metal",)) == Decimal("25.05")
    assert items.total(("metal", "setup", "unknown")) == Decimal("7.05")


def test_a_total_without_lines_is_a_decimal_zero() -> None:
    total = LineItems().total()
    assert isinstance(total, Decimal)
    assert str(total) == "0"
