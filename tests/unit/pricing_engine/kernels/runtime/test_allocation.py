"""Arrays of worst-case capacity: shape and type as requested, and memory for touched pages alone."""

from __future__ import annotations

import mmap

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from pricing_engine.kernels.runtime.allocation import sparse_empty

_4_MIB = 1 << 22


@settings(max_examples=50)
@given(
    st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3).map(tuple)),
    st.sampled_from([np.int16, np.int32, np.int64, np.float32, np.float64]),
)
def test_small_arrays_are_those_of_numpy(shape: int | tuple[int, ...], dtype: DTypeLike) -> None:
    found, expected = sparse_empty(shape, dtype), np.empty(shape, dtype)
    assert (found.shape, found.dtype, found.strides) == (expected.shape, expected.dtype, expected.strides)
    assert found.flags.writeable


@pytest.mark.parametrize("shape", [1 << 20, (1 << 19, 2), (64, 64, 256)])
def test_large_arrays_are_writable_and_do_not_overlap(shape: int | tuple[int, ...]) -> None:
    first, second = sparse_empty(shape, np.int32), sparse_empty(shape, np.int32)
    expected = np.empty(shape, np.int32)
    assert (first.shape, first.dtype, first.strides) == (expected.shape, expected.dtype, expected.strides)
    first[:], second[:] = 1, 2
    assert (first == 1).all()
    assert (second == 2).all()


@pytest.mark.skipif(not hasattr(mmap, "MADV_NOHUGEPAGE"), reason="systems without huge pages on request")
def test_from_4_mib_on_huge_pages_are_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    advice: list[tuple[int, int]] = []

    class Pages(mmap.mmap):
        def madvise(self, option: int, *area: int) -> None:
            advice.append((len(self), option))
            super().madvise(option, *area)

    monkeypatch.setattr(mmap, "mmap", Pages)
    assert sparse_empty(_4_MIB - 1, np.int8).flags.owndata
    assert not advice
    sparse_empty(_4_MIB, np.int8)
    sparse_empty((1 << 20, 3), np.float64)
    assert advice == [(_4_MIB, mmap.MADV_NOHUGEPAGE), (24 << 20, mmap.MADV_NOHUGEPAGE)]


def test_untouched_pages_are_not_resident() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    array = sparse_empty((1 << 20, 32), np.float64)
    array[:: 1 << 13] = 1  # a page in each two megabytes
    assert process.memory_info().rss - before < array.nbytes // 4
