"""The traversals behind repair: consistent winding, what encloses what, and renumbering.

Winding is spread from facet to facet over edges that exactly two facets share; in each patch so reached the facets
that disagree with the majority are told to flip. One visit a facet, O(n).

Enclosure is decided by a vertical ray from a point of each body in question: a body encloses it if the ray crosses
that body an odd number of times. Ray and edge are compared with the edge's ends in a fixed order, so the two facets at
an edge never both count a ray that grazes it, nor neither. The points lie in a grid over x and y, and each facet
looks up the cells under it: about O(n + crossings). Thousands of bodies over one another make that a square, so the
points compared are counted and the search ends past a limit.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import inlined, kernel


@kernel
def minority_flips(facets, neighbours):
    """(F,) uint8: one where the facet must be flipped. Ties keep the patch's first facet as it is."""
    flip = np.zeros(len(facets), np.uint8)
    seen = np.zeros(len(facets), np.uint8)
    queue = np.empty(len(facets), np.int32)
    for seed in range(len(facets)):
        if seen[seed]:
            continue
        seen[seed] = 1
        queue[0] = seed
        head, tail, flipped = 0, 1, 0
        while head < tail:
            facet = queue[head]
            head += 1
            for corner in range(3):
                other = neighbours[facet, corner]
                if other < 0 or seen[other]:
                    continue
                a, b = facets[facet, corner], facets[facet, (corner + 1) % 3]
                same = False
                for k in range(3):
                    if neighbours[other, k] == facet and facets[other, k] == a and facets[other, (k + 1) % 3] == b:
                        same = True
                flip[other] = flip[facet] ^ same
                flipped += flip[other]
                seen[other] = 1
                queue[tail] = other
                tail += 1
        if 2 * flipped > tail:
            for i in range(tail):
                flip[queue[i]] ^= 1
    return flip


@kernel
def renumber(vertices, facets):
    """Vertices and facets renumbered by first appearance, without vertices that no facet uses."""
    number = np.full(len(vertices), -1, np.int32)
    kept = np.empty(len(vertices), np.int32)
    out = np.empty_like(facets)
    count = 0
    for facet in range(len(facets)):
        for corner in range(3):
            v = facets[facet, corner]
            if number[v] < 0:
                number[v] = count
                kept[count] = v
                count += 1
            out[facet, corner] = number[v]
    moved = np.empty((count, 3), np.float64)
    for v in range(count):
        for axis in range(3):
            moved[v, axis] = vertices[kept[v], axis]
    return moved, out


@inlined
def _side(vertices, a, b, x, y):
    """Whether (x, y) is left of edge a -> b: the exact opposite of the answer for b -> a."""
    p, q = min(a, b), max(a, b)
    left = (vertices[q, 0] - vertices[p, 0]) * (y - vertices[p, 1]) > (vertices[q, 1] - vertices[p, 1]) * (
        x - vertices[p, 0]
    )
    return left == (a < b)


@kernel
def enclosed_points(vertices, facets, facet_body, by_body, low, high, points, own_body, most):
    """(N,) uint8: one where a body other than ``own_body`` encloses the point; and how many points were compared.

    ``by_body``: facets grouped by body. ``low``, ``high`` (bodies,): heights that a body with a boundary may enclose
    points between; a closed one has none beyond its box. Past ``most`` comparisons the answer is incomplete.
    """
    count = len(points)
    inside, odd = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    touched = np.empty(count, np.int32)
    side = max(1, int(np.sqrt(count)))
    x0, y0, x1, y1 = points[0, 0], points[0, 1], points[0, 0], points[0, 1]
    for i in range(count):
        x0, x1 = min(x0, points[i, 0]), max(x1, points[i, 0])
        y0, y1 = min(y0, points[i, 1]), max(y1, points[i, 1])
    to_x = side / (x1 - x0) if x1 > x0 else 0.0
    to_y = side / (y1 - y0) if y1 > y0 else 0.0
    start, members = np.zeros(side * side + 2, np.int64), np.empty(count, np.int32)
    for i in range(count):
        cell = min(side - 1, int((points[i, 1] - y0) * to_y)) * side + min(side - 1, int((points[i, 0] - x0) * to_x))
        start[cell + 2] += 1
    for cell in range(side * side):
        start[cell + 2] += start[cell + 1]
    for i in range(count):
        cell = min(side - 1, int((points[i, 1] - y0) * to_y)) * side + min(side - 1, int((points[i, 0] - x0) * to_x))
        members[start[cell + 1]] = i
        start[cell + 1] += 1
    hits = tests = 0
    for row in range(len(by_body)):
        if tests > most:
            break
        facet = by_body[row]
        body = facet_body[facet]
        a, b, c = facets[facet, 0], facets[facet, 1], facets[facet, 2]
        low_x, high_x = _range(vertices[a, 0], vertices[b, 0], vertices[c, 0])
        low_y, high_y = _range(vertices[a, 1], vertices[b, 1], vertices[c, 1])
        if low_x <= x1 and high_x >= x0 and low_y <= y1 and high_y >= y0:
            i0, i1 = int(max(low_x - x0, 0.0) * to_x), int(min((high_x - x0) * to_x, side - 1.0))
            j0, j1 = int(max(low_y - y0, 0.0) * to_y), int(min((high_y - y0) * to_y, side - 1.0))
            for j in range(min(j0, side - 1), j1 + 1):
                tests += 1 + start[j * side + i1 + 1] - start[j * side + min(i0, side - 1)]
                for k in range(start[j * side + min(i0, side - 1)], start[j * side + i1 + 1]):
                    n = members[k]
                    if own_body[n] == body or points[n, 2] < low[body] or points[n, 2] > high[body]:
                        continue
                    if _crosses(vertices, a, b, c, points, n):
                        odd[n] ^= 1
                        if hits < count and odd[n]:
                            touched[hits] = n
                            hits += 1
        if row + 1 == len(by_body) or facet_body[by_body[row + 1]] != body:
            if hits == count:  # the list of touched points may be incomplete
                for n in range(count):
                    inside[n] |= odd[n]
                    odd[n] = 0
            else:
                for k in range(hits):
                    inside[touched[k]] |= odd[touched[k]]
                for k in range(hits):
                    odd[touched[k]] = 0
            hits = 0
    return inside, tests


@inlined
def _range(a, b, c):
    return min(a, b, c), max(a, b, c)


@inlined
def _crosses(vertices, a, b, c, points, n):
    x, y, z = points[n, 0], points[n, 1], points[n, 2]
    left = _side(vertices, a, b, x, y)
    if left != _side(vertices, b, c, x, y) or left != _side(vertices, c, a, x, y):
        return False
    ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    height = nx * (x - vertices[a, 0]) + ny * (y - vertices[a, 1]) + nz * (z - vertices[a, 2])
    return (height < 0) == (nz > 0) and nz != 0 and height != 0
