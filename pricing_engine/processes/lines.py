"""Line items: quantity x rate = amount, each with the price-book key of its rate."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from pricing_engine.processes.money import ZERO, amount, billed, plain


class PriceLine(NamedTuple):
    """One line of an order. ``quantity`` has three decimals, ``amount`` two; ``source`` is a dotted key."""

    code: str
    label: str
    quantity: Decimal
    unit: str
    rate: Decimal
    amount: Decimal
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready line, decimals as strings."""
        return {
            "code": self.code,
            "label": self.label,
            "quantity": str(self.quantity),
            "unit": self.unit,
            "rate": plain(self.rate),
            "amount": str(self.amount),
            "source": self.source,
        }


class LineItems:
    """Collects the lines of one option, in the order of the work, without zero amounts."""

    def __init__(self) -> None:
        self.lines: list[PriceLine] = []

    def add(self, code: str, label: str, quantity: Decimal | int, unit: str, rate: Decimal, source: str) -> None:
        """Append ``quantity`` (rounded to three decimals) x ``rate``; nothing if either is zero."""
        rounded = billed(Decimal(quantity))
        if rounded and rate:
            self.lines.append(PriceLine(code, label, rounded, unit, rate, amount(rounded, rate), source))

    def total(self, excluded_codes: tuple[str, ...] = ()) -> Decimal:
        """Return the sum of amounts, without lines of ``excluded_codes``."""
        return sum((line.amount for line in self.lines if line.code not in excluded_codes), ZERO)
