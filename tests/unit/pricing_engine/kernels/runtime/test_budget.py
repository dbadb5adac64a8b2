"""Budgets of searches: the logarithm by which they exceed a linear one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.runtime.budget import UNMEASURED, log2_of


@settings(max_examples=50)
@given(st.integers(0, 1 << 62))
def test_logarithm_is_rounded_up_and_at_least_one(count: int) -> None:
    power = 1
    while 2**power < count:
        power += 1
    assert log2_of(count) == power


@pytest.mark.parametrize("power", range(2, 62))
def test_steps_are_at_powers_of_two(power: int) -> None:
    assert [log2_of(2**power + more) for more in (-1, 0, 1)] == [power, power, power + 1]


def test_an_unmeasured_value_is_no_length_volume_or_share() -> None:
    assert UNMEASURED < 0
