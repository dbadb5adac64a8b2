"""Compiler options: IEEE arithmetic without reassociation or contraction, no GIL, a cache on disk for kernels alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel, uncounted

Doubles = NDArray[np.float64]
_NUMBERS = st.floats(-1e30, 1e30)


@kernel
def _sum(values: Doubles) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@inlined
def _product_plus(a: float, b: float, c: float) -> float:
    return a * b + c


@uncounted
def _quotient(a: float, b: float) -> float:
    return a / b


@kernel
def _calls_both(a: float, b: float, c: float) -> tuple[float, float]:
    return _product_plus(a, b, c), _quotient(a, b)


@kernel
def _allocates(count: int) -> Doubles:
    return np.ones(count)


@uncounted
def _allocates_uncounted(count: int) -> float:
    values = np.ones(count)
    return float(values[0])


@settings(max_examples=50)
@given(st.lists(_NUMBERS, max_size=40))
def test_sums_run_in_the_order_of_the_source(values: list[float]) -> None:
    expected = 0.0
    for value in values:
        expected += value
    assert _sum(np.array(values, np.float64)) == expected


@settings(max_examples=50)
@given(_NUMBERS, _NUMBERS, _NUMBERS)
def test_products_and_sums_are_rounded_one_by_one(a: float, b: float, c: float) -> None:
    product = float(Fraction(a) * Fraction(b))
    assert _calls_both(a, b, c)[0] == float(Fraction(product) + Fraction(c))


def test_multiply_and_add_are_not_contracted() -> None:
    a = 1 + 2.0**-30
    assert _calls_both(a, a, -(1 + 2.0**-29))[0] == 0.0  # a fused operation would return 2**-60


def test_division_by_zero_follows_ieee_and_raises_nothing() -> None:
    assert [_calls_both(a, 0.0, 0.0)[1] for a in (1.0, -1.0)] == [np.inf, -np.inf]
    assert np.isnan(_calls_both(0.0, 0.0, 0.0)[1])


def test_kernels_release_the_gil_and_are_cached_on_disk() -> None:
    function: Any
    for function in (_sum, _calls_both):
        options = function.targetoptions
        assert options["nogil"]
        assert not options.get("fastmath", False)
    _sum(np.zeros(1))
    function = _sum
    statistics = function.stats
    assert statistics.cache_path is not None
    assert sum(statistics.cache_hits.values()) + sum(statistics.cache_misses.values()) == 1


def test_helpers_of_kernels_have_no_cache_of_their_own() -> None:
    assert _product_plus(2.0, 3.0, 4.0) == 10
    assert _quotient(1.0, 4.0) == 0.25
    function: Any
    for function in (_product_plus, _quotient):
        assert function.stats.cache_path is None


def test_uncounted_functions_cannot_allocate() -> None:
    assert _allocates(3).tolist() == [1, 1, 1]
    with pytest.raises(TypingError):
        _allocates_uncounted(3)
