"""Exact signs of orientation determinants: a float64 filter first, expansion arithmetic where it does not decide.

After J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates" (1997). The
filter's error bounds are his ``ccwerrboundA`` and ``o3derrboundA``. Behind it the determinant is summed without any
rounding as a nonoverlapping expansion: from the differences of coordinates where these are exact (coordinates that
are float32, as in STL), else from the coordinates themselves.

Guarantee: the returned sign is that of the real determinant of the given float64 coordinates, as long as no product of
three coordinates overflows or falls below the smallest normal number (magnitudes 1e-80 .. 1e100, or zero). Products
are split after Dekker: kernels are compiled without contraction to fused multiply-adds. O(1), some 13 us at worst.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel

_EPSILON = 2.0**-53
_ORIENT2D_BOUND = (3 + 16 * _EPSILON) * _EPSILON
_ORIENT3D_BOUND = (7 + 56 * _EPSILON) * _EPSILON
_SPLITTER = 2.0**27 + 1
_TERMS = 100  # components of the longest expansion: 24 products of three, each four components


@inlined
def two_sum(a, b):
    """Return ``a + b`` as (rounded, error), exactly."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


@inlined
def two_product(a, b):
    """Return ``a * b`` as (rounded, error), exactly, by Dekker's split."""
    product = a * b
    big = _SPLITTER * a
    a_high = big - (big - a)
    a_low = a - a_high
    big = _SPLITTER * b
    b_high = big - (big - b)
    b_low = b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@inlined
def _exact_difference(a, b):
    return two_sum(a, -b)[1] == 0.0


@kernel
def _grow(expansion, size, term):
    """Add ``term`` to ``expansion[:size]`` exactly, zeros dropped; returns the new size (Shewchuk's GROW-EXPANSION)."""
    new_size = np.int64(0)
    for i in range(size):
        term, error = two_sum(term, expansion[i])
        if error != 0.0:
            expansion[new_size] = error
            new_size += 1
    if term != 0.0:
        expansion[new_size] = term
        new_size += 1
    return new_size


@kernel
def _grow_product(expansion, size, x, y, z):
    high, low = two_product(x, y)
    for part in (low, high):
        if part != 0.0:
            product, error = two_product(part, z)
            size = _grow(expansion, size, error)
            size = _grow(expansion, size, product)
    return size


@inlined
def _sign(expansion, size):
    if size == 0:
        return 0
    return 1 if expansion[size - 1] > 0.0 else -1  # the largest component, last, outweighs all others


@kernel
def _grow_determinant(e, n, ax, ay, az, bx, by, bz, cx, cy, cz, sign):
    n = _grow_product(e, n, ax, by, sign * cz)
    n = _grow_product(e, n, ax, bz, -sign * cy)
    n = _grow_product(e, n, ay, bz, sign * cx)
    n = _grow_product(e, n, ay, bx, -sign * cz)
    n = _grow_product(e, n, az, bx, sign * cy)
    return _grow_product(e, n, az, by, -sign * cx)


@kernel
def _orient3d_exact(ax, ay, az, bx, by, bz, cx, cy, cz, dx, dy, dz):
    e = np.empty(_TERMS)
    exact = _exact_difference(ax, dx) and _exact_difference(ay, dy) and _exact_difference(az, dz)
    exact = exact and _exact_difference(bx, dx) and _exact_difference(by, dy) and _exact_difference(bz, dz)
    if exact and _exact_difference(cx, dx) and _exact_difference(cy, dy) and _exact_difference(cz, dz):
        n = _grow_determinant(
            e, np.int64(0), ax - dx, ay - dy, az - dz, bx - dx, by - dy, bz - dz, cx - dx, cy - dy, cz - dz, 1.0
        )
        return _sign(e, n)
    n = _grow_determinant(e, np.int64(0), ax, ay, az, bx, by, bz, cx, cy, cz, 1.0)
    n = _grow_determinant(e, n, bx, by, bz, cx, cy, cz, dx, dy, dz, -1.0)
    n = _grow_determinant(e, n, ax, ay, az, cx, cy, cz, dx, dy, dz, 1.0)
    n = _grow_determinant(e, n, ax, ay, az, bx, by, bz, dx, dy, dz, -1.0)
    return _sign(e, n)


@kernel
def orient3d(ax, ay, az, bx, by, bz, cx, cy, cz, dx, dy, dz):
    """Sign (-1, 0, 1) of det[a - d, b - d, c - d]: 1 if a, b, c are clockwise seen from d (d below them)."""
    adx, ady, adz = ax - dx, ay - dy, az - dz
    bdx, bdy, bdz = bx - dx, by - dy, bz - dz
    cdx, cdy, cdz = cx - dx, cy - dy, cz - dz
    p, q = bdx * cdy, cdx * bdy
    r, s = cdx * ady, adx * cdy
    t, u = adx * bdy, bdx * ady
    determinant = adz * (p - q) + bdz * (r - s) + cdz * (t - u)
    permanent = (abs(p) + abs(q)) * abs(adz) + (abs(r) + abs(s)) * abs(bdz) + (abs(t) + abs(u)) * abs(cdz)
    bound = _ORIENT3D_BOUND * permanent
    if determinant > bound:
        return 1
    if -determinant > bound:
        return -1
    return _orient3d_exact(ax, ay, az, bx, by, bz, cx, cy, cz, dx, dy, dz)


@kernel
def orient2d(ax, ay, bx, by, cx, cy):
    """Sign (-1, 0, 1) of det[a - c, b - c]: 1 if a, b, c turn counter-clockwise."""
    left, right = (ax - cx) * (by - cy), (ay - cy) * (bx - cx)
    determinant = left - right
    bound = _ORIENT2D_BOUND * (abs(left) + abs(right))
    if determinant > bound:
        return 1
    if -determinant > bound:
        return -1
    e = np.empty(_TERMS)
    n = _grow_product(e, np.int64(0), ax, by, 1.0)
    n = _grow_product(e, n, ax, cy, -1.0)
    n = _grow_product(e, n, cx, by, -1.0)
    n = _grow_product(e, n, ay, bx, -1.0)
    n = _grow_product(e, n, ay, cx, 1.0)
    return _sign(e, _grow_product(e, n, cy, bx, 1.0))
