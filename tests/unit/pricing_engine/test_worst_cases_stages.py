"""Worst cases in thickness, reach, slices and orientation: tests grow as n log n, omissions are reported.

Bounds are counts of node visits and pair tests, not times. Each is c n log2 n with the c that is named; the budgets of
the stages lie below them, and without a budget, or on the code before it, the kinds named here exceed them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from pricing_engine.analysis import finishing, slices, support_scores
from pricing_engine.analysis.checks import find_checks
from pricing_engine.analysis.executor import ThreadExecutor
from pricing_engine.analysis.finishing import reached_shares, sample_surface
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.orientation import OrientationResult, search_orientations
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.analysis.schema import Analysis
from pricing_engine.analysis.slices import TooMuchToSlice, measure_slices
from pricing_engine.analysis.support_search import search_support
from pricing_engine.analysis.thickness import start_thickness, summarise
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.runtime.budget import UNMEASURED
from pricing_engine.kernels.runtime.search_counters import Counts, counting
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.thickness import ray_thickness as rays
from pricing_engine.kernels.thickness import sphere_thickness as spheres
from pricing_engine.kernels.thickness.normal_cones import build_normal_cones
from pricing_engine.mesh.samples import SAMPLES
from pricing_engine.mesh.weld import canonical_indexed
from pricing_engine.pricing.book import load_price_book
from tests.naive import slices as naive_slices
from tests.naive import thickness as naive_thickness
from tests.naive.analyses import make_analysis, quote
from tests.support.model_files import stl_binary
from tests.support.worst_cases import KINDS, Soup

SIZES = [1_000, 10_000]
LARGE = 100_000
C_RAY, C_SPHERE = 280, 150  # a facet
C_REACH = 300  # a sample; 20 a grid point
C_SLICES = 1100  # a segment: a strip of 1,024 is searched whole
C_SUPPORT = 48  # a triangle or sample


def tetrahedra_at(origins: Floats, size: Floats) -> Soup:
    """Return closed tetrahedra at ``origins`` (n, 3) of ``size`` (3,) mm."""
    corners = origins[:, None] + np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) * size
    facets = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]) + 4 * np.arange(len(origins))[:, None, None]
    return corners.reshape(-1, 3), facets.reshape(-1, 3)


def row(n: int, height: float = 20.0) -> Soup:
    """n / 4 upright needles in a row: in every layer all contours share one strip."""
    count = n // 4
    origins = np.zeros((count, 3))
    origins[:, 0] = np.arange(count) * (20 / count)
    return tetrahedra_at(origins, np.array([8 / count, 8 / count, height]))


def fins(n: int) -> Soup:
    """n / 12 parallel closed plates on edge: in every layer all contours span all strips."""
    vertices, facets = KINDS["stacked_plates"](n)
    return vertices[:, [2, 0, 1]], facets


def one_far(n: int, height: float = 1e-5) -> Soup:
    """Return many tiny tetrahedra and a distant one: a grid over the box has nearly all in one cell."""
    near = np.random.default_rng(3).uniform(0, 1e-3, (n // 4 - 1, 3))
    return tetrahedra_at(np.concatenate([near, [[500.0, 500, 500]]]), np.array([1e-5, 1e-5, height]))


def needles_and_one_far(n: int) -> Soup:
    """As ``one_far``, and the crowd crosses all layers: its points there are nearer than the tolerance."""
    return one_far(n, height=500.0)


def mesh_of(soup: Soup) -> Mesh:
    return canonical_indexed(*soup, 2)


def bound(count: int, c: float) -> float:
    return c * count * math.log2(max(count, 2))


class TestThickness:
    def count(self, soup: Soup) -> tuple[Mesh, Counts]:
        mesh = mesh_of(soup)
        tree = build_bvh(mesh, 2)
        with counting() as counts:
            start_thickness(ThreadExecutor(2), mesh, tree, (mesh, tree))()
        return mesh, counts

    @pytest.mark.parametrize("n", SIZES)
    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_grows_as_n_log_n(self, kind: str, n: int) -> None:
        mesh, counts = self.count(KINDS[kind](n))
        assert 0 < counts.nodes["ray_thickness"] <= bound(mesh.facet_count, C_RAY) or kind in ("collinear",)
        spent = counts.nodes["sphere_thickness"] + counts.pairs["sphere_thickness"]
        assert spent <= bound(mesh.facet_count, C_SPHERE)

    @pytest.mark.parametrize("kind", ["needles", "open_rims", "tiny_bodies"])
    def test_grows_as_n_log_n_at_100_k(self, kind: str) -> None:
        mesh, counts = self.count(KINDS[kind](LARGE))
        assert counts.nodes["ray_thickness"] <= bound(mesh.facet_count, C_RAY)
        spent = counts.nodes["sphere_thickness"] + counts.pairs["sphere_thickness"]
        assert spent <= bound(mesh.facet_count, C_SPHERE)

    @pytest.mark.parametrize("kind", ["needles", "slivers", "star", "stacked_plates", "nested_shells", "tiny_bodies"])
    def test_agrees_with_the_naive_twin_where_it_is_measured(self, kind: str) -> None:
        mesh = mesh_of(KINDS[kind](120))
        tree = build_bvh(mesh, 2)
        size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
        found = rays.ray_thickness(mesh, tree, 2, range(mesh.facet_count))
        expected = naive_thickness.ray_thickness(mesh, rays.CONTACT * size)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)

    def test_ends_at_its_budget_the_same_way_on_any_threads_and_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rays, "_MAX_VISITS", 2)
        monkeypatch.setattr(spheres, "_MAX_TESTS", 3)
        mesh = mesh_of(KINDS["stacked_plates"](20_000))
        tree = build_bvh(mesh, 2)
        walls = build_normal_cones(mesh, tree, 2)
        one, two = (
            (
                rays.ray_thickness(mesh, tree, threads, facets),
                spheres.sphere_thickness(mesh, tree, walls, threads, facets),
            )
            for threads, facets in ((1, range(8192, 12288)), (3, range(mesh.facet_count)))
        )
        for part, complete in zip(one, two, strict=True):
            assert np.array_equal(part, complete[8192:12288], equal_nan=True)
            assert 0 < np.count_nonzero(complete == UNMEASURED) < mesh.facet_count

    def test_one_facet_without_a_value_leaves_no_percentile(self) -> None:
        mesh = mesh_of(KINDS["tiny_bodies"](400))
        values = np.linspace(0.1, 0.2, mesh.facet_count)
        ended = values.copy()
        ended[7] = UNMEASURED
        assert summarise(mesh, values, values, 2).measured
        for ray, sphere in ((ended, values), (values, ended)):
            found = summarise(mesh, ray, sphere, 2)
            assert not found.measured
            assert (found.ray.p50_mm is None) == (ray is ended)
            assert (found.sphere.p50_mm is None) == (sphere is ended)
            assert (found.thin_area_fraction["0.5"] is None) == (sphere is ended)
            assert np.isnan(found.facet_mm).sum() == (sphere is ended)


class TestReach:
    def shares(self, soup: Soup) -> tuple[Mesh, Counts, list[float | None]]:
        mesh = mesh_of(soup)
        tree, boundary = build_bvh(mesh, 2), Boundary.everything(mesh.facet_count)
        samples = sample_surface(mesh, boundary, tree.centre, 2)
        with counting() as counts:
            found = reached_shares(0, 1, 2, samples, tree, (1.5,))
        return mesh, counts, found

    @pytest.mark.parametrize("n", [*SIZES, LARGE])
    @pytest.mark.parametrize("kind", ["open_rims", "stacked_sheets", "large_over_small"])
    def test_tests_a_sample_grow_as_log_n(self, kind: str, n: int) -> None:
        mesh, counts, found = self.shares(KINDS[kind](n))
        log = math.log2(mesh.facet_count)
        assert 0 < counts.nodes["flood"] + counts.pairs["flood"] <= 20 * 80**3 * log
        touched = counts.nodes["touched"] + counts.pairs["touched"]
        assert touched <= C_REACH * finishing.SAMPLES * log
        assert touched > 0 or found == [None]  # where the flood stops at its budget, touch is not measured

    def test_a_share_is_missing_beyond_either_budget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        soup = KINDS["stacked_plates"](1_000)
        assert self.shares(soup)[2][0] is not None
        for budget in ((0, 1 << 20), (1 << 20, 0)):
            monkeypatch.setattr(finishing, "_MAX_TESTS", budget)
            assert self.shares(soup)[2] == [None]


class TestSlices:
    @pytest.mark.parametrize("n", [*SIZES, LARGE])
    @pytest.mark.parametrize("make", [row, fins, needles_and_one_far, KINDS["tiny_bodies"]])
    def test_tests_a_segment_do_not_grow(self, make: Callable[[int], Soup], n: int) -> None:
        mesh = mesh_of(make(n))
        height = float(np.ptp(mesh.vertices[:, 2])) / 3.2
        with counting() as counts:
            measure_slices(mesh, Boundary.everything(mesh.facet_count), height, 2)
        segments = counts.pairs["slices"]
        assert 0 < segments <= 4 * mesh.facet_count
        assert counts.total() - segments <= C_SLICES * segments

    @pytest.mark.parametrize("make", [row, fins])
    def test_crowded_strips_agree_with_the_naive_twin(self, make: Callable[[int], Soup]) -> None:
        mesh = mesh_of(make(480))
        corners, height = mesh.vertices[mesh.facets], float(np.ptp(mesh.vertices[:, 2])) / 4.4
        found = measure_slices(mesh, Boundary.everything(mesh.facet_count), height, 2)
        for k, z in enumerate(naive_slices.plane_heights(corners, height)):
            area, perimeter = naive_slices.area_and_perimeter(naive_slices.section(corners, z))
            assert found.layer_area[k] == pytest.approx(area, rel=1e-9)
            assert found.layer_perimeter[k] == pytest.approx(perimeter, rel=1e-9)
        assert (found.islands, found.trapped_volume_mm3) == (0, 0.0)  # all stand on the platform and end at its top

    @pytest.mark.parametrize("touching", [False, True])
    def test_what_a_row_of_hollow_boxes_traps_and_what_hangs_over_it(self, touching: bool) -> None:
        """Each holds 0.5 x 0.5 x 0.5 mm of void, and a plate without anything below it is above every other one."""
        count = 60
        parts, at = [], np.array([1.0 if touching else 1.25, 0, 0])
        for k in range(count):
            parts += [cuboid(k * at, [1, 1, 1]), cuboid(k * at + 0.25, [0.5, 0.5, 0.5], hollow=True)]
            if k % 2:
                parts.append(cuboid(k * at + [0.2, 0.2, 1.5], [0.6, 0.6, 0.25]))
        corners = np.concatenate(parts)
        mesh = mesh_of((corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)))
        found = measure_slices(mesh, Boundary.everything(mesh.facet_count), 0.25 / 3, 2)
        assert found.trapped_volume_mm3 == pytest.approx(count * 0.125, rel=1e-9)
        assert found.islands == count // 2

    def test_tall_needles_are_counted_before_they_are_cut(self) -> None:
        mesh = mesh_of(row(20_000, height=9_000.0))
        with counting() as counts, pytest.raises(TooMuchToSlice):
            measure_slices(mesh, Boundary.everything(mesh.facet_count), 0.05, 2)
        assert counts.pairs["slices"] > 1 << 26
        assert counts.pairs["contours"] == 0

    @pytest.mark.parametrize(("name", "value"), [("_MAX_CONTOURS", (50, 0)), ("_MAX_TESTS", 0)])
    def test_ends_at_its_budgets(self, monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
        mesh = mesh_of(row(1_000))
        boundary = Boundary.everything(mesh.facet_count)
        assert measure_slices(mesh, boundary, 5.0, 2).layers == 4
        monkeypatch.setattr(slices, name, value)
        with pytest.raises(TooMuchToSlice):
            measure_slices(mesh, boundary, 5.0, 2)


def cuboid(origin: ArrayLike, size: ArrayLike, hollow: bool = False) -> Floats:
    """Return the facets (12, 3, 3) of a box, turned inside out if ``hollow``."""
    vertices, facets = KINDS["stacked_plates"](12)
    corners = np.asarray(origin) + vertices / np.ptp(vertices, axis=0) * np.asarray(size, float)
    triangles: Floats = corners[facets[:, ::-1] if hollow else facets]
    return triangles


class TestOrientation:
    def search(self, soup: Soup) -> tuple[Mesh, Counts, OrientationResult | None]:
        mesh = mesh_of(soup)
        tree = build_bvh(mesh, 2)
        with counting() as counts:
            found = search_orientations(mesh, tree, Boundary.everything(mesh.facet_count), 0.05, np.empty((0, 3)), 2)
        return mesh, counts, found

    @pytest.mark.parametrize(
        ("make", "n"),
        [(KINDS["stacked_plates"], 1_000), (KINDS["stacked_plates"], 10_000), (one_far, 10_000), (one_far, LARGE)],
    )
    def test_grows_as_n_log_n(self, make: Callable[[int], Soup], n: int) -> None:
        mesh, counts, _ = self.search(make(n))
        items = mesh.facet_count + max(1 << 20, 2 * mesh.facet_count)  # samples are at most that many
        assert 0 < counts.nodes["support"] + counts.pairs["support"] <= bound(items, C_SUPPORT)
        assert counts.nodes["support_bounds"] + counts.pairs["support_bounds"] <= 512 * 3 * 2 * 40_000 * 257
        balls = 8_192 * 64 * (math.log2(mesh.facet_count) + 2)
        assert counts.nodes["empty_balls"] + counts.pairs["empty_balls"] <= balls
        assert counts.pairs["support_samples"] <= 24 * (items + (1 << 20) * (n // 16_384))

    def test_the_given_pose_is_reported_if_the_search_is_unfinished(self, monkeypatch: pytest.MonkeyPatch) -> None:
        soup = KINDS["stacked_plates"](600)
        mesh, _, complete = self.search(soup)
        assert complete is not None
        assert complete.best is not None
        with counting() as counts:
            down = np.array([[0.0, 0.0, -1.0]])
            search_support(mesh, build_bvh(mesh, 2), Boundary.everything(mesh.facet_count), 0.05, down, 2)
        tests_of_one_pose = counts.nodes["support"] + counts.pairs["support"]
        monkeypatch.setattr(support_scores, "_BUDGET_DIVISOR", 1)
        monkeypatch.setattr(support_scores, "_MAX_TESTS", (tests_of_one_pose, 0))
        _, _, part = self.search(soup)
        assert part is not None
        assert part.best is None
        assert part.as_given.support_volume_mm3 == complete.as_given.support_volume_mm3
        monkeypatch.setattr(support_scores, "_MAX_TESTS", (1, 0))
        assert self.search(soup)[2] is None


class TestReports:
    def test_a_stage_that_ended_at_its_budget_asks_for_a_review(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "plates.stl"
        path.write_bytes(stl_binary(*KINDS["stacked_plates"](240)))
        settings = Settings(layer_height_mm=1.0)
        assert not codes(measure(path, None, settings, 2).analysis)
        monkeypatch.setattr(rays, "_MAX_VISITS", 0)
        monkeypatch.setattr(spheres, "_MAX_TESTS", 0)
        monkeypatch.setattr(support_scores, "_MAX_TESTS", (0, 0))
        monkeypatch.setattr(slices, "_MAX_SEGMENTS", (0, 0))
        monkeypatch.setattr(finishing, "_MAX_TESTS", (0, 0))
        partials: list[PartialAnalysis] = []
        found = measure(path, None, settings, 2, on_progress=partials.append).analysis
        assert codes(found) == {
            f"{stage}_not_measured" for stage in ("thickness", "orientation", "slices", "finishing")
        }
        assert found.thickness.sphere.p50_mm is None
        assert found.thickness.thin_area_fraction["0.8"] is None
        assert found.orientation.best.down is None
        assert found.slices.layers is None
        assert set(found.finishing.reach_area_fraction.values()) == {None}
        assert partials[-1].complete

    def test_the_samples_stay_within_every_budget(self, tmp_path: Path) -> None:
        for name in ("signet", "pendant"):
            path = SAMPLES[name]().write_stl(tmp_path)
            assert not codes(measure(path, None, Settings(), 2).analysis)

    @pytest.mark.parametrize("stage", ["thickness", "orientation", "slices", "finishing"])
    def test_the_verdict_is_a_review(self, stage: str) -> None:
        analysis = make_analysis()
        found = find_checks(
            analysis.integrity,
            analysis.geometry,
            analysis.thickness,
            analysis.slices,
            {},
            {},
            estimated=False,
            not_measured=[stage],
        )
        (check,) = (check for check in found if check.code == f"{stage}_not_measured")
        (before,), (after,) = (
            quote(each, load_price_book(), "casting", ["gold-18k-yellow"]).options
            for each in (analysis, replace(analysis, checks=(check,)))
        )
        assert (before.verdict, after.verdict) == ("manufacturable", "review")
        assert check.message in [reason.message for reason in after.reasons]


def codes(analysis: Analysis) -> set[str]:
    """Return the checks of budgets."""
    return {check.code for check in analysis.checks if check.code.endswith("_not_measured")}
