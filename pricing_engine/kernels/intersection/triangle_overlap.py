"""Do the relative interiors of two facets meet? Decided exactly, from signs of determinants alone.

Facets that cross: the test of P. Guigue and O. Devillers, "Fast and Robust Triangle-Triangle Overlap Test Using
Orientation Predicates" (2003), with strict signs. Facets in one plane: two triangles have disjoint interiors if and
only if a line through an edge of one of them separates them. Facets are given by vertex numbers: a shared corner is
in the plane by definition, not measured. Exact for the given float64 coordinates; O(1).
"""

from __future__ import annotations

from pricing_engine.kernels.intersection.predicates import orient2d, orient3d
from pricing_engine.kernels.intersection.separating_plane import rotated
from pricing_engine.kernels.runtime.compile import inlined, kernel


@kernel
def interiors_meet(v, facets, f, g):
    """Whether the relative interiors of facets ``f`` and ``g`` have a common point: exact."""
    p1, q1, r1 = facets[f, 0], facets[f, 1], facets[f, 2]
    p2, q2, r2 = facets[g, 0], facets[g, 1], facets[g, 2]
    x, y, z = _side(v, p2, q2, r2, p1), _side(v, p2, q2, r2, q1), _side(v, p2, q2, r2, r1)
    if x == y == z == 0:
        return _overlap_in_plane(v, p1, q1, r1, p2, q2, r2)
    if min(x, y, z) >= 0 or max(x, y, z) <= 0:
        return False
    shift, above_2 = _alone(x, y, z)
    p1, q1, r1 = rotated(p1, q1, r1, shift)
    x, y, z = _side(v, p1, q1, r1, p2), _side(v, p1, q1, r1, q2), _side(v, p1, q1, r1, r2)
    if min(x, y, z) >= 0 or max(x, y, z) <= 0:
        return False
    shift, above_1 = _alone(x, y, z)
    p2, q2, r2 = rotated(p2, q2, r2, shift)
    if not above_2:
        q2, r2 = r2, q2
    if not above_1:
        q1, r1 = r1, q1
    # both facets cut the line where their planes meet in an interval of some length; do these overlap?
    return _side(v, p1, q1, p2, q2) < 0 and _side(v, p1, r1, r2, p2) < 0


@inlined
def _alone(x, y, z):
    """Of three signs, not all on one side, the one that is alone: its place and whether it is positive."""
    sign = 1 if int(x > 0) + int(y > 0) + int(z > 0) == 1 else -1
    return (0 if x == sign else (1 if y == sign else 2)), sign > 0


@kernel
def _side(v, a, b, c, d):
    """1 if d is above the facet a b c, its normal's side; 0 in its plane."""
    if d in (a, b, c) or a in (b, c) or b == c:
        return 0
    return -orient3d(
        v[a, 0], v[a, 1], v[a, 2], v[b, 0], v[b, 1], v[b, 2], v[c, 0], v[c, 1], v[c, 2], v[d, 0], v[d, 1], v[d, 2]
    )


@kernel
def _overlap_in_plane(v, p1, q1, r1, p2, q2, r2):
    """Facets in one plane, or without area: projected along an axis where both have an area, no edge separates them."""
    for x, y in ((0, 1), (1, 2), (2, 0)):
        turn1, turn2 = _turn(v, x, y, p1, q1, r1), _turn(v, x, y, p2, q2, r2)
        if turn1 != 0 and turn2 != 0:
            return not (
                _edge_separates(v, x, y, p1, q1, r1, p2, q2, r2, turn1)
                or _edge_separates(v, x, y, p2, q2, r2, p1, q1, r1, turn2)
            )
    return False


@kernel
def _edge_separates(v, x, y, p1, q1, r1, p2, q2, r2, turn):
    for a, b in ((p1, q1), (q1, r1), (r1, p1)):
        if (
            turn * _turn(v, x, y, a, b, p2) <= 0
            and turn * _turn(v, x, y, a, b, q2) <= 0
            and turn * _turn(v, x, y, a, b, r2) <= 0
        ):
            return True
    return False


@kernel
def _turn(v, x, y, a, b, c):
    return orient2d(v[a, x], v[a, y], v[b, x], v[b, y], v[c, x], v[c, y])
