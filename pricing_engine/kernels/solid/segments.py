"""Where two facets cross: one segment in each of the two, with the side on which the winding number is higher.

Everything follows from signs of ``orient(i, j, k, l)``, which is computed from the four vertices in index order, so
each sign is the same wherever it is computed. In general position two facets without a common vertex have no
or exactly two points where an edge of one goes through the other; with one common vertex, that vertex and one such
point. Which of the two is the segment's start follows from signs too (does the edge leave or enter), so the segments
of a closed surface in a facet form closed chains, or chains from rim to rim, by construction. Each segment is directed
so that the inner side of the other facet is on its left, seen from the facet's outside. O(1) a pair of facets.
"""

from __future__ import annotations

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.kernels.runtime.vec3 import cross, dot, edge

# The plane coordinates of a facet a, b, c: a at the origin, b at (COS, -SIN), c at (SIN, COS). An odd angle, so that
# edges of rectangles are not parallel to the sweep; a is always leftmost, b rightmost, and ab the lower side.
COS, SIN = 0.8253356149096783, 0.5646424733950354


@inlined
def _orient(p, i, j, k, q):
    """Six times the volume of i, j, k, q: positive where q is on the outer side of the facet i, j, k."""
    odd = False
    if i > j:
        i, j, odd = j, i, not odd
    if k > q:
        k, q, odd = q, k, not odd
    if i > k:
        i, k, odd = k, i, not odd
    if j > q:
        j, q, odd = q, j, not odd
    if j > k:
        j, k, odd = k, j, not odd
    volume = dot(cross(edge(p, i, j), edge(p, i, k)), edge(p, i, q))
    return -volume if odd else volume


@inlined
def _corner(facets, f, v):
    for corner in range(3):
        if facets[f, corner] == v:
            return corner
    return -1


@inlined
def _put(row, slot, out, flags, u, v, w, on_ab):
    """Store the point u a + v b + w c as start (slot 0) or end (slot 1)."""
    out[row, 2 * slot] = COS * v + SIN * w
    out[row, 2 * slot + 1] = COS * w - SIN * v
    if on_ab:
        flags[row] |= 1 << slot


@inlined
def _pierce(p, facets, t, s, row_t, row_s, out, flags):
    """Find where edges of s go through t; returns +1 for each start and +4 for each end, as seen from t."""
    a, b, c = facets[t, 0], facets[t, 1], facets[t, 2]
    found = 0
    for e in range(3):
        i, j = facets[s, e], facets[s, (e + 1) % 3]
        if _corner(facets, t, i) >= 0 or _corner(facets, t, j) >= 0:
            continue
        gi, gj = _orient(p, a, b, c, i), _orient(p, a, b, c, j)
        if (gi > 0) == (gj > 0):
            continue
        m, n = min(i, j), max(i, j)
        u, v, w = _orient(p, m, n, b, c), _orient(p, m, n, c, a), _orient(p, m, n, a, b)
        total = u + v + w
        if total == 0 or not ((u > 0) == (v > 0) and (v > 0) == (w > 0)):
            continue  # 0: the edge lies on the line of one of t's, to the last bit
        slot = 0 if gi > 0 else 1
        found += 1 if slot == 0 else 4
        if row_t < 0:
            continue
        _put(row_t, slot, out, flags, u / total, v / total, w / total, False)
        along = gi / (gi - gj) if i < j else 1 - gj / (gj - gi)
        u, v, w = 0.0, 0.0, 0.0
        if e == 0:
            u, v = 1 - along, along
        elif e == 1:
            v, w = 1 - along, along
        else:
            w, u = 1 - along, along
        _put(row_s, 1 - slot, out, flags, u, v, w, e == 0)
    return found


@inlined
def _meet(p, facets, t, s, row_t, row_s, out, flags):
    """Whether t and s cross; with rows >= 0, also store their segments there."""
    shared, corner_t, corner_s = 0, 0, 0
    for corner in range(3):
        other = _corner(facets, s, facets[t, corner])
        if other >= 0:
            shared, corner_t, corner_s = shared + 1, corner, other
        if facets[t, corner] == facets[t, (corner + 1) % 3] or facets[s, corner] == facets[s, (corner + 1) % 3]:
            return False
    if shared >= 2:
        return False
    found = _pierce(p, facets, t, s, row_t, row_s, out, flags)
    reverse = _pierce(p, facets, s, t, row_s, row_t, out, flags)
    found += (reverse % 4) * 4 + reverse // 4  # a start as seen in s is an end in t
    if shared == 0:
        return found == 5
    if found not in (1, 4):
        return False
    if row_t >= 0:
        slot = 1 if found == 1 else 0
        one, two, three = corner_t == 0, corner_t == 1, corner_t == 2
        _put(row_t, slot, out, flags, 1.0 * one, 1.0 * two, 1.0 * three, False)
        one, two, three = corner_s == 0, corner_s == 1, corner_s == 2
        _put(row_s, 1 - slot, out, flags, 1.0 * one, 1.0 * two, 1.0 * three, False)
    return True


@kernel
def mark_crossing(lo, hi, moved, facets, first, second, out, flags, crossing):
    """``crossing`` (P,) bool: whether the facets of each pair cross."""
    for i in range(lo, hi):
        crossing[i] = _meet(moved, facets, first[i], second[i], -1, -1, out, flags)


@kernel
def write_segments(lo, hi, moved, facets, first, second, row_first, row_second, out, flags):
    """Segments (2P, 4): start and end in plane coordinates; flags (2P,) int8: bit 0 (1): the start (end) is on ab."""
    for i in range(lo, hi):
        _meet(moved, facets, first[i], second[i], row_first[i], row_second[i], out, flags)
