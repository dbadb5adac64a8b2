"""Eight lanes as a value: each operation is that of numpy lane by lane, and comparisons are masks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import DTypeLike, NDArray

from pricing_engine.kernels.runtime import simd as typed
from tests.support.compiled import compiled

simd: Any = typed  # intrinsics have the types of the compiler
Values = NDArray[Any]
_SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.0**-149, 3e38]


def _values(width: int, special: bool = True) -> st.SearchStrategy[Values]:
    """Rows (3, 8), often with equal lanes, and with zeros of both signs, infinities and NaN if ``special``."""
    exact = np.float32 if width == 32 else np.float64
    number = st.floats(-1e9, 1e9, width=32) | st.integers(-2, 2).map(float)
    return arrays.arrays(exact, (3, 8), elements=number | st.sampled_from(_SPECIAL) if special else number)


@compiled
def _arithmetic(rows: Values, out: Values) -> None:
    a, b, c = simd.load8(rows, 0, 0), simd.load8(rows, 1, 0), simd.load8(rows, 2, 0)
    simd.store8(out[0], 0, a + b)
    simd.store8(out[1], 0, a - b)
    simd.store8(out[2], 0, a * b)
    simd.store8(out[3], 0, a / b)
    simd.store8(out[4], 0, simd.sqrt8(a))
    simd.store8(out[5], 0, simd.abs8(a))
    simd.store8(out[6], 0, simd.min8(a, b))
    simd.store8(out[7], 0, simd.max8(a, b))
    simd.store8(out[8], 0, simd.fma8(a, b, c))
    simd.store8(out[9], 0, simd.splat8(rows[0, 3]))
    simd.store8(out[10], 0, simd.select8(simd.less8(b, c), a, b))


@compiled
def _masks(rows: Values, masks: NDArray[np.int64], least: Values) -> None:
    a, b = simd.load8(rows, 0, 0), simd.load8(rows, 1, 0)
    masks[0], masks[1], masks[2] = simd.less8(a, b), simd.at_most8(a, b), simd.equal8(a, b)
    least[0], least[1] = simd.least8(a), simd.lowest8(simd.load8(rows, 2, 0))


def _mask(lanes: NDArray[np.bool_]) -> int:
    return sum(1 << i for i, lane in enumerate(lanes.tolist()) if lane)


@pytest.mark.parametrize("width", [32, 64])
@settings(max_examples=50)
@given(st.data())
def test_arithmetic_is_that_of_numpy(width: int, data: st.DataObject) -> None:
    rows = data.draw(_values(width))
    rows[np.isnan(rows)] = np.nan
    a, b, c = rows
    out = np.full((11, 8), 7, rows.dtype)
    _arithmetic(rows, out)
    with np.errstate(all="ignore"):
        expected = [a + b, a - b, a * b, a / b, np.sqrt(a), np.abs(a), np.where(a < b, a, b), np.where(a > b, a, b)]
    for found, lanes in zip(out, expected, strict=False):
        np.testing.assert_array_equal(found, lanes)
        number = ~np.isnan(lanes)
        assert np.array_equal(np.signbit(found)[number], np.signbit(lanes)[number])
    np.testing.assert_array_equal(out[9], np.full(8, a[3]))
    np.testing.assert_array_equal(out[10], np.where(b < c, a, b))


@pytest.mark.parametrize("width", [32, 64])
@settings(max_examples=30)
@given(st.data())
def test_multiply_and_add_round_once(width: int, data: st.DataObject) -> None:
    rows = data.draw(_values(width, special=False))
    rows[2] -= rows[0] * rows[1] * data.draw(st.sampled_from([0, 1]))  # the product's rounding error alone
    out = np.empty((11, 8), rows.dtype)
    _arithmetic(rows, out)
    for a, b, c, found in zip(*rows.tolist(), out[8], strict=True):
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        error = abs(exact - Fraction(float(found)))
        for side in (-np.inf, np.inf):
            assert error <= abs(exact - Fraction(float(np.nextafter(found, rows.dtype.type(side)))))


@pytest.mark.parametrize("width", [32, 64])
@settings(max_examples=50)
@given(st.data())
def test_comparisons_are_masks_and_nan_compares_with_nothing(width: int, data: st.DataObject) -> None:
    rows = data.draw(_values(width))
    rows[np.isnan(rows)] = np.nan
    rows[2, np.isnan(rows[2])] = 0
    a, b, c = rows
    masks, least = np.empty(3, np.int64), np.empty(2, rows.dtype)
    _masks(rows, masks, least)
    assert masks.tolist() == [_mask(a < b), _mask(a <= b), _mask(a == b)]
    np.testing.assert_array_equal(least[0], np.nan if np.isnan(a).all() else a[~np.isnan(a)].min())
    assert least[1] == c.min()


@compiled
def _convert(single: Values, double: Values, wide: Values, narrow: Values) -> None:
    simd.store8(wide[0], 0, simd.double8(simd.load8(single, 0, 0)))
    simd.store8(narrow[0], 0, simd.single8(simd.load8(double, 0, 0)))


@settings(max_examples=50)
@given(_values(32), arrays.arrays(np.float64, (1, 8), elements=st.floats(-1e38, 1e38)))
def test_conversions_round_to_nearest(single: Values, double: Values) -> None:
    wide, narrow = np.empty((1, 8), np.float64), np.empty((1, 8), np.float32)
    _convert(single, double, wide, narrow)
    np.testing.assert_array_equal(wide[0], single[0].astype(np.float64))
    np.testing.assert_array_equal(narrow[0], double[0].astype(np.float32))


@compiled
def _copy(rows: Values, row: int, index: int, out: Values, at: int) -> None:
    simd.store8(out, at, simd.load8(rows, row, index))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loads_and_stores_at_any_place(dtype: DTypeLike) -> None:
    rows = np.arange(5 * 13, dtype=dtype).reshape(5, 13)
    for row in range(5):
        for index in range(6):
            out = np.full(17, -1, dtype)
            _copy(rows, row, index, out, index + 3)
            expected = np.full(17, -1, dtype)
            expected[index + 3 : index + 11] = rows[row, index : index + 8]
            assert np.array_equal(out, expected)


@compiled
def _select(mask: int, rows: Values, out: Values) -> None:
    simd.store8(out, 0, simd.select8(mask, simd.load8(rows, 0, 0), simd.load8(rows, 1, 0)))


@compiled
def _bits(mask: int, row: NDArray[np.int32], start: int, value: int, out: NDArray[np.int64]) -> None:
    out[0], out[1], out[2] = simd.lowest_bit(mask), simd.count_bits(mask), simd.first_bit(np.uint64(mask))
    out[3] = simd.equal16(row, np.uint64(start), np.int32(value))


@settings(max_examples=50)
@given(st.integers(1, (1 << 62) - 1) | st.integers(0, 61).map(lambda bit: 1 << bit), st.integers(0, 2**32))
def test_bits_of_masks(mask: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, out = np.arange(16.0).reshape(2, 8), np.empty(8)
    _select(mask, rows, out)
    assert out.tolist() == [rows[0, i] if mask >> i & 1 else rows[1, i] for i in range(8)]
    row = rng.integers(-2, 3, 24).astype(np.int32)
    start, value, found = int(rng.integers(0, 9)), int(rng.integers(-2, 3)), np.empty(4, np.int64)
    _bits(mask, row, start, value, found)
    binary = f"{mask:b}"
    lowest = len(binary) - 1 - binary.rindex("1")
    assert found.tolist() == [lowest, binary.count("1"), lowest, _mask(row[start : start + 16] == value)]


@compiled
def _prefetch_all(rows: Values) -> None:
    for row in range(len(rows)):
        simd.prefetch(rows, np.uint64(row))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prefetching_changes_nothing(dtype: DTypeLike) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3)).astype(dtype)
    before = rows.copy()
    _prefetch_all(rows)
    assert np.array_equal(rows, before)
