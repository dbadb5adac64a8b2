"""Separating plane (``intersection/separating_plane.py``): the filter for one pair and the one for eight agree."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.pair_search import NEAR, find_pairs
from pricing_engine.kernels.intersection.separating_plane import may_meet
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import build_bvh


def _soup(rng: np.random.Generator, kind: str) -> Mesh:
    """Facets that share corners, edges or nothing, among few vertices; on a lattice, or with slivers."""
    vertices = rng.uniform(-1, 1, (60, 3))
    if kind == "lattice":
        vertices = rng.permutation(np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3))
    if kind == "flat":
        vertices[:, 2] *= 1e-5
    if kind == "slivers":
        vertices[30:] = vertices[:30] + rng.normal(size=(30, 3)) * 10.0 ** rng.uniform(-9, -3, (30, 1))
    if kind == "mixed sizes":
        vertices[20:] *= 0.01
    facets = np.array([rng.choice(len(vertices), 3, replace=False) for _ in range(150)], np.int32)
    facets[100:, :2] = facets[:50, [1, 0]]
    facets = facets[(facets[:, 2] != facets[:, 0]) & (facets[:, 2] != facets[:, 1])]
    facets = np.concatenate([facets, facets[:3], facets[3:6, ::-1]])
    return Mesh(vertices + rng.choice([0.0, 100.0]), np.ascontiguousarray(facets))


def _boxes_meet(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = corners.min(axis=1), corners.max(axis=1)
    meet: NDArray[np.bool_] = (low[:, None] <= high[None]).all(axis=2) & (low[None] <= high[:, None]).all(axis=2)
    return meet


def _plane_between(mesh: Mesh, f: int, g: int, near: float) -> bool:
    """Whether the plane of either facet keeps the other's corners away, apart from shared ones: exact."""
    for one, other in ((f, g), (g, f)):
        a, b, c = ([Fraction(x) for x in mesh.vertices[v].tolist()] for v in mesh.facets[one])
        u, v = [x - y for x, y in zip(b, a, strict=True)], [x - y for x, y in zip(c, a, strict=True)]
        n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
        least = Fraction(near) ** 2 * sum(x * x for x in n)
        heights = [
            sum(x * (Fraction(y) - z) for x, y, z in zip(n, mesh.vertices[w].tolist(), a, strict=True))
            for w in mesh.facets[other]
            if w not in mesh.facets[one]
        ]
        if len({h > 0 for h in heights}) == 1 and min(h * h for h in heights) > least:
            return True
    return False


@pytest.mark.parametrize("kind", ["any", "lattice", "flat", "slivers", "mixed sizes"])
def test_pairs_are_those_of_the_filter_for_one_pair(kind: str) -> None:
    """But for slivers, where the error bound of eight at once is the smaller."""
    rng = np.random.default_rng(len(kind))
    for _ in range(8):
        mesh = _soup(rng, kind)
        pairs = find_pairs(mesh, build_bvh(mesh, 1), 1)
        found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        low, high = mesh.box()
        near = NEAR * float((high - low).max()) / 2
        overlap = _boxes_meet(mesh.vertices[mesh.facets])
        for f in range(mesh.facet_count):
            for g in range(f + 1, mesh.facet_count):
                expected = may_meet(mesh.vertices, mesh.facets, f, g, near)
                assert expected or (f, g) not in found
                if expected and overlap[f, g] and (f, g) not in found:
                    assert kind == "slivers"
                    assert _plane_between(mesh, f, g, near)
