"""The edges of a mesh by dictionaries: who uses them and which way, and what lies across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Half = tuple[int, int]
"""A half-edge: facet and corner; it runs from that corner to the facet's next one."""


def uses(facets: Any) -> dict[tuple[int, int], list[Half]]:
    """Return the half-edges of each edge (low vertex, high vertex), by facet and corner."""
    edges: dict[tuple[int, int], list[Half]] = defaultdict(list)
    for f, facet in enumerate(facets.tolist()):
        for c in range(3):
            a, b = facet[c], facet[(c + 1) % 3]
            edges[min(a, b), max(a, b)].append((f, c))
    return dict(edges)


def rises(facets: Any, half: Half) -> int:
    """Return 1 if a half-edge runs to a higher vertex, -1 to a lower one, 0 to the same."""
    a, b = int(facets[half[0], half[1]]), int(facets[half[0], (half[1] + 1) % 3])
    return (a < b) - (a > b)


def links(facets: Any) -> list[list[int]]:
    """Return the facet across each edge of two facets; -1 at others; ``-2 - facet`` in a cycle of three or more.

    A cycle goes by third vertex, then by half-edge.
    """
    found = [[-1] * 3 for _ in range(len(facets))]
    for members in uses(facets).values():
        if len(members) == 2:
            (f, c), (g, d) = members
            if f != g:
                found[f][c], found[g][d] = g, f
        elif len(members) > 2:
            cycle = sorted(members, key=lambda half: (int(facets[half[0], (half[1] + 2) % 3]), half))
            for (f, c), (g, _) in zip(cycle, cycle[1:] + cycle[:1], strict=True):
                found[f][c] = -2 - g
    return found


def tallies(facets: Any) -> list[int]:
    """Return the numbers of edges, borders, edges of three or more, unbalanced edges and facets that repeat others."""
    edges = uses(facets)
    sets: dict[tuple[int, ...], int] = defaultdict(int)
    for facet in facets.tolist():
        sets[tuple(sorted(facet))] += 1
    return [
        len(edges),
        sum(len(members) == 1 for members in edges.values()),
        sum(len(members) > 2 for members in edges.values()),
        sum(len(members) > 1 and sum(rises(facets, half) for half in members) != 0 for members in edges.values()),
        sum(count for count in sets.values() if count > 1),
    ]


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return the least member of each node's component, by a search from each node in order."""
    linked: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        linked[a].append(b)
        linked[b].append(a)
    least = [-1] * count
    for start in range(count):
        waiting = [start] if least[start] < 0 else []
        while waiting:
            node = waiting.pop()
            if least[node] < 0:
                least[node] = start
                waiting += linked[node]
    return least


def numbered(labels: Iterable[int]) -> list[int]:
    """Return labels as numbers by first appearance."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]
