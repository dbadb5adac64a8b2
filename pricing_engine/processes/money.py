"""Exact decimals: the only conversion of floats to quantities and of quantities to money.

Everything is rounded half up (ties away from zero). A measured float is converted by its exact binary value rounded to
six decimals, which removes the last bits that depend on summation order, so the same part gives the same digits. Billed
quantities have three decimals, amounts two. All arithmetic runs inside ``exact()``, so a caller's decimal context
can't change a price; 60 digits hold every product of measures up to 1e9 mm without rounding a billed figure.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from functools import lru_cache
from typing import Any

CENT = Decimal("0.01")
MILLI = Decimal("0.001")
MICRO = Decimal("0.000001")
ZERO = Decimal(0)
ONE = Decimal(1)
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def exact() -> AbstractContextManager[Context]:
    """Return the context in which all prices are computed."""
    return localcontext(_CONTEXT)


def measured(value: float) -> Decimal:
    """Return a finite measured float as a decimal of six places."""
    return Decimal(value).quantize(MICRO, ROUND_HALF_UP)


def billed(quantity: Decimal) -> Decimal:
    """Round a quantity to the three decimals of a line."""
    return quantity.quantize(MILLI, ROUND_HALF_UP)


def amount(quantity: Decimal, rate: Decimal) -> Decimal:
    """Return ``quantity`` x ``rate`` in cents, rounded half up."""
    return (quantity * rate).quantize(CENT, ROUND_HALF_UP)


@lru_cache(maxsize=4096)
def plain(value: Decimal, min_places: int = 2) -> str:
    """Format a rate without exponent, with at least ``min_places`` decimals and no trailing zeros beyond."""
    digits = f"{value.normalize(_CONTEXT):f}"
    places = len(digits.partition(".")[2])
    return digits if places >= min_places else f"{value:.{min_places}f}"


def canonical_digest(document: Any) -> str:
    """Return ``sha256:...`` of the document as canonical JSON: sorted keys, no spaces, UTF-8, NaN rejected."""
    return f"sha256:{hashlib.sha256(_CANONICAL.encode(document).encode()).hexdigest()}"
