"""Does the plane of one of two facets separate them? One facet against the eight of a leaf, in float64.

This settles most of the pairs that :mod:`separating_plane` would have to test one by one. The error of (u x v) . w is
less than 16 roundings, 2**-53 each, of |u| |v| |w|: a pair that it separates never meets. O(1) for eight pairs.
"""

from __future__ import annotations

import math

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, uncounted
from pricing_engine.kernels.runtime.simd import equal8, fma8, less8, load8, max8, splat8, sqrt8, store8
from pricing_engine.kernels.runtime.vec3 import cross, dot, load3, point, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH

_NORMAL, _MARGIN, _NUMBERS = 9, 12, 13  # rows after the corners: one leaf's normals, their margins, vertex numbers
LEAF_ROWS = 16
_CUBIC = 2.0**-46  # bound of the error of (u x v) . w, relative to |u| |v| |w|


@inlined
def _height8(n, p, origin):
    x, y, z = sub(p, origin)
    return fma8(n[0], x, fma8(n[1], y, n[2] * z))


@uncounted
def gather8(leaf, vertices, facets, near, reach, rows):
    """Fill ``rows`` (:data:`LEAF_ROWS`, 8) for :func:`separated8` with the facets of a leaf, as many as it has."""
    for lane in range(min(WIDTH, len(facets) - WIDTH * leaf)):
        for corner in range(3):
            v = facets[WIDTH * leaf + lane, corner]
            rows[_NUMBERS + corner, lane] = v
            for axis in range(3):
                rows[3 * corner + axis, lane] = vertices[v, axis]
    a = load3(rows, 0, 0)
    u, v = sub(load3(rows, 3, 0), a), sub(load3(rows, 6, 0), a)
    n = cross(u, v)
    margin = splat8(near) * sqrt8(dot(n, n)) + splat8(_CUBIC * reach) * max8(dot(u, u), dot(v, v))
    store8(rows[_NORMAL], 0, n[0])
    store8(rows[_NORMAL + 1], 0, n[1])
    store8(rows[_NORMAL + 2], 0, n[2])
    store8(rows[_MARGIN], 0, margin)


@inlined
def separated8(rows, vertices, facets, g, near, reach):
    """Compare facet ``g`` with those in ``rows``; ``reach`` (mm) is no less than the model's extent.

    Masks of those that a plane of either separates, ``near`` mm from what they don't share, or of both where they
    share an edge; of those that share a corner; and of those that share an edge.
    """
    g0, g1, g2 = facets[g, 0], facets[g, 1], facets[g, 2]
    number = splat8(np.float64(g0)), splat8(np.float64(g1)), splat8(np.float64(g2))
    numbers = load3(rows, _NUMBERS, 0)
    a0, a1, a2 = equal8(numbers[0], number[0]), equal8(numbers[0], number[1]), equal8(numbers[0], number[2])
    b0, b1, b2 = equal8(numbers[1], number[0]), equal8(numbers[1], number[1]), equal8(numbers[1], number[2])
    c0, c1, c2 = equal8(numbers[2], number[0]), equal8(numbers[2], number[1]), equal8(numbers[2], number[2])
    in_a, in_b, in_c = a0 | a1 | a2, b0 | b1 | b2, c0 | c1 | c2
    edge = (in_a & in_b) | (in_b & in_c) | (in_c & in_a)

    p, q, r = point(vertices, g0), point(vertices, g1), point(vertices, g2)
    u, v = sub(q, p), sub(r, p)
    n = cross(u, v)
    margin = splat8(near * math.sqrt(dot(n, n)) + _CUBIC * reach * max(dot(u, u), dot(v, v)))
    p8, q8, r8, n8 = splat3(p), splat3(q), splat3(r), splat3(n)
    a, b, c = load3(rows, 0, 0), load3(rows, 3, 0), load3(rows, 6, 0)
    by_g = _one_side8(_height8(n8, a, p8), _height8(n8, b, p8), _height8(n8, c, p8), margin, in_a, in_b, in_c)

    n8, margin = load3(rows, _NORMAL, 0), load8(rows, _MARGIN, 0)
    in_p, in_q, in_r = a0 | b0 | c0, a1 | b1 | c1, a2 | b2 | c2
    by_f = _one_side8(_height8(n8, p8, a), _height8(n8, q8, a), _height8(n8, r8, a), margin, in_p, in_q, in_r)
    separated = ((by_f & by_g) | ((by_f | by_g) & ~edge)) & ~(in_a & in_b & in_c)
    return separated, in_a | in_b | in_c, edge


@inlined
def _one_side8(s0, s1, s2, margin, shared0, shared1, shared2):
    """Mask of the lanes whose three heights, apart from shared corners', are all above or all below a plane."""
    below = splat8(0.0) - margin
    up = (less8(margin, s0) | shared0) & (less8(margin, s1) | shared1) & (less8(margin, s2) | shared2)
    return up | ((less8(s0, below) | shared0) & (less8(s1, below) | shared1) & (less8(s2, below) | shared2))
