"""Points and vectors as tuples (x, y, z), of numbers or of eight lanes (:mod:`kernels.runtime.simd`).

Inlined: LLVM splits the tuples into registers. The order of operations is part of the result, to the last bit: sums run
from x to z and are rounded after each operation, except in :func:`dot8`.
"""

from __future__ import annotations

from pricing_engine.kernels.runtime.compile import inlined
from pricing_engine.kernels.runtime.simd import fma8, load8, splat8


@inlined
def point(rows, i):
    """Row ``i`` of an (n, 3) array."""
    return rows[i, 0], rows[i, 1], rows[i, 2]


@inlined
def edge(rows, i, j):
    """Return the vector from row ``i`` of an (n, 3) array to row ``j``."""
    return rows[j, 0] - rows[i, 0], rows[j, 1] - rows[i, 1], rows[j, 2] - rows[i, 2]


@inlined
def add(u, v):
    """Return u + v."""
    return u[0] + v[0], u[1] + v[1], u[2] + v[2]


@inlined
def sub(u, v):
    """Return u - v."""
    return u[0] - v[0], u[1] - v[1], u[2] - v[2]


@inlined
def scale(u, factor):
    """Return u times ``factor``."""
    return u[0] * factor, u[1] * factor, u[2] * factor


@inlined
def dot(u, v):
    """Dot product."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@inlined
def cross(u, v):
    """Cross product."""
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


@inlined
def dot8(u, v):
    """Dot products of eight lanes by fused multiply-adds, from z to x."""
    return fma8(u[0], v[0], fma8(u[1], v[1], u[2] * v[2]))


@inlined
def load3(rows, row, index):
    """Eight vectors: lanes ``index .. index + 8`` of rows ``row .. row + 3`` of an (n, m) array."""
    return load8(rows, row, index), load8(rows, row + 1, index), load8(rows, row + 2, index)


@inlined
def splat3(u):
    """Return the vector u in all lanes."""
    return splat8(u[0]), splat8(u[1]), splat8(u[2])
