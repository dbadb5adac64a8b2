"""Solid (``analysis/solid.py``): its boundary and volume against closed forms, exact booleans and dense sampling."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.solid import classify, close, open_volume_estimate, true_volume
from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid import generalized_winding as open_surface
from pricing_engine.kernels.solid.boundary import INSIDE, UNCUT, Boundary
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from tests.naive.solid import generalized_winding, sampled_volume, signed_volume
from tests.support.meshes import Floats, box, concatenated, inside_out, mesh_of, random_rotation, union


def solve(mesh: Mesh, closed: bool = True, threads: int = 1) -> tuple[Boundary, Bvh]:
    bvh = build_bvh(mesh, threads)
    bodies = trimesh.graph.connected_component_labels(
        trimesh.graph.face_adjacency(mesh.facets), node_count=mesh.facet_count
    ).astype(np.int32)
    boundary = classify(mesh, bvh, find_pairs(mesh, bvh, threads), closed, bodies, threads)
    assert boundary is not None
    return boundary, bvh


def volume_of(*parts: trimesh.Trimesh) -> float:
    mesh = mesh_of(*parts)
    return true_volume(mesh, solve(mesh)[0], 1)[0]


def boundary_triangles(mesh: Mesh, boundary: Boundary) -> Floats:
    return np.concatenate([mesh.vertices[mesh.facets[boundary.status == UNCUT]], boundary.pieces])


UNIT = box((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("other", "volume"),
    [
        (box((0.5, 0.4, 0.3), (1.5, 1.2, 1.1)), 1 + 0.8 * 0.8 - 0.5 * 0.6 * 0.7),
        (box((0, 0, 1), (1, 1, 2)), 2.0),
        (box((0.3, 0.2, 1), (1.7, 0.8, 2)), 1 + 1.4 * 0.6),
        (box((0.3, 0, 0), (1.7, 1, 1)), 1.7),
        (box((0.3, 0.2, 0), (1.7, 0.7, 1)), 1.35),
        (box((0.25, 0.25, 0), (0.75, 0.75, 1)), 1.0),
        (box((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)), 1.0),
        (box((1, 1, 1), (2, 2, 2)), 2.0),
        (box((1, 1, 0), (2, 2, 1)), 2.0),
        (box((5, 0, 0), (6, 1, 1)), 2.0),
    ],
)
def test_two_boxes_have_the_volume_of_their_union(other: trimesh.Trimesh, volume: float) -> None:
    assert volume_of(UNIT, other) == pytest.approx(volume, rel=1e-6)


def test_a_shift_of_a_tenth_of_a_micrometre_counts() -> None:
    other = UNIT.copy()
    other.apply_translation((1e-4, 0, 0))
    assert volume_of(UNIT, other) == pytest.approx(1.0001, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_random_spheres_agree_with_exact_booleans(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(8):
        sphere = trimesh.creation.icosphere(2, random.uniform(0.3, 1))
        sphere.apply_translation(random.uniform(-1, 1, 3))
        parts.append(sphere)
    mesh = mesh_of(*parts)
    boundary, _ = solve(mesh)
    volume, _ = true_volume(mesh, boundary, 1)
    assert volume == pytest.approx(union(parts).volume(), rel=1e-6)
    points = random.uniform(-1.5, 1.5, (300, 3))
    inside = np.rint(generalized_winding(mesh.vertices[mesh.facets], points)) >= 1
    assert np.allclose(generalized_winding(boundary_triangles(mesh, boundary), points), inside, atol=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_on_a_grid_share_planes_edges_corners_and_facets(seed: int) -> None:
    random = np.random.default_rng(seed)
    filled = np.zeros((8, 8, 8), bool)
    parts = []
    for _ in range(12):
        lo = random.integers(0, 5, 3)
        hi = lo + random.integers(1, 4, 3)
        filled[lo[0] : hi[0], lo[1] : hi[1], lo[2] : hi[2]] = True
        parts.append(box(tuple(lo.astype(float)), tuple(hi.astype(float))))
    mesh = mesh_of(*parts)
    boundary, _ = solve(mesh)
    rotated = Mesh(np.ascontiguousarray(mesh.vertices @ random_rotation(random).T), mesh.facets)
    assert true_volume(mesh, boundary, 1)[0] == pytest.approx(filled.sum(), rel=1e-6)
    assert true_volume(rotated, solve(rotated)[0], 1)[0] == pytest.approx(filled.sum(), rel=1e-6)


def test_reversed_inner_shell_is_a_cavity() -> None:
    outer, inner = trimesh.creation.icosphere(3, 1.0), inside_out(trimesh.creation.icosphere(3, 0.5))
    mesh = mesh_of(outer, inner)
    boundary, _ = solve(mesh)
    assert (boundary.status == UNCUT).all()
    assert true_volume(mesh, boundary, 1)[0] == pytest.approx(outer.volume + inner.volume, rel=1e-12)


def test_a_lone_inverted_body_bounds_nothing() -> None:
    mesh = mesh_of(inside_out(UNIT))
    boundary, _ = solve(mesh)
    assert (boundary.status == INSIDE).all()
    assert true_volume(mesh, boundary, 1)[0] == 0


def test_a_shell_through_itself_is_measured_once() -> None:
    """A twisted torus whose tube overlaps itself (a spindle torus): a lens on the axis is enclosed twice."""
    u, v = np.meshgrid(np.arange(24) * 2 * np.pi / 24, np.arange(16) * 2 * np.pi / 16, indexing="ij")
    ring = 0.45 + np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(24), np.arange(16), indexing="ij")
    a, b = i * 16 + j, (i + 1) % 24 * 16 + j
    c, d = (i + 1) % 24 * 16 + (j + 1) % 16, i * 16 + (j + 1) % 16
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    mesh = mesh_of(trimesh.Trimesh(vertices, faces, process=False))
    boundary, _ = solve(mesh)
    triangles = mesh.vertices[mesh.facets]
    assert true_volume(mesh, boundary, 1)[0] == pytest.approx(sampled_volume(triangles, 0.5, 30), rel=0.01)
    points = np.random.default_rng(0).uniform(-1.4, 1.4, (400, 3))
    inside = np.rint(generalized_winding(triangles, points)) >= 1
    assert np.allclose(generalized_winding(boundary_triangles(mesh, boundary), points), inside, atol=1e-4)


def test_clean_model_equals_the_signed_sum_and_has_the_right_centre() -> None:
    ball = trimesh.creation.icosphere(4, 2.0)
    ball.apply_translation((100, -50, 7))
    mesh = mesh_of(ball)
    boundary, _ = solve(mesh)
    volume, centre = true_volume(mesh, boundary, 1)
    assert volume == pytest.approx(signed_volume(mesh.vertices[mesh.facets] - [100, -50, 7]), rel=1e-12)
    assert np.allclose(centre, (100, -50, 7), atol=1e-9)


def test_any_number_of_threads_has_the_same_bits() -> None:
    parts = [trimesh.creation.icosphere(3, 1.0).apply_translation((0.31 * k, 0.1 * k, 0)) for k in range(4)]
    mesh = mesh_of(*parts)
    (one, _), (many, _) = solve(mesh, threads=1), solve(mesh, threads=5)
    assert one.status.tobytes() == many.status.tobytes()
    assert one.pieces.tobytes() == many.pieces.tobytes()
    assert one.piece_facet.tobytes() == many.piece_facet.tobytes()


def test_a_large_facet_may_be_cut_by_very_many_segments() -> None:
    """A plate's two big triangles, pierced by a fine sphere: thousands of segments in one facet."""
    ball, plate = trimesh.creation.icosphere(6, 1.0), box((-2, -2, -0.1), (2, 2, 0.1))
    assert volume_of(ball, plate) == pytest.approx(union([ball, plate]).volume(), rel=1e-6)


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9])
def test_open_ball_is_closed_by_a_cap(cut: float) -> None:
    ball = trimesh.creation.icosphere(3, 1.0)
    ball.update_faces(ball.triangles_center[:, 2] < cut)
    mesh = mesh_of(ball)
    boundary, bvh = solve(mesh, closed=False)
    assert (boundary.piece_facet == -1).all()
    assert len(boundary.pieces) > 0
    closed, _ = close(mesh, 1)
    triangles = closed.vertices[closed.facets]
    assert true_volume(mesh, boundary, 1)[0] == pytest.approx(signed_volume(triangles), rel=1e-6)
    dense = sampled_volume(mesh.vertices[mesh.facets], 0.5, 24)
    assert open_volume_estimate(mesh, bvh, boundary, 1) == pytest.approx(dense, rel=0.02)


def test_the_estimate_of_half_a_box_follows_its_crooked_rim() -> None:
    """Where the cap and the level set of 1/2 part, the estimate follows the level set."""
    ball = trimesh.creation.box().subdivide().subdivide().subdivide()
    middle = ball.triangles_center
    ball.update_faces((middle[:, 0] + middle[:, 1] < 0.3) | (middle[:, 2] < -0.2))
    mesh = mesh_of(ball)
    boundary, bvh = solve(mesh, closed=False)
    dense = sampled_volume(mesh.vertices[mesh.facets], 0.5, 32)
    assert open_volume_estimate(mesh, bvh, boundary, 1) == pytest.approx(dense, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_any_soup_has_finite_numbers(seed: int) -> None:
    random = np.random.default_rng(seed)
    vertices = np.unique(random.integers(0, 4, (30, 3)).astype(float), axis=0)
    facets = random.integers(0, len(vertices), (60, 3)).astype(np.int32)
    mesh = Mesh(vertices, facets)
    boundary, bvh = solve(mesh, closed=False)
    assert np.isfinite(boundary.pieces).all()
    assert np.isfinite(true_volume(mesh, boundary, 1)[0])
    assert 0 <= open_volume_estimate(mesh, bvh, boundary, 1) < 100


def test_one_facet_and_a_point_have_no_volume() -> None:
    for facets in ([[0, 1, 2]], [[0, 0, 0]], [[0, 1, 1]]):
        mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array(facets, np.int32))
        boundary, bvh = solve(mesh, closed=False)
        assert abs(true_volume(mesh, boundary, 1)[0]) < 1e-9
        assert open_volume_estimate(mesh, bvh, boundary, 1) == pytest.approx(0, abs=1e-6)


def test_many_open_facets_on_one_another_end_in_bounded_time() -> None:
    """Each cap and line would need all of them: the work is limited, and the estimate is within the box."""
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]]) + np.zeros((200, 1, 1))
    corners[:, :, 2] += 1e-4 * np.arange(200)[:, None]
    mesh = Mesh(corners.reshape(-1, 3), np.arange(600, dtype=np.int32).reshape(-1, 3))
    estimates = []
    for most in (open_surface._MAX_WORK, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(open_surface, "_MAX_WORK", most)
            bvh = build_bvh(mesh, 2)
            boundary = classify(mesh, bvh, find_pairs(mesh, bvh, 2), False, np.arange(200, dtype=np.int32), 2)
            assert boundary is not None
            estimates.append(open_volume_estimate(mesh, bvh, boundary, 2))
    assert all(0 <= estimate <= 50 for estimate in estimates)
    assert estimates[1] == pytest.approx(estimates[0], abs=1)


def test_rows_of_overlapping_balls_are_measured_and_tangles_are_not() -> None:
    """A pave's worth of shells, each through its neighbours, is cut; thousands of triangles through all others not."""
    ball = trimesh.creation.icosphere(1)
    row = concatenated([ball.copy().apply_translation([0.5 * i, 0, 0]) for i in range(150)])
    mesh = Mesh(np.asarray(row.vertices, np.float64), np.asarray(row.faces, np.int32))
    bvh = build_bvh(mesh, 2)
    body = np.repeat(np.arange(150), len(ball.faces)).astype(np.int32)
    boundary = classify(mesh, bvh, find_pairs(mesh, bvh, 2), True, body, 2)
    assert boundary is not None
    volume, _ = true_volume(mesh, boundary, 2)
    assert ball.volume < volume < np.pi * (0.5 * 149) + 4 * np.pi / 3
    soup = Mesh(np.random.default_rng(5).random((6000, 3)), np.arange(6000, dtype=np.int32).reshape(-1, 3))
    bvh = build_bvh(soup, 2)
    assert classify(soup, bvh, find_pairs(soup, bvh, 2), False, np.arange(2000, dtype=np.int32), 2) is None
