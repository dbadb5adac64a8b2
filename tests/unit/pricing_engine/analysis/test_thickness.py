"""Wall thickness (``analysis/thickness.py``) against naive twins, closed forms and peers on real models."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.executor import ThreadExecutor
from pricing_engine.analysis.thickness import ThicknessResult, start_thickness
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.spatial.ray_cast import closest_hits
from pricing_engine.kernels.thickness.normal_cones import build_normal_cones
from pricing_engine.kernels.thickness.ray_thickness import CONTACT, ray_thickness
from pricing_engine.kernels.thickness.sphere_thickness import sphere_thickness
from tests.naive import thickness as naive
from tests.support import shared_models
from tests.support.meshes import Floats, canonical, inside_out, mesh_of, read_mesh, rotation, sorted_mesh
from tests.support.paths import SHARED_MODELS

REAL = shared_models.measured("thickness_open3d_facets")


def measure(mesh: Mesh, threads: int = 2) -> tuple[Floats, Floats]:
    bvh = build_bvh(mesh, threads)
    ray = ray_thickness(mesh, bvh, threads, every(mesh))
    return ray, sphere_thickness(mesh, bvh, build_normal_cones(mesh, bvh, threads), threads, every(mesh), ray)


def every(mesh: Mesh) -> range:
    return range(mesh.facet_count)


def measured(mesh: Mesh) -> ThicknessResult:
    bvh = build_bvh(mesh, 2)
    return start_thickness(ThreadExecutor(2), mesh, bvh, (mesh, bvh))()


def noisy(seed: int) -> Mesh:
    torus = trimesh.creation.torus(5, 1, major_sections=12, minor_sections=8)
    rng = np.random.default_rng(seed)
    return sorted_mesh((torus.vertices + rng.normal(0, 0.15, torus.vertices.shape))[torus.faces])


def soup(seed: int, count: int = 120, size: float = 0.2) -> Mesh:
    rng = np.random.default_rng(seed)
    corners = rng.normal(0, 1, (count, 1, 3)) + rng.normal(0, size, (count, 3, 3))
    return sorted_mesh(corners)


@pytest.mark.parametrize(
    "mesh", [noisy(1), noisy(2), soup(3), soup(4), soup(5, 60, 1.0), mesh_of(trimesh.creation.box())]
)
def test_rays_and_spheres_agree_with_the_naive_twins(mesh: Mesh) -> None:
    ray, sphere = measure(mesh)
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    expected = naive.ray_thickness(mesh, CONTACT * size)
    np.testing.assert_allclose(ray, expected, rtol=1e-6)
    np.testing.assert_allclose(sphere, naive.sphere_thickness(mesh, expected), rtol=1e-6)


@pytest.mark.parametrize("mesh", [noisy(7), soup(8), soup(9, 300, 1.0), mesh_of(trimesh.creation.box())])
def test_rays_only_fill_where_no_wall_faces_and_change_no_other_bit(mesh: Mesh) -> None:
    ray, with_rays = measure(mesh)
    bvh = build_bvh(mesh, 2)
    without = sphere_thickness(mesh, bvh, build_normal_cones(mesh, bvh, 2), 2, every(mesh))
    alone = np.isnan(without)
    assert np.array_equal(with_rays, np.where(alone, ray, without), equal_nan=True)


def test_parts_join_to_the_same_bits() -> None:
    mesh = mesh_of(trimesh.creation.torus(10, 2, 96, 64))
    bvh = build_bvh(mesh, 2)
    walls, (ray, sphere) = build_normal_cones(mesh, bvh, 2), measure(mesh)
    for facets in (range(4096), range(4096, 8192), range(8192, mesh.facet_count)):
        part = slice(facets.start, facets.stop)
        assert np.array_equal(ray_thickness(mesh, bvh, 1, facets), ray[part])
        assert np.array_equal(sphere_thickness(mesh, bvh, walls, 1, facets), sphere[part])


def test_facets_without_area_change_nothing() -> None:
    mesh = noisy(6)
    flat = np.array([[0, 0, 5], [7, 7, 7], [3, 9, 3]] * 5, np.int32)
    places = np.arange(len(flat)) * 11  # within leaves whose other facets have area
    ray, sphere = measure(mesh)
    mixed_ray, mixed = measure(Mesh(mesh.vertices, np.insert(mesh.facets, places, flat, axis=0)))
    kept = np.insert(np.ones(mesh.facet_count, bool), places, False)
    assert np.isnan(mixed[~kept]).all()
    np.testing.assert_allclose(mixed_ray[kept], ray, rtol=1e-12)
    np.testing.assert_allclose(mixed[kept], sphere, rtol=1e-12)


def test_sheet_thinner_than_its_facets_mixes_both_sides_in_a_leaf() -> None:
    """Leaves have facets of both orientations, with spheres on both sides."""
    sheet = trimesh.creation.box((10, 10, 0.01)).subdivide().subdivide().subdivide()
    _, sphere = measure(mesh_of(sheet))
    broad = np.abs(sheet.face_normals[:, 2]) > 0.5
    np.testing.assert_allclose(np.sort(sphere)[: broad.sum()], 0.01, rtol=1e-9)
    np.testing.assert_allclose(np.sort(sphere)[broad.sum() :], 10, rtol=1e-9)


def test_a_cube_has_no_thin_edges() -> None:
    cube = trimesh.creation.box((10, 10, 10)).subdivide().subdivide().subdivide()
    mesh = mesh_of(cube)
    result = measured(mesh)
    assert result.thin_area_fraction == {"0.5": 0.0, "0.8": 0.0, "1.0": 0.0}
    np.testing.assert_allclose(result.facet_mm, 10, rtol=1e-12)
    assert result.ray.min_mm == pytest.approx(10, rel=1e-12)


def test_a_knife_edge_is_thin() -> None:
    wedge = trimesh.convex.convex_hull(np.array([[x, y, z] for y in (0, 10) for x, z in ((0, 0), (10, -1), (10, 1))]))
    for _ in range(5):
        wedge = wedge.subdivide()
    mesh = mesh_of(wedge)
    result = measured(mesh)
    half, one = (result.thin_area_fraction[limit] for limit in ("0.5", "1.0"))
    assert half is not None
    assert one is not None
    assert 0.1 < half < one < 0.7
    assert np.all(result.thinnest_mm[:, 0] < 0.5)


def test_a_shell_has_the_thickness_of_its_wall() -> None:
    outer = trimesh.creation.icosphere(subdivisions=4, radius=10)
    inner = inside_out(trimesh.creation.icosphere(subdivisions=4, radius=9))
    ray, sphere = measure(mesh_of(outer, inner))
    np.testing.assert_allclose(ray, 1, rtol=0.02)
    np.testing.assert_allclose(sphere, 1, rtol=0.02)


def test_sphere_and_torus_have_their_diameters() -> None:
    _, sphere = measure(mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=3)))
    np.testing.assert_allclose(sphere, 6, rtol=0.01)
    _, torus = measure(mesh_of(trimesh.creation.torus(5, 1, major_sections=128, minor_sections=64)))
    np.testing.assert_allclose(torus, 2, rtol=0.02)


def test_threads_change_no_bit_and_motion_changes_little() -> None:
    torus = trimesh.creation.torus(5, 1, major_sections=100, minor_sections=60)
    mesh = mesh_of(torus)
    one, many = measure(mesh, 1), measure(mesh, 5)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, many, strict=True))
    moved = Mesh(mesh.vertices @ rotation(1.1, [1, 2, 3]).T * 7 + [100, -50, 20], mesh.facets)
    for value, other in zip(one, measure(moved), strict=True):
        np.testing.assert_allclose(other, value * 7, rtol=1e-4)


@pytest.mark.parametrize(
    "facets",
    [[[0, 1, 2]], [[0, 0, 0]], [[0, 1, 2], [0, 1, 2]], [[0, 1, 2], [2, 1, 0]], [[0, 1, 3], [0, 1, 2], [1, 1, 2]]],
)
def test_meshes_without_walls_have_no_thickness(facets: list[list[int]]) -> None:
    mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]), np.array(facets, np.int32))
    result = measured(mesh)
    assert result.ray.min_mm is None
    assert result.sphere.p50_mm is None
    assert np.isnan(result.facet_mm).all()


def test_rays_are_exact_and_watertight() -> None:
    solid = trimesh.creation.icosphere(subdivisions=3, radius=1)
    mesh = mesh_of(solid)
    bvh = build_bvh(mesh, 2)
    ends = np.concatenate([mesh.vertices, mesh.vertices[mesh.facets[:, :2]].mean(axis=1)])  # at corners and on edges
    distance, facet = closest_hits(bvh, np.zeros_like(ends), ends, 2)
    assert np.all(facet >= 0)
    np.testing.assert_allclose(distance, np.linalg.norm(ends, axis=1), rtol=1e-5)
    far, _ = closest_hits(bvh, ends * 1e4, -ends, 2)
    np.testing.assert_allclose(far, np.linalg.norm(ends, axis=1) * (1e4 - 1), rtol=1e-6)
    assert np.all(closest_hits(bvh, ends * 2, ends, 2)[1] == -1)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(closest_hits(bvh, axes * 3, -axes, 1)[0], 2, rtol=1e-2)
    assert np.isinf(closest_hits(bvh, axes, axes * 0, 1)[0]).all()


def test_rays_agree_with_the_naive_cast() -> None:
    mesh = soup(9, 150, 0.6)
    rng = np.random.default_rng(9)
    origins, directions = rng.normal(0, 2, (300, 3)), rng.normal(0, 1, (300, 3))
    distance, facet = closest_hits(build_bvh(mesh, 2), origins, directions, 2)
    corners = naive.frames(mesh)[0]
    expected = np.array(
        [naive.cast(corners, o, d / np.linalg.norm(d)) for o, d in zip(origins, directions, strict=True)]
    )
    np.testing.assert_allclose(distance, expected.min(axis=1), rtol=1e-4)
    hit = facet >= 0
    assert np.array_equal(facet[hit], expected.argmin(axis=1)[hit])


@pytest.mark.parametrize("name", REAL)
def test_real_models_agree_with_embree(name: str) -> None:
    peer = REAL[name]
    mesh = canonical(read_mesh(SHARED_MODELS / name), threads=2)  # a tree in another order visits most of its nodes
    ray = ray_thickness(mesh, build_bvh(mesh, 2), 2, every(mesh))
    p05, p50 = np.nanpercentile(ray, [5, 50])
    assert np.isfinite(ray).sum() == pytest.approx(peer["hits"], rel=1e-3)
    assert p05 == pytest.approx(peer["p5"], rel=1e-3)
    assert p50 == pytest.approx(peer["p50"], rel=1e-3)
