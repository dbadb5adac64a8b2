"""Self-intersection (``intersection/self_intersection.py``) against exact twins, shapes by hand and real models."""

from __future__ import annotations

import pathlib
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing_engine.kernels.intersection import pair_search
from pricing_engine.kernels.intersection.pair_search import Pairs, find_pairs
from pricing_engine.kernels.intersection.self_intersection import meeting, self_intersections
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from tests.naive import self_intersection as naive
from tests.support import shared_models
from tests.support.meshes import box, read_mesh, sorted_mesh, triangles_of
from tests.support.paths import SHARED_MODELS

Array = NDArray[np.float64]


def _flags(mesh: Mesh, bvh: Bvh, pairs: Pairs, threads: int = 2) -> NDArray[np.bool_]:
    flags = self_intersections(mesh, bvh, pairs, threads)
    assert flags is not None
    return flags


def _found(mesh: Mesh, threads: int = 2) -> Pairs:
    """Return the pairs that intersect, after checking that both ways to flag facets agree with them."""
    bvh = build_bvh(mesh, threads)
    pairs = find_pairs(mesh, bvh, threads)
    meet = meeting(mesh, pairs, threads)
    found = Pairs(pairs.first[meet], pairs.second[meet], pairs.complete)
    candidates = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert candidates == sorted(set(candidates))
    flags = _flags(mesh, bvh, pairs, threads)
    assert np.array_equal(np.flatnonzero(flags), np.unique([found.first, found.second]))
    tangle = Pairs(pairs.first[:0], pairs.second[:0], complete=False)
    assert np.array_equal(flags, _flags(mesh, bvh, tangle, threads))
    return found


def _pairs(triangles: Array) -> int:
    return len(_found(sorted_mesh(triangles)).first)


def _facets(triangles: Array) -> int:
    found = _found(sorted_mesh(triangles))
    return len(np.unique([found.first, found.second]))


def _box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Array:
    return triangles_of([box(low, high)])


def _sphere(rows: int, columns: int, turn: float) -> Array:
    theta = np.linspace(0, np.pi, rows + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, columns + 1)[:-1][None] + turn
    grid = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], axis=-1)
    grid[0], grid[-1] = (0, 0, 1), (0, 0, -1)
    following = np.roll(grid, -1, axis=1)
    upper = np.stack([grid[:-1], grid[1:], following[1:]], axis=-2).reshape(-1, 3, 3)
    lower = np.stack([grid[:-1], following[1:], following[:-1]], axis=-2).reshape(-1, 3, 3)
    soup = np.concatenate([upper, lower])
    proper: Array = soup[(soup != np.roll(soup, 1, axis=1)).any(axis=2).all(axis=1)]
    return proper


BASE = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]], float)


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        ([[1, 1, -1], [1, 1, 1], [9, 9, 0]], True),  # runs through
        ([[1, 1, 0], [1, 1, 1], [9, 9, 3]], False),  # a vertex on the face
        ([[1, 1, 0], [2, 1, 0], [1, 1, 3]], False),  # stands on the face with an edge
        ([[2, 0, -1], [2, 0, 1], [2, -3, 0]], False),  # an edge across an edge
        ([[1, 0, -1], [3, 0, 1], [2, -3, 0]], False),
        ([[1, 1, 0], [2, 1, 0], [1, 2, 0]], True),  # in the same plane, inside
        ([[4, 4, 0], [4, 0, 0], [0, 4, 0]], False),  # the other half of a square
        ([[1, 3, 0], [3, 1, 0], [4, 4, 0]], False),  # in the same plane, part of an edge shared
        ([[3, 3, 0], [1.5, 1.5, 0], [3, 1.5, 0]], True),
        ([[0, 0, 0], [4, 0, 0], [0, 4, 0]], True),  # the same facet
        ([[0, 0, 0], [0, 4, 0], [4, 0, 0]], True),  # turned over
        ([[0, 0, 0], [4, 0, 0], [1, 1, 0]], True),  # folded over at an edge
        ([[0, 0, 0], [4, 0, 0], [1, 1, 1e-60]], False),  # just not folded over
        ([[0, 0, 0], [2, 2, 1], [2, 2, -1]], True),  # from a shared vertex through the opposite edge
        ([[0, 0, 0], [2, 0, 1], [2, 0, -1]], False),  # from a shared vertex, along an edge
        ([[0, 0, 0], [1, 1, 0], [0, 0, 5]], False),  # stands on the face from a shared vertex
        ([[0, 0, 0], [1, 5, 0], [5, 1, 0]], True),  # fans that overlap
        ([[0, 0, 0], [-1, 5, 0], [0, 4.5, 0]], False),  # fans that touch
        ([[1, 1, 1], [1, 1, -1], [1, 1, 0]], False),  # no area, no interior
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], False),
    ],
)
def test_pairs_intersect_by_the_definition(other: list[list[float]], meets: bool) -> None:
    soup = np.array([BASE, other], float)
    assert naive.meeting_pairs(soup.reshape(-1, 3), np.arange(6).reshape(2, 3)) == [(0, 1)] * meets
    for corners, turn in product(permutations(range(3)), range(3)):
        soup = np.roll([BASE, np.array(other, float)[list(corners)]], turn, axis=2)
        assert _pairs(soup) == int(meets)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_exact_twin_on_a_lattice_soup(seed: int) -> None:
    """Small integers: coincidences of all kinds (repeated corners, coplanar overlaps, shared edges) are common."""
    rng = np.random.default_rng(seed)
    soup = rng.integers(0, 4, (60, 3, 3)) * (1.0 if seed % 2 else 0.1)
    soup[seed % 3 :: 3, :, 2] = soup[0, 0, 2]
    mesh = sorted_mesh(soup)
    found = _found(mesh)
    expected = naive.meeting_pairs(mesh.vertices, mesh.facets)
    assert len(expected) > 50
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_exact_twin_on_interpenetrating_spheres(seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = _sphere(6, 9, 0.3) + (rng.normal(size=3) * 0.4 if seed else (0.5, 0, 0))
    mesh = sorted_mesh(np.concatenate([_sphere(6, 9, 0.0), other]))
    found = _found(mesh)
    expected = naive.meeting_pairs(mesh.vertices, mesh.facets)
    assert len(expected) > 10
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected


def test_boxes_that_touch_do_not_intersect() -> None:
    cube = _box((0, 0, 0), (4, 4, 4))
    assert _pairs(cube) == 0
    assert _pairs(np.concatenate([cube, _box((5, 0, 0), (6, 4, 4))])) == 0
    assert _pairs(np.concatenate([cube, _box((1, 1, 1), (2, 2, 2))])) == 0
    assert _pairs(np.concatenate([cube, _box((4, 4, 4), (5, 5, 5))])) == 0
    assert _pairs(np.concatenate([cube, _box((4, 4, 0), (5, 5, 4))])) == 0
    stacked = np.concatenate([cube, _box((0, 0, 4), (4, 4, 8))])
    assert _facets(stacked) == 4  # two halves of a square below, two above
    assert _pairs(np.concatenate([cube, cube])) >= 12
    assert _pairs(np.concatenate([cube, _box((1, 1, 3), (3, 3, 5))])) > 0


def test_threads_order_motion_and_scale_change_nothing() -> None:
    rng = np.random.default_rng(1)
    soup = rng.normal(size=(3000, 1, 3)) + rng.normal(size=(3000, 3, 3)) * 0.15
    mesh = sorted_mesh(soup)
    found = _found(mesh, 1)
    assert len(found.first) > 256 * len(soup) / 2048  # more than a chunk's first room
    for threads in (2, 5):
        again = _found(mesh, threads)
        assert np.array_equal(found.first, again.first)
        assert np.array_equal(found.second, again.second)
    assert _pairs(soup[rng.permutation(3000)]) == len(found.first)
    assert _pairs(soup * 2.0**-40) == len(found.first)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert _pairs(soup @ rotation * 3 + 100) == len(found.first)


def test_smooth_surface_has_few_candidates() -> None:
    mesh = sorted_mesh(_sphere(60, 120, 0.0))
    first = find_pairs(mesh, build_bvh(mesh, 1), 1).first
    assert len(_found(mesh).first) == 0
    assert len(first) < mesh.facet_count / 10


def test_candidates_hold_what_touches_and_what_nearly_does() -> None:
    cube = _box((0, 0, 0), (4, 4, 4))
    for gap in (0.0, 1e-9, 1e-7):
        mesh = sorted_mesh(np.concatenate([cube, _box((1, 1, 4 + gap), (3, 3, 5))]))
        found = _found(mesh)
        first = find_pairs(mesh, build_bvh(mesh, 1), 1).first
        assert len(first) >= 3
        assert (len(found.first) > 0) == (gap == 0)


@pytest.mark.parametrize(
    "soup", [np.zeros((1, 3, 3)), np.ones((9, 3, 3)), BASE[None], BASE[None] * 1e30, BASE[None] * 1e-30]
)
def test_the_smallest_meshes_have_no_pairs(soup: Array) -> None:
    assert _pairs(soup) == 0


def test_one_crowded_chunk_among_sparse_ones_keeps_all_pairs() -> None:
    rng = np.random.default_rng(3)
    crowd = rng.normal(size=(400, 3, 3))
    sparse = np.arange(8000)[:, None, None] * (1.0, 0, 0) + 10 + rng.random((8000, 3, 3)) * 0.9
    assert _pairs(np.concatenate([crowd, sparse])) == _pairs(crowd) > 1000


def _fan(sectors: int) -> Array:
    """A flat disc of triangles around its middle."""
    angle = np.linspace(0, 2 * np.pi, sectors + 1)[:, None]
    rim = np.hstack([np.cos(angle), np.sin(angle), 0 * angle])
    rim[-1] = rim[0]
    return np.stack([np.zeros((sectors, 3)), rim[:-1], rim[1:]], axis=1)


def test_facets_around_one_vertex_intersect_where_they_overlap() -> None:
    fan = _fan(200)
    assert _pairs(fan) == 0
    mesh = sorted_mesh(fan)
    assert len(find_pairs(mesh, build_bvh(mesh, 1), 1).first) < 200
    twice = np.concatenate([fan, fan])
    assert _pairs(twice) == 200
    fan = _fan(36)  # the exact twin is slow
    turned = np.concatenate([fan, fan[:, :, [0, 2, 1]]])  # upright, through the first one
    mesh = sorted_mesh(turned)
    found = _found(mesh)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == naive.meeting_pairs(
        mesh.vertices, mesh.facets
    )


def test_a_tangle_is_flagged_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sorted_mesh(np.random.default_rng(7).normal(size=(300, 3, 3)))
    bvh = build_bvh(mesh, 1)
    pairs = find_pairs(mesh, bvh, 2)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 100)
    tangle = find_pairs(mesh, bvh, 2)
    assert pairs.complete
    assert not tangle.complete
    assert len(tangle.first) == 0
    flags = _flags(mesh, bvh, pairs)
    assert flags.any()
    assert np.array_equal(flags, _flags(mesh, bvh, tangle))


def test_duplicate_facets_intersect() -> None:
    assert _pairs(np.repeat(BASE[None], 20, axis=0)) == 190


SMALL = sorted(SHARED_MODELS.glob("thingi10k/*/*.stl"))


def _triangles(path: pathlib.Path) -> Array:
    return triangles_of([read_mesh(path)])


@pytest.mark.parametrize("path", SMALL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_real_models_agree_with_exact_twin(path: pathlib.Path) -> None:
    mesh = sorted_mesh(_triangles(path)[:60])
    found = _found(mesh)
    expected = naive.meeting_pairs(mesh.vertices, mesh.facets)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    if path.parent.name == "clean":
        assert not expected


@pytest.mark.parametrize("name", shared_models.present("pendant.stl", "geometry_ring.stl"))
def test_clean_jewellery_has_no_pairs(name: str) -> None:
    assert _pairs(_triangles(SHARED_MODELS / name)) == 0
