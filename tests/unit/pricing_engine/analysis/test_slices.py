"""Slices (``analysis/slices.py``) against closed forms, naive twins, manifold3d and real meshes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from trimesh.creation import annulus, box, cone, cylinder, icosphere, torus

import pricing_engine.analysis.slices as module
from pricing_engine.analysis.slices import SlicesResult, layer_sums, measure_slices
from pricing_engine.analysis.solid import classify
from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.boundary import INSIDE, Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.naive import slices as naive
from tests.support import shared_models
from tests.support.meshes import inside_out, mesh_of, moved, read_mesh, rotated, rotation, solid_of, surface_of, union
from tests.support.paths import SHARED_MODELS

CLEAN = shared_models.present("armadillo.obj", "geometry_ring.stl", "pendant.stl")


def sliced(mesh: Mesh, height: float, threads: int = 2) -> SlicesResult:
    boundary = Boundary.everything(mesh.facet_count)
    found, sums = measure_slices(mesh, boundary, height, threads), layer_sums(mesh, boundary, height, threads)
    assert np.array_equal(sums.area, found.layer_area)
    assert np.array_equal(sums.perimeter, found.layer_perimeter)
    return found


def turned(part: trimesh.Trimesh, degrees: float, axis: tuple[float, float, float]) -> trimesh.Trimesh:
    return rotated(part, rotation(np.radians(degrees), axis))


def difference(part: trimesh.Trimesh, *others: trimesh.Trimesh) -> trimesh.Trimesh:
    return surface_of(solid_of(part) - union(others))


def joined(*parts: trimesh.Trimesh) -> trimesh.Trimesh:
    return surface_of(union(parts))


class TestSums:
    def test_a_cube_has_equal_layers(self) -> None:
        result = sliced(mesh_of(box((10, 8, 6))), 0.5)
        assert result.layers == 12
        assert result.layer_area == pytest.approx(np.full(12, 80.0), rel=1e-12)
        assert result.layer_perimeter == pytest.approx(np.full(12, 36.0), rel=1e-12)
        assert (result.area_sum_mm2, result.max_area_mm2) == pytest.approx((960.0, 80.0), rel=1e-12)
        assert (result.islands, result.trapped_volume_mm3) == (0, 0.0)

    def test_sphere_torus_and_cone_have_their_closed_forms(self) -> None:
        z = (np.arange(100) + 0.5) * 0.1
        ball = sliced(mesh_of(icosphere(6, 5.0)), 0.1)
        assert ball.layer_area == pytest.approx(np.pi * (25 - (z - 5) ** 2), rel=2e-2)
        assert ball.area_sum_mm2 * 0.1 == pytest.approx(4 / 3 * np.pi * 125, rel=1e-3)
        ring = sliced(mesh_of(torus(8.0, 2.0, 256, 256)), 0.04)
        assert ring.area_sum_mm2 * 0.04 == pytest.approx(2 * np.pi**2 * 8 * 4, rel=1e-3)
        assert ring.perimeter_sum_mm == pytest.approx(100 * 4 * np.pi * 8, rel=1e-3)
        spike = sliced(mesh_of(cone(3.0, 10.0, sections=400)), 0.1)
        assert spike.layer_area == pytest.approx(np.pi * (0.3 * (10 - z)) ** 2, rel=1e-3)

    @pytest.mark.parametrize("seed", range(6))
    def test_sums_agree_with_the_naive_twin(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        corners = np.round(random.normal(size=(40, 3, 3)), 1)  # a soup, with many corners on planes
        mesh = mesh_of(trimesh.Trimesh(corners.reshape(-1, 3), np.arange(120).reshape(-1, 3), process=False))
        result = sliced(mesh, 0.2)
        heights = naive.plane_heights(corners, 0.2)
        middle = (corners.min(axis=(0, 1)) + corners.max(axis=(0, 1))) / 2
        sections = [naive.section(corners - [*middle[:2], 0], z - 1e-13) for z in heights]
        expected = np.array([naive.area_and_perimeter(lines) for lines in sections])
        assert result.layers == len(heights)
        assert result.layer_area == pytest.approx(expected[:, 0], rel=1e-9, abs=1e-9)
        assert result.layer_perimeter == pytest.approx(expected[:, 1], rel=1e-9, abs=1e-9)
        assert np.isfinite(result.trapped_volume_mm3)

    def test_corner_on_a_plane_counts_as_above(self) -> None:
        step = joined(moved(box((4, 4, 0.75)), 0, 0, 0.375), moved(box((2, 2, 1.5)), 0, 0, 0.95))
        assert sliced(mesh_of(step), 0.5).layer_area == pytest.approx([16.0, 16.0, 4.0])  # planes 0.25, 0.75, 1.25
        top = sliced(mesh_of(box((1, 1, 1.25))), 0.5)  # the third plane is z_max itself
        assert top.layers == 2

    def test_sums_follow_translation_and_scale(self) -> None:
        part = turned(torus(6.0, 2.0), 35, (1, 2, 3))
        original = sliced(mesh_of(part), 0.1)
        distant = sliced(mesh_of(moved(part, 1e4, -2e4, 5e3)), 0.1)
        large = sliced(mesh_of(part.copy().apply_scale(10)), 1.0)
        assert distant.area_sum_mm2 == pytest.approx(original.area_sum_mm2, rel=1e-9)
        assert large.area_sum_mm2 == pytest.approx(100 * original.area_sum_mm2, rel=1e-9)
        assert original.islands == distant.islands == large.islands

    def test_same_bits_on_any_threads_and_in_small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MIN_GRAIN_FACETS", 256)
        monkeypatch.setattr(module, "_GRAIN_SEGMENTS", 512)
        shell = [icosphere(4, 5.0), inside_out(icosphere(3, 4.0)), icosphere(3, 2.0)]
        mesh = mesh_of(*shell)
        one = sliced(mesh, 0.05, 1)
        assert one.islands == 1
        for threads in (2, 7):
            again = sliced(mesh, 0.05, threads)
            assert (again.layer_area == one.layer_area).all()
            assert (again.island_points == one.island_points).all()
            assert again.trapped_volume_mm3 == one.trapped_volume_mm3
        monkeypatch.setattr(module, "_BLOCK_SEGMENTS", 3000)
        blocks = sliced(mesh, 0.05)
        assert blocks.trapped_volume_mm3 == pytest.approx(one.trapped_volume_mm3, rel=1e-12)
        assert (blocks.island_points == one.island_points).all()

    def test_the_order_of_facets_leaves_no_trace(self) -> None:
        mesh = mesh_of(turned(torus(6.0, 2.0), 65, (1, 2, 0)))
        order = np.random.default_rng(0).permutation(mesh.facet_count)
        a, b = sliced(mesh, 0.1), sliced(Mesh(mesh.vertices, mesh.facets[order]), 0.1)
        assert a.layer_area == pytest.approx(b.layer_area, rel=1e-9)
        assert (a.islands, a.trapped_volume_mm3) == (b.islands, b.trapped_volume_mm3)

    def test_pieces_replace_cut_facets(self) -> None:
        mesh = mesh_of(icosphere(3, 5.0))
        status = np.ones(mesh.facet_count, np.int8)
        status[::3] = 2
        corners = mesh.vertices[mesh.facets[::3]]
        middle = corners.mean(axis=1)
        pieces = np.concatenate([np.stack([corners[:, i], corners[:, (i + 1) % 3], middle], axis=1) for i in range(3)])
        noise = np.random.default_rng(1).normal(size=pieces.shape) * 1e-14
        owner = np.tile(np.arange(0, mesh.facet_count, 3), 3).astype(np.int32)
        cut = measure_slices(mesh, Boundary(status, pieces + noise, owner), 0.1, 2)
        uncut = sliced(mesh, 0.1)
        assert cut.layer_area == pytest.approx(uncut.layer_area, rel=1e-9)
        assert cut.layer_perimeter == pytest.approx(uncut.layer_perimeter, rel=1e-9)
        assert (cut.islands, cut.trapped_volume_mm3) == (0, 0.0)
        status[:] = INSIDE
        nothing = measure_slices(mesh, Boundary(status, np.empty((0, 3, 3)), np.empty(0, np.int32)), 0.1, 2)
        assert (nothing.area_sum_mm2, nothing.islands, nothing.trapped_volume_mm3) == (0.0, 0, 0.0)

    @pytest.mark.parametrize("corners", [[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 0], [1, 0, 3], [0, 1, 1]]])
    def test_one_facet_has_finite_sums(self, corners: list[list[float]]) -> None:
        result = sliced(Mesh(np.array(corners, float), np.array([[0, 1, 2]], np.int32)), 0.25)
        assert result.layers == (0 if corners[1][2] == 0 else 12)
        assert np.isfinite([result.area_sum_mm2, result.perimeter_sum_mm, result.trapped_volume_mm3]).all()

    @pytest.mark.parametrize("height", [0.0, -1.0, float("nan"), float("inf"), 1e-6])
    def test_impossible_heights_are_refused(self, height: float) -> None:
        with pytest.raises(ValueError, match="layer"):
            sliced(mesh_of(box((1, 1, 1))), height)

    @pytest.mark.parametrize("name", CLEAN)
    def test_real_models_agree_with_manifold(self, name: str) -> None:
        expected = shared_models.reference()[name]["slices_25mm_500_layers"]
        part = read_mesh(SHARED_MODELS / name)
        part.apply_translation((0, 0, -part.bounds[0, 2]))
        part.apply_scale(25 / part.bounds[1, 2])
        result = sliced(mesh_of(part), 0.05)
        assert result.layers == 500
        assert result.area_sum_mm2 == pytest.approx(expected["manifold3d"]["area_sum_mm2"], rel=1e-6)
        assert result.perimeter_sum_mm == pytest.approx(expected["manifold3d"]["perimeter_sum_mm"], rel=1e-6)


class TestIslands:
    def test_a_table_has_no_islands_either_way_up(self) -> None:
        legs = [moved(box((1, 1, 5)), x, y, 2.8) for x in (-4, 4) for y in (-4, 4)]
        table = joined(box((10, 10, 1)), *legs)
        assert sliced(mesh_of(table), 0.1).islands == 0
        assert sliced(mesh_of(turned(table, 180, (1, 0, 0))), 0.1).islands == 0

    def test_hanging_legs_are_islands(self) -> None:
        legs = [moved(box((1, 1, 3)), x, y, -1.5) for x in (-4, 4) for y in (-4, 4)]
        lamp = joined(box((10, 10, 1)), *legs, moved(box((1, 1, 6)), 0, 0, -3))  # its foot alone reaches the platform
        result = sliced(mesh_of(lamp), 0.1)
        assert result.islands == 4
        assert np.abs(result.island_points[:, :2]) == pytest.approx(np.full((4, 2), 4.0), abs=0.51)
        assert result.island_points[:, 2] == pytest.approx(np.full(4, -2.95))

    def test_an_arch_has_no_islands_and_a_hanging_ball_is_one(self) -> None:
        arch = difference(cylinder(5, 4), cylinder(4, 5), moved(box((20, 20, 20)), 0, -10, 0))
        arch = turned(arch, 90, (1, 0, 0))
        assert sliced(mesh_of(arch), 0.1).islands == 0
        assert sliced(mesh_of(turned(arch, 180, (1, 0, 0))), 0.1).islands == 0
        assert sliced(mesh_of(icosphere(3, 2.0), moved(icosphere(3, 2.0), 5, 0, 1.3)), 0.05).islands == 1

    def test_an_inverted_cone_grows_from_its_tip_without_islands(self) -> None:
        assert sliced(mesh_of(turned(cone(3.0, 1.0), 180, (1, 0, 0))), 0.05).islands == 0

    def test_each_layer_of_a_thin_slanted_sheet_is_an_island(self) -> None:
        sheet = turned(box((10, 10, 0.02)), 20, (0, 1, 0))
        result = sliced(mesh_of(sheet), 0.05)
        assert result.islands == result.layers - 1

    def test_crossing_bars_overlap_without_a_corner_inside(self) -> None:
        cross = joined(moved(box((10, 1, 1)), 1.2, 0, 0), moved(box((1, 10, 1)), 0, 2.1, 1))
        assert sliced(mesh_of(cross), 0.25).islands == 0

    def test_a_pin_within_a_ring_is_an_island(self) -> None:
        ring = annulus(4.0, 6.0, 10.0)
        pin = moved(cylinder(1.0, 2.0), 0, 0, 2)
        assert sliced(mesh_of(ring, pin), 0.1).islands == 1

    @pytest.mark.parametrize("seed", range(12))
    def test_tilted_boxes_agree_with_naive_twins(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        parts = []
        for _ in range(7):
            part = turned(box(random.uniform(0.5, 4, 3)), random.uniform(0, 360), tuple(random.normal(size=3)))
            parts.append(moved(part, *random.uniform(-4, 4, 3)))
        body = joined(*parts)
        mesh = mesh_of(body)
        corners = mesh.vertices[mesh.facets]
        result = sliced(mesh, 0.3)
        assert result.islands == naive.islands(solid_of(body), naive.plane_heights(corners, 0.3))
        layers, cell = naive.layers_as_rasters(corners, 0.3, 500)
        assert result.trapped_volume_mm3 == pytest.approx(naive.trapped_cells(layers) * cell * 0.3, abs=0.02)
        holed = difference(box((9, 9, 9)), body)
        mesh = mesh_of(holed)
        corners = mesh.vertices[mesh.facets]
        result = sliced(mesh, 0.3)
        assert result.islands == naive.islands(solid_of(holed), naive.plane_heights(corners, 0.3))
        layers, cell = naive.layers_as_rasters(corners, 0.3, 300)
        trapped = naive.trapped_cells(layers) * cell * 0.3
        assert result.trapped_volume_mm3 == pytest.approx(trapped, rel=0.02, abs=0.02)


class TestTrapped:
    def test_nested_shells_trap_their_cavity(self) -> None:
        outer, cavity, pearl = icosphere(4, 10.0), icosphere(4, 6.0), icosphere(4, 3.0)
        hollow = sliced(mesh_of(outer, inside_out(cavity)), 0.05)
        assert hollow.trapped_volume_mm3 == pytest.approx(cavity.volume, rel=1e-4)
        filled = sliced(mesh_of(outer, inside_out(cavity), pearl), 0.05)
        assert filled.trapped_volume_mm3 == pytest.approx(cavity.volume - pearl.volume, rel=1e-4)
        assert filled.islands == 1

    @pytest.mark.parametrize("angle", [0, 30, 90, 180])
    def test_a_drain_hole_empties_a_box(self, angle: float) -> None:
        hollow = difference(box((10, 10, 10)), box((8, 8, 8)))
        drained = difference(hollow, moved(cylinder(0.5, 3), 2, 1, 5))
        closed = sliced(mesh_of(turned(hollow, angle, (1, 0.3, 0))), 0.1)
        assert closed.trapped_volume_mm3 == pytest.approx(512, rel=1e-3)
        opened = sliced(mesh_of(turned(drained, angle, (1, 0.3, 0))), 0.1)
        assert opened.trapped_volume_mm3 == 0.0

    def test_a_cup_and_a_ring_trap_nothing(self) -> None:
        cup = difference(box((10, 10, 10)), moved(box((8, 8, 10)), 0, 0, 1))
        for angle in (0, 90, 180):
            assert sliced(mesh_of(turned(cup, angle, (1, 0, 0))), 0.1).trapped_volume_mm3 == 0.0
            assert sliced(mesh_of(turned(torus(6.0, 2.0), angle, (1, 0, 0))), 0.1).trapped_volume_mm3 == 0.0

    def test_half_shells_that_overlap_close_a_cavity(self) -> None:
        half = difference(icosphere(4, 10.0), icosphere(4, 8.0), moved(box((30, 30, 30)), 0, 0, -15.5))
        closed = joined(half, turned(half, 180, (1, 0, 0)))
        expected = solid_of(icosphere(4, 8.0)).volume()
        assert sliced(mesh_of(closed), 0.05).trapped_volume_mm3 == pytest.approx(expected, rel=1e-2)

    def test_a_winding_channel_leads_out(self) -> None:
        bends = [((6, 1, 1), (1, 0, -3)), ((1, 1, 6), (3.5, 0, -0.5)), ((4, 1, 1), (5, 0, 2))]
        block = difference(box((10, 10, 10)), *(moved(box(size), *place) for size, place in bends))
        assert sliced(mesh_of(block), 0.1).trapped_volume_mm3 == 0.0
        assert sliced(mesh_of(turned(block, 25, (3, 1, 2))), 0.1).trapped_volume_mm3 == 0.0


@pytest.mark.parametrize("side", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(("holes", "trapped"), [((0, 1), 0.0), ((1,), 0.0), ((0,), 64.0), ((), 64.0)])
def test_a_hole_in_the_surface_is_a_way_out_whatever_closes_it(
    side: int, holes: tuple[int, ...], trapped: float
) -> None:
    """A box of 10 mm around a cavity of 4 mm; one entire side of the outer (0) or the inner (1) surface may lack."""
    parts = [box((10, 10, 10)), inside_out(box((4, 4, 4)))]
    for hole in holes:
        normal = np.roll([1 if side < 3 else -1, 0, 0], side % 3) * (1 if hole == 0 else -1)
        parts[hole].update_faces(parts[hole].face_normals @ normal < 0.5)
    mesh = mesh_of(*parts)
    bvh = build_bvh(mesh, 2)
    body = np.arange(mesh.facet_count, dtype=np.int32)  # not read: the mesh is taken for open
    boundary = classify(mesh, bvh, find_pairs(mesh, bvh, 2), False, body, 2)
    assert boundary is not None
    assert measure_slices(mesh, boundary, 0.05, 2).trapped_volume_mm3 == pytest.approx(trapped, abs=1e-6)


def test_a_crack_is_no_way_out() -> None:
    cavity = inside_out(box((4, 4, 4)))
    corners = np.asarray(cavity.vertices)[cavity.faces]
    torn = corners[0].copy()
    torn[0] += 1e-9
    corners[0] = torn
    ball = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False)
    mesh = mesh_of(box((10, 10, 10)), ball)
    bvh = build_bvh(mesh, 2)
    body = np.arange(mesh.facet_count, dtype=np.int32)
    boundary = classify(mesh, bvh, find_pairs(mesh, bvh, 2), False, body, 2)
    assert boundary is not None
    assert measure_slices(mesh, boundary, 0.05, 2).trapped_volume_mm3 == pytest.approx(64.0, rel=1e-6)
