"""Naive weld and topology: sets of positions and counts of edges."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray


def weld(corners: NDArray[np.floating]) -> tuple[int, list[tuple[tuple[float, ...], ...]]]:
    """Return the number of distinct positions, and the facets as coordinate triples, sorted."""
    facets = [tuple(tuple(float(x) + 0.0 for x in corner) for corner in facet) for facet in corners]
    return len({corner for facet in facets for corner in facet}), sorted(facets)


def topology(vertices: NDArray[np.float64], facets: NDArray[np.integer]) -> dict[str, Any]:
    """Return every fact of ``Topology`` by dictionaries; ``bodies`` as a partition of the facets."""
    uses: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for f, facet in enumerate(facets.tolist()):
        for c in range(3):
            a, b = facet[c], facet[(c + 1) % 3]
            uses[min(a, b), max(a, b)].append((f, 1 if a < b else -1))
    body = list(range(len(facets)))

    def root(f: int) -> int:
        while body[f] != f:
            f = body[f]
        return f

    for members in uses.values():
        for f, _ in members:
            low, high = sorted((root(f), root(members[0][0])))
            body[high] = low
    labels: dict[int, int] = {}
    sets = Counter(tuple(sorted(facet)) for facet in facets.tolist())
    p, q, r = (vertices[facets[:, c]] for c in range(3))
    no_area = np.abs(np.cross(q - p, r - p)).max(axis=1) == 0
    counts = Counter(len(members) for members in uses.values())
    return {
        "watertight": set(counts) == {2},
        "winding_consistent": all(len(m) == 1 or a == b or sum(s for _, s in m) == 0 for (a, b), m in uses.items()),
        "facet_body": [labels.setdefault(root(f), len(labels)) for f in range(len(facets))],
        "bodies": len(labels),
        "euler_number": len(np.unique(facets)) - len(uses) + len(facets),
        "boundary_edges": counts[1],
        "non_manifold_edges": sum(n for k, n in counts.items() if k > 2),
        "degenerate_facets": int(no_area.sum()),
        "duplicate_facets": sum(n for n in sets.values() if n > 1),
    }
