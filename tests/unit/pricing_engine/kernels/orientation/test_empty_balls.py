"""Empty balls below samples: never larger than the nearest facet allows, and the support volume that they bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.analysis.support_surface import block_normals, facet_areas
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.empty_balls import BallSearch, ball_volumes, empty_balls
from pricing_engine.kernels.runtime.search_counters import NODES, work_array
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.naive.orientation import largest_empty_balls
from tests.support.kernel_inputs import BOX, Floats, meshes, normals_of, randoms, shells
from tests.support.meshes import unwelded, welded

PLENTY = 1 << 40


def balls(
    mesh: Mesh, points: Floats, normals: Floats, widest: float, budget: int = PLENTY, behind: float = 0.0
) -> Floats:
    """Diameters at ``points`` (n, 3) mm; the seeds are the first eight samples."""
    bvh = build_bvh(mesh, 1)
    local = points - bvh.centre
    sides = block_normals(facet_areas(mesh.vertices, mesh.facets, 1), 1)
    seeds = np.ascontiguousarray(np.hstack([np.resize(local, (8, 3)), np.resize(normals, (8, 3))]).T, np.float32)
    found, work = np.full(len(points), np.nan), work_array(len(points), len(points))
    search = BallSearch(mesh.vertices, mesh.facets, bvh, sides, seeds, behind, widest, budget)
    empty_balls(0, len(points), len(points), local, np.ascontiguousarray(normals), search, found, work)
    assert work[0, NODES] > 0
    return found


@settings(max_examples=15)
@given(st.one_of(meshes(2, 12, flat=False, far=False), shells(2, 3).map(lambda parts: welded(*parts))))
def test_agrees_with_points_of_a_grid_on_every_facet(mesh: Mesh) -> None:
    corners = mesh.vertices[mesh.facets]
    centre, size = build_bvh(mesh, 1).centre, float(np.ptp(mesh.vertices, axis=0).max())
    points, normals = corners.mean(axis=1)[:12], normals_of(corners)[:12]
    found = balls(mesh, points, normals, size)
    expected = largest_empty_balls(corners - centre, points - centre, normals, size)
    facing = normals_of(corners) @ normals.T
    height = np.einsum("fkx,nx->fkn", corners, normals) - np.einsum("nx,nx->n", points, normals)
    off_plane = np.einsum("nfx,fx->fn", points[:, None] - corners[:, 0], normals_of(corners))
    # a facet at 45 degrees, with a corner at the height of the tangent plane, or through the point: rounding decides
    decided = (np.abs(facing - 0.715) > 1e-5).all(axis=0)
    decided &= ((np.abs(off_plane) > 1e-9 * size) | (facing > 0.715)).all(axis=0)
    decided &= ((np.abs(height) > 1e-4 * size) | (height < 0)).all(axis=(0, 1))
    assert (found <= expected * (1 + 1e-5) + 1e-5 * size)[decided].all()
    assert (found >= expected * 0.75 - 0.03 * size)[decided].all()  # the grid has 25 points a side
    assert ((found >= 0) & (found <= size)).all()
    assert (balls(mesh, points, normals, size, budget=0) <= found).all()


@settings(max_examples=25)
@given(st.floats(0.05, 4), st.floats(0.1, 9))
def test_between_parallel_plates_the_ball_has_their_distance(gap: float, widest: float) -> None:
    upper = np.array([[[-9.0, -9, 0], [0, 18, 0], [9, -9, 0]]])  # faces down
    mesh = unwelded(np.concatenate([upper, upper[:, ::-1] - [0, 0, gap]]))
    point, down = np.zeros((1, 3)), np.array([[0.0, 0, -1]])
    assert balls(mesh, point, down, widest)[0] == pytest.approx(min(gap, widest), rel=1e-5)
    same_side = unwelded(np.concatenate([upper, upper - [0, 0, gap]]))
    assert balls(same_side, point, down, widest)[0] == pytest.approx(widest)  # nothing there faces up


def test_a_surface_that_touches_leaves_no_diameter() -> None:
    mesh = welded(BOX, BOX - [0, 0, 1])
    point, down = np.array([[0.1, 0.2, -0.5]]), np.array([[0.0, 0, -1]])
    assert balls(mesh, point, down, 1.0, behind=1e-6)[0] < 1e-5


@settings(max_examples=40)
@given(randoms(), st.integers(0, 20), st.integers(1, 9))
def test_volumes_agree_with_the_naive_twin(random: np.random.Generator, count: int, number: int) -> None:
    points, normals = random.normal(size=(count, 3)), random.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    directions = random.normal(size=(number, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    areas, diameters = random.random(count), random.random(count) * 3
    platform, cosine, slack = random.normal(-2, 0.5, number), 0.7, 0.05
    rest = platform + 0.4
    volumes = np.ones(number)
    packed = np.ascontiguousarray(directions.T)
    middle = number // 2
    for lo, hi in ((0, middle), (middle, number)):
        ball_volumes(lo, hi, points, normals, areas, diameters, packed, platform, rest, cosine, slack, volumes)
    along, height = normals @ directions.T, -(points @ directions.T)
    free = np.minimum(diameters[:, None] * along, height - platform) - slack
    counted = (along > cosine) & (height > rest) & (free > 0)
    np.testing.assert_allclose(volumes, 1 + (areas[:, None] * along * free * counted).sum(axis=0), rtol=2e-6)
    assert (volumes <= 1 + (areas[:, None] * along * free * counted).sum(axis=0)).all()
