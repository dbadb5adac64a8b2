"""Predicates (``intersection/predicates.py``) against rational arithmetic, where rounding would decide the sign."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.predicates import orient2d, orient3d, two_product, two_sum


def _determinant(rows: list[list[Fraction]]) -> Fraction:
    if len(rows) == 1:
        return rows[0][0]
    minors = [[row[:i] + row[i + 1 :] for row in rows[1:]] for i in range(len(rows))]
    return sum(((-1) ** i * rows[0][i] * _determinant(minors[i]) for i in range(len(rows))), Fraction(0))


def _exact_sign(points: NDArray[np.float64]) -> int:
    exact = [[Fraction(float(x)) for x in point] for point in points]
    value = _determinant([[x - y for x, y in zip(point, exact[-1], strict=True)] for point in exact[:-1]])
    return (value > 0) - (value < 0)


def _nearly_flat(rng: np.random.Generator, dimension: int, grid: int) -> NDArray[np.float64]:
    """Return points of a small lattice, scaled by an odd factor, some of them moved by an ulp."""
    points = rng.integers(-grid, grid + 1, (dimension + 1, dimension)) * rng.choice([1.0, 0.1, 1 / 3, 1e-20, 1e15])
    points[0] = points[1:].T @ rng.dirichlet(np.ones(dimension))
    moved: NDArray[np.float64] = points * np.where(rng.random(points.shape) < 0.2, 1 + 2.0**-52, 1.0)
    return moved


@pytest.mark.parametrize("grid", [1, 2, 1000])
def test_signs_are_exact_where_rounding_would_decide(grid: int) -> None:
    rng = np.random.default_rng(grid)
    for _ in range(400):
        triangle, tetrahedron = _nearly_flat(rng, 2, grid), _nearly_flat(rng, 3, grid)
        assert orient2d(*triangle.ravel()) == _exact_sign(triangle)
        assert orient3d(*tetrahedron.ravel()) == _exact_sign(tetrahedron)


def test_signs_of_float32_coordinates_and_of_large_offsets() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        points = _nearly_flat(rng, 3, 50).astype(np.float32).astype(np.float64)
        assert orient3d(*points.ravel()) == _exact_sign(points)
        points += 1e9
        assert orient3d(*points.ravel()) == _exact_sign(points)


def test_swapping_points_flips_the_sign() -> None:
    rng = np.random.default_rng(7)
    for _ in range(100):
        a, b, c, d = _nearly_flat(rng, 3, 3)
        assert orient3d(*a, *b, *c, *d) == -orient3d(*b, *a, *c, *d) == -orient3d(*a, *b, *d, *c)


def test_sums_and_products_lose_nothing() -> None:
    rng = np.random.default_rng(11)
    for a, b in rng.normal(size=(200, 2)) * 10.0 ** rng.integers(-30, 30, (200, 2)):
        assert sum(map(Fraction, two_product(a, b))) == Fraction(a) * Fraction(b)
        assert sum(map(Fraction, two_sum(a, b))) == Fraction(a) + Fraction(b)
