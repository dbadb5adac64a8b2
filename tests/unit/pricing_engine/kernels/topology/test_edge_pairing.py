"""Pairs of facets at crowded edges: like brackets round the edge, each shell closed by itself."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.topology.connected_components import label_bodies
from pricing_engine.kernels.topology.edge_matching import match_edges
from pricing_engine.kernels.topology.edge_pairing import pair_links
from tests.naive import edges as naive

Ints = NDArray[np.int32]
Point = tuple[float, float, float]


def _paired(mesh: Mesh) -> tuple[Ints, Ints, Ints]:
    """Links across edges of two, the patches over them, and the links with all pairs."""
    neighbours = np.maximum(match_edges(mesh.vertices, mesh.facets, 1)[1], np.int32(-1))
    patch, _ = label_bodies(neighbours, 1)
    return neighbours, patch, pair_links(mesh, neighbours.copy(), patch)


def _half_at(mesh: Mesh, links: Ints, facet: int, edge: set[int], partner: int) -> list[int]:
    """Corners of a facet from which it runs along an edge and is linked to a partner."""
    row = mesh.facets[facet].tolist()
    return [c for c in range(3) if {row[c], row[(c + 1) % 3]} == edge and links[facet, c] == partner]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(3, 12))
def test_pairs_are_mutual_opposite_and_as_many_as_there_can_be(seed: int, count: int, vertex_count: int) -> None:
    rng = np.random.default_rng(seed)
    facets = rng.integers(0, vertex_count, (count, 3)).astype(np.int32)
    facets = facets[(facets != np.roll(facets, 1, axis=1)).all(axis=1)]
    facets = np.concatenate([facets, facets[::3, ::-1], facets[::4]])
    mesh = Mesh(rng.permutation(64)[:vertex_count, None] // [16, 4, 1] % 4 * 1.0, facets)
    neighbours, _, links = _paired(mesh)
    assert np.array_equal(links[neighbours >= 0], neighbours[neighbours >= 0])
    for (low, high), members in naive.uses(facets).items():
        crowded = [(f, c) for f, c in members if neighbours[f, c] < 0]
        net = sum(naive.rises(facets, half) for half in crowded)
        assert sum(links[f, c] < 0 for f, c in crowded) == abs(net)
        for f, c in crowded:
            partner = int(links[f, c])
            if partner >= 0:
                assert partner != f
                opposite = _half_at(mesh, links, partner, {low, high}, f)
                assert any(naive.rises(facets, (partner, d)) == -naive.rises(facets, (f, c)) for d in opposite)


def _brackets(begins: list[bool]) -> dict[int, int]:
    """Match places of a circle: time and again an open one with the next that ends, if nothing is left in between."""
    places, partner = list(range(len(begins))), {}
    changed = True
    while changed:
        changed = False
        for i, place in enumerate(places):
            following = places[(i + 1) % len(places)]
            if begins[place] and not begins[following]:
                partner[place], partner[following] = following, place
                places = [other for other in places if other not in (place, following)]
                changed = True
                break
    return partner


@pytest.mark.parametrize("pages", [3, 4, 7, 12, 31, 32, 33, 40])
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_pages_of_a_book_are_matched_like_brackets(pages: int, seed: int) -> None:
    """Facets at one edge at angles of their own; seen from the higher vertex, angles grow clockwise or not at all."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.choice(360, pages, replace=False)) * (2 * np.pi / 360)
    begins = rng.random(pages) < 0.5
    shuffle = rng.permutation(pages)
    spine = np.array([[0, 0, 0], [0, 0, 1.0]]) + 100
    tips = np.stack([np.cos(angle), np.sin(angle), rng.random(pages)], axis=1) + 100
    vertices = np.concatenate([spine, tips])
    facets = np.stack([np.where(begins, 1, 0), np.where(begins, 0, 1), np.arange(pages) + 2], axis=1)
    facets = facets[shuffle].astype(np.int32)
    neighbours = np.full((pages, 3), -1, np.int32)
    links = pair_links(Mesh(vertices, facets), neighbours, np.arange(pages, dtype=np.int32))
    place_of = {int(place): facet for facet, place in enumerate(shuffle)}
    expected = {place_of[place]: place_of[other] for place, other in _brackets(begins.tolist()).items()}
    assert links[:, 0].tolist() == [expected.get(facet, -1) for facet in range(pages)]
    assert (links[:, 1:] == -1).all()


def _box(low: Point, high: Point, inside_out: bool = False) -> NDArray[np.float64]:
    corners = trimesh.creation.box(bounds=[low, high])
    if inside_out:
        corners.invert()
    return np.asarray(corners.triangles, np.float64)


def _bodies(*parts: NDArray[np.float64]) -> tuple[list[float], int]:
    """Return the volumes of the bodies after pairing, which are all closed, and the number of bodies before it."""
    corners = np.concatenate(parts)
    vertices, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    mesh = Mesh(vertices, index.reshape(-1, 3).astype(np.int32))
    _, raw = match_edges(mesh.vertices, mesh.facets, 1)
    _, before = label_bodies(raw.copy(), 1)
    _, _, links = _paired(mesh)
    assert (links >= 0).all()
    labels, bodies = label_bodies(links, 1)
    for body in range(bodies):
        facets = mesh.facets[labels == body]
        assert all(sum(naive.rises(facets, half) for half in members) == 0 for members in naive.uses(facets).values())
    volumes = np.bincount(labels, np.linalg.det(corners) / 6, bodies)
    return sorted(np.round(volumes, 9).tolist()), before


@pytest.mark.parametrize("inside_out", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("other", "before"),
    [(((1.0, 1, 0), (2.0, 3, 1)), 1), (((1.0, 0, 0), (3.0, 1, 1)), 1), (((1.0, 1, 1), (3.0, 2, 2)), 2)],
    ids=["share an edge", "share a face", "share a vertex"],
)
def test_solids_that_touch_stay_separate(
    other: tuple[Point, Point], before: int, inside_out: bool, reverse: bool
) -> None:
    parts = [_box((0, 0, 0), (1, 1, 1)), _box(*other, inside_out=inside_out)]
    volumes = [-2.0, 1.0] if inside_out else [1.0, 2.0]
    assert _bodies(*(parts[::-1] if reverse else parts)) == (volumes, before)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_later_of_two_coincident_patches_lies_further_along_its_normal(reverse: bool) -> None:
    """Both faces at x = 1 have the normal +x: the earlier one closes the box below, whichever it was of."""
    parts = [_box((0, 0, 0), (1, 1, 1)), _box((1, 0, 0), (3, 1, 1), inside_out=True)]
    corners = np.concatenate(parts[::-1] if reverse else parts)
    vertices, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    _, patch, links = _paired(Mesh(vertices, index.reshape(-1, 3).astype(np.int32)))
    labels, _ = label_bodies(links, 1)
    face = (corners[:, :, 0] == 1).all(axis=1)
    below = labels[np.flatnonzero(corners[:, :, 0].min(axis=1) == 0)]
    earlier = face & (patch == patch[face].min())
    assert earlier.sum() == 2
    assert set(labels[earlier].tolist()) == set(below.tolist())


def test_four_boxes_round_an_edge() -> None:
    sizes = [(0.0, 0.0, 1.0, 1.0), (-2.0, 0.0, 0.0, 1.0), (-2.0, -2.0, 0.0, 0.0), (0.0, -2.0, 1.0, 0.0)]
    assert _bodies(*(_box((x, y, 0), (v, w, 1)) for x, y, v, w in sizes)) == ([1, 2, 2, 4], 1)


def test_nothing_shared_changes_nothing() -> None:
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32))
    neighbours = np.full((1, 3), -1, np.int32)
    assert pair_links(mesh, neighbours, np.zeros(1, np.int32)) is neighbours
    none = np.empty((0, 3), np.int32)
    assert len(pair_links(Mesh(np.empty((0, 3)), none), none, np.empty(0, np.int32))) == 0
