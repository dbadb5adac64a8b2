"""Vectors as tuples: each operation rounded once, sums from x to z; eight lanes alike, dot products of them fused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.runtime import simd
from pricing_engine.kernels.runtime.vec3 import add, cross, dot, dot8, edge, load3, point, scale, splat3, sub
from tests.support.compiled import compiled

store8: Any = simd.store8
Doubles = NDArray[np.float64]
_NUMBER = st.floats(-1e30, 1e30) | st.sampled_from([0.0, -0.0, 1.0, 2.0**-30, 1 + 2.0**-52])
_VECTOR = st.tuples(_NUMBER, _NUMBER, _NUMBER)


@settings(max_examples=50)
@given(_VECTOR, _VECTOR, _NUMBER)
def test_the_same_bits_as_scalar_arithmetic(
    u: tuple[float, float, float], v: tuple[float, float, float], factor: float
) -> None:
    assert add(u, v) == tuple(a + b for a, b in zip(u, v, strict=True))
    assert sub(u, v) == tuple(a - b for a, b in zip(u, v, strict=True))
    assert scale(u, factor) == tuple(a * factor for a in u)
    x, y, z = (a * b for a, b in zip(u, v, strict=True))
    assert dot(u, v) == (x + y) + z
    expected = []
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        expected.append(u[i] * v[j] - u[j] * v[i])
    assert cross(u, v) == tuple(expected)
    assert cross(v, u) == tuple(-c for c in expected)
    assert cross(u, u) == (0, 0, 0)


def test_dot_products_are_summed_from_x_to_z() -> None:
    rng = np.random.default_rng(1)
    for u, v in rng.normal(size=(200, 2, 3)).tolist():
        x, y, z = (a * b for a, b in zip(u, v, strict=True))
        assert dot(tuple(u), tuple(v)) == (x + y) + z


def test_right_handed() -> None:
    x, y, z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    assert (cross(x, y), cross(y, z), cross(z, x)) == (z, x, y)
    assert (dot(x, x), dot(x, y)) == (1, 0)


@settings(max_examples=50)
@given(st.lists(_VECTOR, min_size=1, max_size=5), st.data())
def test_rows_and_edges_of_an_array(rows: list[tuple[float, float, float]], data: st.DataObject) -> None:
    array = np.array(rows)
    i, j = (data.draw(st.integers(0, len(rows) - 1)) for _ in range(2))
    assert point(array, i) == rows[i]
    assert edge(array, i, j) == tuple((array[j] - array[i]).tolist())


@compiled
def _lanes(rows: Doubles, single: tuple[float, float, float], out: Doubles) -> None:
    """``out`` (4, 8): rows 2 .. 4 from the 1st lane on, less ``single``; then the dot product of both."""
    u, v = load3(rows, 2, 1), splat3(single)
    difference = sub(u, v)
    store8(out[0], 0, difference[0])
    store8(out[1], 0, difference[1])
    store8(out[2], 0, difference[2])
    store8(out[3], 0, dot8(u, v))


def _fused(a: float, b: float, c: float) -> float:
    return float(Fraction(a) * Fraction(b) + Fraction(c))


@settings(max_examples=30)
@given(st.integers(0, 2**32), _VECTOR)
def test_eight_lanes(seed: int, single: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(6, 11)) * 10.0 ** rng.integers(-9, 9, (6, 11))
    out = np.empty((4, 8))
    _lanes(rows, single, out)
    u = rows[2:5, 1:9]
    assert np.array_equal(out[:3], u - np.array(single)[:, None])
    x, y, z = single
    assert out[3].tolist() == [_fused(a, x, _fused(b, y, c * z)) for a, b, c in u.T.tolist()]
