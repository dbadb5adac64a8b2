"""A float64 filter for pairs of facets: whether a plane separates them.

By the separating axis theorem for triangles: the planes of both, those through an edge of one and at right angles to
it, at a shared corner the bisector of the wedges. Facets are named by their vertex numbers, so shared corners are
exact and not measured. The filter's error bounds are relative to the extent E of the pair: sums of products of
coordinate differences, each at most 2 E, with fewer than a hundred roundings. So a pair that it separates never meets;
the converse does not hold. O(1) a pair.
"""

from __future__ import annotations

import math

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge, sub

LINEAR = 2.0**-48  # error of d . w, relative to |d|_1 E
_CUBIC = 2.0**-44  # error of (u x v) . w, relative to E**3
_QUARTIC = 2.0**-44  # error of (e x u) . (e x w), relative to E**4


@inlined
def _longest(u):
    return max(abs(u[0]), abs(u[1]), abs(u[2]))


@inlined
def rotated(a, b, c, shift):
    """Return the three in the same cycle, starting ``shift`` places later."""
    if shift == 0:
        return a, b, c
    if shift == 1:
        return b, c, a
    return c, a, b


@inlined
def may_meet(vertices, facets, f, g, near):
    """Return False only if a plane separates facets ``f`` and ``g``, ``near`` mm away from what they don't share."""
    a0, a1, a2 = facets[f, 0], facets[f, 1], facets[f, 2]
    b0, b1, b2 = facets[g, 0], facets[g, 1], facets[g, 2]
    in0, in1, in2 = a0 in (b0, b1, b2), a1 in (b0, b1, b2), a2 in (b0, b1, b2)
    shared = int(in0) + int(in1) + int(in2)
    if shared == 0:
        return _may_meet_disjoint(vertices, a0, a1, a2, b0, b1, b2, near)
    if a0 in (a1, a2) or a1 == a2 or b0 in (b1, b2) or b1 == b2 or shared == 3:
        return True
    if shared == 2:
        a0, a1, a2 = rotated(a0, a1, a2, 1 if not in0 else (2 if not in1 else 0))
        return _may_fold(vertices, a0, a1, a2, b0 + b1 + b2 - a0 - a1, near)
    a0, a1, a2 = rotated(a0, a1, a2, 0 if in0 else (1 if in1 else 2))
    b0, b1, b2 = rotated(b0, b1, b2, 0 if b0 == a0 else (1 if b1 == a0 else 2))
    return _may_meet_at_vertex(vertices, a0, a1, a2, b1, b2, near)


@inlined
def _may_fold(vertices, p, q, a, b, near):
    fold, u, w = edge(vertices, p, q), edge(vertices, p, a), edge(vertices, p, b)
    extent = max(_longest(fold), _longest(u), _longest(w))
    normal_a, normal_b = cross(fold, u), cross(fold, w)
    square_a, square_b = dot(normal_a, normal_a), dot(normal_b, normal_b)
    if dot(normal_a, normal_b) < -_QUARTIC * extent * extent * extent * extent:  # unfolded by more than a right angle
        return min(square_a, square_b) < near * near * dot(fold, fold)
    margin = near * math.sqrt(max(square_a, square_b)) + _CUBIC * extent * extent * extent
    return not abs(dot(normal_a, w)) > margin


@inlined
def _may_meet_at_vertex(vertices, p, a1, a2, b1, b2, near):
    u1, u2 = edge(vertices, p, a1), edge(vertices, p, a2)
    w1, w2 = edge(vertices, p, b1), edge(vertices, p, b2)
    extent = max(_longest(u1), _longest(u2), _longest(w1), _longest(w2))
    rounding = _CUBIC * extent * extent * extent
    normal = cross(u1, u2)
    margin = near * math.sqrt(dot(normal, normal)) + rounding
    s1, s2 = dot(normal, w1), dot(normal, w2)
    if min(s1, s2) > margin or max(s1, s2) < -margin:
        return False
    normal = cross(w1, w2)
    margin = near * math.sqrt(dot(normal, normal)) + rounding
    s1, s2 = dot(normal, u1), dot(normal, u2)
    if min(s1, s2) > margin or max(s1, s2) < -margin:
        return False
    return not _bisector_separates(u1, u2, w1, w2, extent, near)


@kernel
def _bisector_separates(u1, u2, w1, w2, extent, near):
    """Try the plane that halves the narrowest of the angles between a leg of one wedge and a leg of the other."""
    best, d = -2.0, (0.0, 0.0, 0.0)
    for u in (u1, u2):
        for w in (w1, w2):
            x, y = math.sqrt(dot(u, u)), math.sqrt(dot(w, w))
            if x > 0.0 and y > 0.0 and dot(u, w) / (x * y) > best:
                best = dot(u, w) / (x * y)
                d = (u[0] / x - w[0] / y, u[1] / x - w[1] / y, u[2] / x - w[2] / y)
    size = abs(d[0]) + abs(d[1]) + abs(d[2])
    margin = size * (near + LINEAR * extent)
    return min(dot(d, u1), dot(d, u2)) > margin and max(dot(d, w1), dot(d, w2)) < -margin


@inlined
def _may_meet_disjoint(vertices, a0, a1, a2, b0, b1, b2, near):
    u1, u2 = edge(vertices, a0, a1), edge(vertices, a0, a2)
    w0, w1, w2 = edge(vertices, a0, b0), edge(vertices, a0, b1), edge(vertices, a0, b2)
    extent = max(_longest(u1), _longest(u2), _longest(w0), _longest(w1), _longest(w2))
    rounding = _CUBIC * extent * extent * extent
    normal = cross(u1, u2)
    margin = near * math.sqrt(dot(normal, normal)) + rounding
    s0, s1, s2 = dot(normal, w0), dot(normal, w1), dot(normal, w2)
    if min(s0, s1, s2) > margin or max(s0, s1, s2) < -margin:
        return False
    other = cross(edge(vertices, b0, b1), edge(vertices, b0, b2))
    margin = near * math.sqrt(dot(other, other)) + rounding
    s0 = -dot(other, w0)
    s1, s2 = dot(other, edge(vertices, b0, a1)), dot(other, edge(vertices, b0, a2))
    if min(s0, s1, s2) > margin or max(s0, s1, s2) < -margin:
        return False
    return not _edges_separate(normal, other, u1, u2, w0, w1, w2, extent, near)


@kernel
def _edges_separate(normal, other, u1, u2, w0, w1, w2, extent, near):
    """Try the planes through the edges of either facet and at right angles to it."""
    u3, v1, v2, v3 = sub(u2, u1), sub(w1, w0), sub(w2, w0), sub(w2, w1)
    for n, sides in ((normal, (u1, u2, u3)), (other, (v1, v2, v3))):
        for side in sides:
            d = cross(n, side)
            margin = (abs(d[0]) + abs(d[1]) + abs(d[2])) * (near + LINEAR * extent)
            s1, s2, t0, t1, t2 = dot(d, u1), dot(d, u2), dot(d, w0), dot(d, w1), dot(d, w2)
            if min(t0, t1, t2) - max(0.0, s1, s2) > margin or min(0.0, s1, s2) - max(t0, t1, t2) > margin:
                return True
    return False
