"""The filter of :mod:`separating_plane` for eight pairs at once.

It tests those that the facets' own planes (:mod:`facet_planes`) leave. Pairs wait until there are eight with as many
shared corners: none, one, or more.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.intersection.separating_plane import LINEAR, may_meet
from pricing_engine.kernels.runtime.compile import inlined, uncounted
from pricing_engine.kernels.runtime.simd import abs8, less8, max8, min8, select8, splat8, sqrt8
from pricing_engine.kernels.runtime.vec3 import cross, dot, load3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH

NONE_SHARED, ONE_SHARED, MORE_SHARED = 0, 1, 2
KINDS = 3
COUNT = WIDTH  # column, after up to eight pairs ``f << 32 | g`` of a row, of their number
PAIR_ROWS = 18


@uncounted
def may_meet8(kind, vertices, facets, pairs, near, reach, corners):
    """Return the mask of the ``pairs`` that may meet.

    ``corners`` (:data:`PAIR_ROWS`, 8) is scratch, ``reach`` (mm) no less than the model's extent.
    """
    count, meet = pairs[COUNT], np.int64(0)
    if kind == MORE_SHARED:
        for lane in range(count):
            meet |= np.int64(may_meet(vertices, facets, pairs[lane] >> 32, pairs[lane] & 0x7FFFFFFF, near)) << lane
        return meet
    _gather_pairs8(kind, vertices, facets, pairs, corners)
    a0, b0 = load3(corners, 0, 0), load3(corners, 9, 0)
    u1, u2 = sub(load3(corners, 3, 0), a0), sub(load3(corners, 6, 0), a0)
    w1, w2 = sub(load3(corners, 12, 0), a0), sub(load3(corners, 15, 0), a0)
    margin = splat8(near + LINEAR * reach)
    if kind == NONE_SHARED:
        meet = ~_edges_separate8(u1, u2, sub(b0, a0), w1, w2, margin)
    else:
        meet = ~_bisector_separates8(u1, u2, w1, w2, margin)
    return meet & ((1 << count) - 1)


@uncounted
def _gather_pairs8(kind, vertices, facets, pairs, corners):
    """Gather the corners of both facets of each pair, the shared one first."""
    for lane in range(pairs[COUNT]):
        f, g = pairs[lane] >> 32, pairs[lane] & 0x7FFFFFFF
        first_f, first_g = 0, 0
        if kind == ONE_SHARED:
            for i in range(3):
                for j in range(3):
                    if facets[f, i] == facets[g, j]:
                        first_f, first_g = i, j
        for corner in range(3):
            a, b = facets[f, (first_f + corner) % 3], facets[g, (first_g + corner) % 3]
            for axis in range(3):
                corners[3 * corner + axis, lane] = vertices[a, axis]
                corners[9 + 3 * corner + axis, lane] = vertices[b, axis]


@inlined
def _edges_separate8(u1, u2, w0, w1, w2, margin):
    """Try the planes through the edges of either facet and at right angles to it."""
    n = cross(u1, u2)
    separated = _gap8(cross(n, u1), u1, u2, w0, w1, w2, margin) | _gap8(cross(n, u2), u1, u2, w0, w1, w2, margin)
    separated |= _gap8(cross(n, sub(u2, u1)), u1, u2, w0, w1, w2, margin)
    v1, v2 = sub(w1, w0), sub(w2, w0)
    n = cross(v1, v2)
    separated |= _gap8(cross(n, v1), u1, u2, w0, w1, w2, margin) | _gap8(cross(n, v2), u1, u2, w0, w1, w2, margin)
    return separated | _gap8(cross(n, sub(w2, w1)), u1, u2, w0, w1, w2, margin)


@inlined
def _gap8(d, u1, u2, w0, w1, w2, margin):
    """Mask of the pairs with a gap along ``d`` between 0, u1, u2 and w0, w1, w2."""
    zero = splat8(0.0)
    s1, s2, t0, t1, t2 = dot(d, u1), dot(d, u2), dot(d, w0), dot(d, w1), dot(d, w2)
    margin = (abs8(d[0]) + abs8(d[1]) + abs8(d[2])) * margin
    above = min8(t0, min8(t1, t2)) - max8(zero, max8(s1, s2))
    below = min8(zero, min8(s1, s2)) - max8(t0, max8(t1, t2))
    return less8(margin, above) | less8(margin, below)


@inlined
def _bisector_separates8(u1, u2, w1, w2, margin):
    """Try the plane that halves the narrowest of the angles between a leg of one wedge and a leg of the other."""
    x1, x2, y1, y2 = _unit8(u1), _unit8(u2), _unit8(w1), _unit8(w2)
    zero = splat8(0.0)
    best, d = _narrower8(splat8(-2.0), (zero, zero, zero), x1, y1)
    best, d = _narrower8(best, d, x1, y2)
    best, d = _narrower8(best, d, x2, y1)
    best, d = _narrower8(best, d, x2, y2)
    margin = (abs8(d[0]) + abs8(d[1]) + abs8(d[2])) * margin
    separated = less8(margin, min8(dot(d, u1), dot(d, u2)))
    return separated & less8(max8(dot(d, w1), dot(d, w2)), zero - margin)


@inlined
def _unit8(u):
    """Return unit vectors; NaN for a leg without length, which is narrower than none."""
    length = sqrt8(dot(u, u))
    return u[0] / length, u[1] / length, u[2] / length


@inlined
def _narrower8(best, d, u, w):
    """Return the larger of the cosines ``best`` and u . w, with its difference ``d`` or u - w."""
    cosine = dot(u, w)
    narrower = less8(best, cosine)
    x, y, z = sub(u, w)
    d = select8(narrower, x, d[0]), select8(narrower, y, d[1]), select8(narrower, z, d[2])
    return select8(narrower, cosine, best), d
