"""Orientation (``analysis/orientation.py``) against closed forms, a naive twin and a search that drops nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from manifold3d import Manifold
from numpy.typing import ArrayLike

from pricing_engine.analysis import support_search
from pricing_engine.analysis.directions import candidate_directions, model_size
from pricing_engine.analysis.hull import convex_hull, largest_faces
from pricing_engine.analysis.orientation import Pose, overhang_areas, search_orientations
from pricing_engine.analysis.support_search import search_support
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.solid.boundary import CUT, INSIDE, Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.naive import orientation as naive
from tests.support.meshes import Floats, Solid, mesh_in_blocks, surface_of, triangles_of
from tests.support.support_shapes import (
    CLOSED_FORMS,
    HARD,
    LAYER,
    ROTATION,
    block,
    mesh_of_solid,
    random_solid,
    t_shape,
    table,
)

DOWN = np.array([0.0, 0.0, -1.0])


def separate_shells(*solids: Solid) -> Mesh:
    """Return solids as one mesh whose shells may overlap."""
    return mesh_in_blocks(triangles_of([surface_of(solid) for solid in solids]))


def volumes(
    mesh: Mesh, directions: ArrayLike, boundary: Boundary | None = None, prune: bool = False, threads: int = 2
) -> Floats:
    """Return the support volumes of chosen directions."""
    boundary = boundary or Boundary.everything(mesh.facet_count)
    directions = np.asarray(directions, np.float64).reshape(-1, 3)
    return search_support(mesh, build_bvh(mesh, 1), boundary, LAYER, directions, threads, prune).volumes


class Found(NamedTuple):
    """The result of a search within its budget."""

    candidates: int
    as_given: Pose
    best: Pose


def search(mesh: Mesh, boundary: Boundary | None = None, threads: int = 2) -> Found:
    """Run the complete search."""
    boundary = boundary or Boundary.everything(mesh.facet_count)
    hull = largest_faces(convex_hull(mesh))
    found = search_orientations(mesh, build_bvh(mesh, 1), boundary, LAYER, hull, threads)
    assert found is not None
    assert found.best is not None
    return Found(found.candidates, found.as_given, found.best)


@pytest.mark.parametrize(("shape", "exact"), CLOSED_FORMS)
def test_boxes_have_their_closed_forms_however_coarse_or_fine_or_turned(
    shape: Callable[[], Solid], exact: float
) -> None:
    coarse = mesh_of_solid(shape())
    size = model_size(coarse)
    fine = mesh_of_solid(shape().refine_to_length(size / 40))
    for mesh in (coarse, fine):
        turned = Mesh(np.ascontiguousarray(mesh.vertices @ ROTATION.T + [100, -50, 7]), mesh.facets)
        assert volumes(mesh, DOWN)[0] == pytest.approx(exact, rel=0.02, abs=1e-4 * size**3)
        assert volumes(turned, ROTATION @ DOWN)[0] == pytest.approx(exact, rel=0.02, abs=1e-4 * size**3)


@pytest.mark.parametrize("segments", [64, 300])
def test_a_sphere_needs_support_under_its_cap(segments: int) -> None:
    radius = 7.0
    ball = mesh_of_solid(Manifold.sphere(radius, segments))
    rim = radius * np.sqrt(1 - OVERHANG_COSINE**2)
    exact = np.pi * radius * rim**2 - 2 * np.pi / 3 * (radius**3 - (radius**2 - rim**2) ** 1.5)
    got = volumes(ball, [DOWN, ROTATION @ DOWN])
    assert got == pytest.approx(np.full(2, exact), rel=0.08 if segments < 100 else 0.02)


def test_touching_surfaces_leave_no_support() -> None:
    touching = separate_shells(block((4, 4, 2)), block((4, 4, 3), (0, 0, 2)))
    assert volumes(touching, DOWN)[0] == 0
    assert search(touching).best.support_volume_mm3 == 0


def test_facets_within_half_a_layer_rest_on_the_platform() -> None:
    foot, short_foot = block((1, 1, 1)), block((1, 1, 1 - 0.4 * LAYER), (3, 0, 0.4 * LAYER))
    feet = mesh_of_solid(foot + short_foot + block((4, 1, 1), (0, 0, 1)))
    areas = overhang_areas(feet, Boundary.everything(feet.facet_count), LAYER, DOWN[None], 1)
    assert areas[0] == pytest.approx(2)  # the arch alone; the short foot rests


def test_inside_facets_and_pieces_follow_the_boundary() -> None:
    first, second = block((6, 6, 2), (0, 0, 4)), block((2, 2, 6), (2, 2, 0))
    union, both = mesh_of_solid(first + second), separate_shells(first, second)
    status = np.full(both.facet_count, CUT, np.int8)
    status[::3] = INSIDE
    boundary = Boundary(status, union.vertices[union.facets], np.zeros(union.facet_count, np.int32))
    assert volumes(both, DOWN, boundary)[0] == pytest.approx(32 * 4, rel=0.02)
    assert search(both, boundary).as_given.overhang_area_mm2 == pytest.approx(32)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_naive_columns(seed: int) -> None:
    mesh = mesh_of_solid(random_solid(seed))
    rng = np.random.default_rng(seed + 100)
    directions = np.vstack([DOWN, rng.normal(size=(2, 3))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    triangles = mesh.vertices[mesh.facets]
    exact = [naive.support_volume(triangles, down, LAYER) for down in directions]
    size = model_size(mesh)
    assert volumes(mesh, directions) == pytest.approx(np.array(exact), rel=0.02, abs=1e-4 * size**3)
    areas = overhang_areas(mesh, Boundary.everything(mesh.facet_count), LAYER, directions, 2)
    for down, area in zip(directions, areas, strict=True):
        each, overhangs = naive.overhanging(triangles, down, LAYER, size)
        assert area == pytest.approx(each[overhangs].sum(), rel=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_bounds_are_rigorous_and_the_search_finds_what_scoring_everything_finds(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support_search, "_MIN_SAMPLES_TO_BOUND", 0)
    monkeypatch.setattr(support_search, "_MIN_GAIN", -1)
    mesh = mesh_of_solid(random_solid(seed))
    directions = candidate_directions(largest_faces(convex_hull(mesh)))
    assert len(directions) >= 500
    boundary = Boundary.everything(mesh.facet_count)
    tree = build_bvh(mesh, 1)
    everything = search_support(mesh, tree, boundary, LAYER, directions, 2, prune=False)
    pruned = search_support(mesh, tree, boundary, LAYER, directions, 2)
    assert (pruned.bounds <= everything.volumes * (1 + 1e-12)).all()
    assert pruned.volumes.min() == everything.volumes.min()
    measured = np.isfinite(pruned.volumes)
    assert (pruned.volumes[measured] == everything.volumes[measured]).all()
    size = model_size(mesh)
    np.testing.assert_allclose(pruned.heights, np.ptp(mesh.vertices @ directions.T, axis=0), atol=1e-12 * size)


LEAN = np.array([0.5, 0.3, -0.81]) / np.linalg.norm([0.5, 0.3, -0.81])


@pytest.mark.parametrize("shape", HARD)
def test_many_layers_thin_fins_and_slivers_agree_with_naive_columns(shape: Callable[[], Solid]) -> None:
    mesh = mesh_of_solid(shape())
    directions = np.array([DOWN, LEAN])
    exact = [naive.support_volume(mesh.vertices[mesh.facets], down, LAYER) for down in directions]
    size = model_size(mesh)
    assert volumes(mesh, directions) == pytest.approx(np.array(exact), rel=0.03, abs=1e-4 * size**3)


@pytest.mark.parametrize("shape", HARD)
@pytest.mark.parametrize("min_samples", [0, 1 << 40])
def test_dropping_directions_early_changes_no_volume(
    shape: Callable[[], Solid], min_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support_search, "_MIN_SAMPLES_TO_BOUND", min_samples)
    monkeypatch.setattr(support_search, "_MIN_GAIN", -1)
    mesh = mesh_of_solid(shape())
    shuffled = Mesh(mesh.vertices, np.random.default_rng(4).permutation(mesh.facets))
    directions = candidate_directions(largest_faces(convex_hull(mesh)))
    boundary = Boundary.everything(mesh.facet_count)
    everything = search_support(mesh, build_bvh(mesh, 1), boundary, LAYER, directions, 1, prune=False)
    pruned = search_support(mesh, build_bvh(mesh, 1), boundary, LAYER, directions, 3)
    measured = np.isfinite(pruned.volumes)
    assert (pruned.bounds <= everything.volumes * (1 + 1e-12)).all()
    assert (pruned.volumes[measured] == everything.volumes[measured]).all()
    assert pruned.volumes.min() == everything.volumes.min()
    size = model_size(mesh)
    again = search_support(shuffled, build_bvh(shuffled, 1), boundary, LAYER, directions, 2, prune=False)
    assert again.volumes == pytest.approx(everything.volumes, rel=1e-6, abs=1e-6 * size**3)


def test_any_number_of_threads_has_the_same_bits() -> None:
    mesh = mesh_of_solid(random_solid(9))
    first, other = search(mesh, threads=1), search(mesh, threads=5)
    for a, b in ((first.as_given, other.as_given), (first.best, other.best)):
        assert (a.down == b.down).all()
        assert (a.support_volume_mm3, a.overhang_area_mm2, a.height_mm) == (
            b.support_volume_mm3,
            b.overhang_area_mm2,
            b.height_mm,
        )


def test_the_best_pose_rotates_with_the_model() -> None:
    mesh = mesh_of_solid(t_shape())
    best = search(mesh).best
    turned = search(Mesh(np.ascontiguousarray(mesh.vertices @ ROTATION.T), mesh.facets)).best
    assert best.support_volume_mm3 == turned.support_volume_mm3 == 0
    assert best.height_mm == pytest.approx(12)
    assert turned.down == pytest.approx(ROTATION @ best.down, abs=1e-6)
    assert best.down == pytest.approx([0, 0, 1])


def test_a_table_is_best_upside_down() -> None:
    found = search(mesh_of_solid(table()))
    assert found.best.down == pytest.approx([0, 0, 1])
    assert found.as_given.support_volume_mm3 == pytest.approx(76 * 6, rel=0.02)
    assert found.as_given.overhang_area_mm2 == pytest.approx(76)
    assert found.as_given.height_mm == 7
    assert found.candidates >= 500


@pytest.mark.parametrize("count", [1, 2, 20])
def test_any_soup_has_finite_poses(count: int) -> None:
    rng = np.random.default_rng(count)
    vertices = rng.normal(size=(3 * count, 3)) * 1e4 + 1e6
    facets = np.arange(3 * count).reshape(-1, 3)
    facets[-1] = facets[-1, 0]
    vertices[:3, 2] = vertices[0, 2]
    found = search(mesh_in_blocks(vertices[facets]))
    for pose in (found.as_given, found.best):
        assert np.isfinite([pose.support_volume_mm3, pose.overhang_area_mm2, pose.height_mm]).all()
        assert np.linalg.norm(pose.down) == pytest.approx(1)


def test_a_point_needs_no_support() -> None:
    found = search(Mesh(np.zeros((1, 3)), np.zeros((2, 3), np.int32)))
    assert found.best.support_volume_mm3 == 0


def test_hull_faces_are_sorted_largest_first() -> None:
    faces = largest_faces(convex_hull(mesh_of_solid(block((1, 2, 3)))))
    assert len(faces) == 6
    assert np.abs(faces[:2]) == pytest.approx(np.array([[1, 0, 0], [1, 0, 0]]))
