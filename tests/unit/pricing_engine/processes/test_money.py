"""Money: every rounding is half up, whatever the caller's decimal context, and digests are of canonical JSON."""

from __future__ import annotations

import decimal
import hashlib
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

import pytest

from pricing_engine.processes.money import (
    CENT,
    MICRO,
    MILLI,
    ONE,
    ZERO,
    amount,
    billed,
    canonical_digest,
    exact,
    measured,
    plain,
)

# Python's default rounds ties to even, so it shows where half up was not requested.
CONTEXTS = [Context(), Context(rounding=ROUND_DOWN), Context(prec=28, rounding=ROUND_HALF_UP)]


def test_units() -> None:
    assert [str(unit) for unit in (CENT, MILLI, MICRO, ZERO, ONE)] == ["0.01", "0.001", "0.000001", "0", "1"]


@pytest.mark.parametrize("context", CONTEXTS)
def test_ties_are_rounded_away_from_zero_in_any_context(context: Context) -> None:
    with decimal.localcontext(context):
        assert str(measured(0.0078125)) == "0.007813"  # 1/128: an exact tie in binary and decimal
        assert str(measured(-0.0078125)) == "-0.007813"
        assert str(billed(Decimal("2.0005"))) == "2.001"
        assert str(billed(Decimal("-2.0005"))) == "-2.001"
        assert str(amount(Decimal("0.500"), Decimal("0.25"))) == "0.13"
        assert str(amount(Decimal("-0.500"), Decimal("0.25"))) == "-0.13"


def test_values_keep_their_number_of_decimals() -> None:
    assert [str(measured(value)) for value in (0.0, 1.0, 537.29)] == ["0.000000", "1.000000", "537.290000"]
    assert [str(billed(Decimal(value))) for value in ("0", "7", "1.23449")] == ["0.000", "7.000", "1.234"]
    assert str(amount(Decimal(3), Decimal("1.5"))) == "4.50"


def test_what_is_not_finite_is_no_quantity() -> None:
    with pytest.raises(decimal.InvalidOperation):
        measured(float("inf"))


def test_prices_are_computed_with_sixty_digits_and_errors_are_raised() -> None:
    with decimal.localcontext(Context(prec=4, rounding=ROUND_DOWN, traps=[])):
        with exact() as context:
            assert decimal.getcontext() is context
            assert (context.prec, context.rounding) == (60, ROUND_HALF_UP)
            assert str(Decimal(1) / 3) == "0." + "3" * 60
            with pytest.raises(decimal.DivisionByZero):
                Decimal(1) / 0
            with pytest.raises(decimal.InvalidOperation):
                Decimal(0) / 0
            with pytest.raises(decimal.Overflow):
                Decimal("9E999999") * 10
        assert decimal.getcontext().prec == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.00"), ("1E+3", "1000.00"), ("1E-7", "0.0000001"), ("0.1", "0.10"), ("0.10", "0.10"),
        ("12.50", "12.50"), ("0.123400", "0.1234"), ("-5", "-5.00"), ("80", "80.00"),
    ],
)  # fmt: skip
def test_a_rate_has_at_least_two_decimals_and_no_exponent(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_a_rate_with_another_number_of_decimals() -> None:
    assert [plain(Decimal("2.50"), places) for places in (0, 1, 3)] == ["2.5", "2.5", "2.500"]


def test_a_digest_is_of_sorted_keys_without_blanks_in_utf_8() -> None:
    text = '{"a":[1,null,true],"é":"€"}'
    assert canonical_digest({"é": "€", "a": [1, None, True]}) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_digest([float("nan")])
