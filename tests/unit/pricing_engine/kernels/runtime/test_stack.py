"""Stacks of pairs of integers: last in, first out, in the rows below the depth alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.runtime.stack import pop, push

_INTEGER = st.integers(-(1 << 62), 1 << 62)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.tuples(_INTEGER, _INTEGER)), max_size=30))
def test_agrees_with_a_list(steps: list[tuple[int, int] | None]) -> None:
    stack, depth = np.full((30, 2), 7, np.int64), 0
    expected: list[tuple[int, int]] = []
    for entry in steps:
        if entry is not None:
            expected.append(entry)
            depth = push(stack, depth, *entry)
        elif expected:
            depth, *popped = pop(stack, depth)
            assert tuple(popped) == expected.pop()
        assert depth == len(expected)
        assert list(map(tuple, stack[:depth].tolist())) == expected
    assert (stack[len(steps) :] == 7).all()
