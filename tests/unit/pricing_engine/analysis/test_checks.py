"""Checks (``analysis/checks.py``) of a measured model: codes, severities, messages, locations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.checks import Shape, find_checks
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.schema import Analysis, Check, Geometry
from pricing_engine.analysis.units import doubt_unit
from pricing_engine.pricing.book import load_price_book
from tests.naive.analyses import make_analysis, quote
from tests.support.meshes import box, concatenated, cube, rotated, rotation, write_off

BOOK = load_price_book()


def analysis_of(folder: Path, *parts: trimesh.Trimesh, unit: str | None = None) -> Analysis:
    """Measure the parts as one model with float64 positions."""
    path = write_off(folder, *parts)
    return measure(path, unit, Settings(layer_height_mm=0.2), 2).analysis


def checks_of(analysis: Analysis) -> dict[str, Check]:
    return {check.code: check for check in analysis.checks}


class TestUnit:
    @pytest.mark.parametrize(
        ("longest", "unit", "likely"),
        [
            (2.0, "mm", "cm (20 mm"),  # a ring in cm
            (1.496, "mm", "inches (38 mm"),  # a pendant in inches
            (965.2, "in", "mm (38 mm"),  # a pendant of 38 mm, its numbers read as inches
            (0.02, "mm", "metres (20 mm"),
            (20_000.0, "m", "mm (20 mm"),  # a GLB, which is in metres, with numbers in mm
            (20_000.0, "mm", "micrometres (20 mm"),
            (0.02, "um", "mm (20 mm"),
            (6096.0, "ft", "mm (20 mm"),
        ],
    )
    def test_the_likely_unit_is_named_first(self, longest: float, unit: str, likely: str) -> None:
        doubt = doubt_unit(longest, unit)
        assert doubt is not None
        assert f"its unit is probably {likely} across)" in doubt[0]

    def test_a_size_that_no_unit_explains_is_doubted(self) -> None:
        doubt = doubt_unit(1e9, "mm")
        assert doubt is not None
        assert doubt[0].endswith("check its unit")

    @pytest.mark.parametrize("longest", [3.0, 20.0, 500.0, 0.0])
    def test_common_sizes_are_not_doubted(self, longest: float) -> None:
        assert doubt_unit(longest, "mm") is None

    def test_inspect_and_quote_agree(self, tmp_path: Path) -> None:
        for size, unit, doubted in ((2.0, None, True), (2.9, None, True), (3.1, None, False), (30.0, "in", True)):
            analysis = analysis_of(tmp_path, cube(0, size), unit=unit)
            assert ("unit_suspect" in checks_of(analysis)) == doubted
            option = quote(analysis, BOOK, "casting", ["silver-925"]).options[0]
            assert ("unit_suspect" in {reason.code for reason in option.reasons}) == doubted

    def test_distant_pieces_are_judged_by_their_own_size(self, tmp_path: Path) -> None:
        far = analysis_of(tmp_path, cube(0, 10), box((800, 0, 0), (810, 10, 10)))
        assert "unit_suspect" not in checks_of(far)


class TestShells:
    def test_reversed_shells_are_reported(self, tmp_path: Path) -> None:
        check = checks_of(analysis_of(tmp_path, cube(0, 10, True)))["inside_out"]
        assert (check.severity, check.measured, len(check.where_mm)) == ("info", 1.0, 1)
        analysis = analysis_of(tmp_path, cube(0, 10), cube(5, 15, True))
        check = checks_of(analysis)["inside_out"]
        assert (check.severity, len(check.where_mm)) == ("warning", 1)
        assert analysis.geometry.volume_mm3 == pytest.approx(1875)
        assert quote(analysis, BOOK).options[0].verdict == "review"

    def test_cavity_or_solid_reports_both_volumes(self, tmp_path: Path) -> None:
        check = checks_of(analysis_of(tmp_path, cube(0, 10), cube(2, 8)))["cavity_or_solid"]
        assert "1000.00 mm3 if solid, 784.00 mm3 if a cavity" in check.message
        assert check.severity == "warning"
        assert check.measured == pytest.approx(216)
        assert all(2 <= value <= 8 for place in check.where_mm for value in place)
        in_a_cavity = analysis_of(tmp_path, cube(0, 10), cube(2, 8, True), cube(4, 6, True))
        assert "792.00 mm3 if solid, 784.00 mm3 if a cavity" in checks_of(in_a_cavity)["cavity_or_solid"].message
        beside = analysis_of(tmp_path, cube(0, 10), cube(2, 8), box((9, 9, 9), (20, 20, 20)))
        assert "2330.00 mm3 if solid, 2114.00 mm3 if a cavity" in checks_of(beside)["cavity_or_solid"].message

    def test_cavities_and_crumbs_are_not_reported(self, tmp_path: Path) -> None:
        assert "cavity_or_solid" not in checks_of(analysis_of(tmp_path, cube(0, 10), cube(2, 8, True)))
        assert "cavity_or_solid" not in checks_of(analysis_of(tmp_path, cube(0, 10), cube(5, 5.1)))

    def test_separate_pieces_are_counted_and_placed(self, tmp_path: Path) -> None:
        analysis = analysis_of(tmp_path, cube(0, 10), box((40, 0, 0), (48, 8, 8)), cube(5, 12), cube(1, 2, True))
        check = checks_of(analysis)["separate_pieces"]
        assert (check.severity, check.measured) == ("info", 2.0)
        assert "priced together" in check.message
        first, second = check.where_mm
        assert max(first) <= 12
        assert 40 <= second[0] <= 48
        reasons = {reason.code: reason.severity for reason in quote(analysis, BOOK).options[0].reasons}
        assert reasons["separate_pieces"] == "info"
        assert "separate_pieces" not in checks_of(analysis_of(tmp_path, cube(0, 10), box((10, 2, 2), (20, 8, 8))))


class TestPlaces:
    def test_every_defect_has_its_place(self, tmp_path: Path) -> None:
        solid = trimesh.creation.icosphere(2, 10.0)
        faces = np.vstack([solid.faces[7:], solid.faces[50:52], [[0, 0, 5]], solid.faces[90:91, ::-1]])
        faces = np.vstack([faces, [[3, 4, 120]]])  # a fin
        found = checks_of(analysis_of(tmp_path, trimesh.Trimesh(solid.vertices, faces, process=False)))
        for code in ("open_edges", "non_manifold_edges", "degenerate_facets", "duplicate_facets", "volume_estimated",
                     "self_intersections", "repaired"):  # fmt: skip
            assert found[code].where_mm, code
            assert np.abs(found[code].where_mm).max() <= 10 + 1e-9

    def test_open_edges_are_placed_on_the_rim(self, tmp_path: Path) -> None:
        solid = cube(0, 10)
        rim = solid.triangles[3]
        found = checks_of(analysis_of(tmp_path, trimesh.Trimesh(solid.vertices, np.delete(solid.faces, 3, axis=0))))
        middles = (rim + rim[[1, 2, 0]]) / 2
        assert np.allclose(sorted(found["open_edges"].where_mm), sorted(map(tuple, middles)))

    def test_facets_that_disagree_are_placed(self, tmp_path: Path) -> None:
        solid = trimesh.creation.icosphere(2, 10.0)
        solid.faces[17] = solid.faces[17][::-1]
        found = checks_of(analysis_of(tmp_path, solid))
        assert np.allclose(found["winding_inconsistent"].where_mm, [solid.triangles_center[17]])

    def test_trapped_space_is_placed_on_its_wall(self, tmp_path: Path) -> None:
        parts = [cube(0, 20), cube(2, 5, True), box((10, 10, 10), (16, 16, 16), True)]
        check = checks_of(analysis_of(tmp_path, *parts))["trapped_volume"]
        large, small = check.where_mm
        assert all(10 - 1e-9 <= value <= 16 + 1e-9 for value in large)
        assert all(2 - 1e-9 <= value <= 5 + 1e-9 for value in small)


class TestZeroIsNotReported:
    def test_slivers_trap_and_overlap_nothing(self) -> None:
        analysis = make_analysis(trapped=4.7e-3)
        for volume, codes in ((537.0, {"overlapping_shells"}), (537.28, set())):
            found = find_checks(
                analysis.integrity,
                _with_volume(analysis, volume),
                analysis.thickness,
                analysis.slices,
                {},
                {},
                estimated=False,
            )
            assert {check.code for check in found} - {"thin_walls"} == codes

    def test_boxes_that_touch_trap_nothing_in_any_position(self, tmp_path: Path) -> None:
        both = rotated(concatenated([cube(0, 10), box((10, 2, 2), (20, 8, 8))]), rotation(1.3, (0.3, 0.6, 0.1)))
        assert "trapped_volume" not in checks_of(analysis_of(tmp_path, both))


def _with_volume(analysis: Analysis, volume: float) -> Geometry:
    return replace(analysis.geometry, volume_mm3=volume)


class TestClosed:
    def test_a_closed_model_may_have_edges_of_four_facets(self, tmp_path: Path) -> None:
        analysis = analysis_of(tmp_path, cube(0, 10), box((10, 10, 0), (20, 20, 10)))
        found = checks_of(analysis)
        assert not analysis.integrity.watertight
        assert analysis.geometry.volume_mm3 == pytest.approx(2000)
        assert "volume_estimated" not in found
        assert len(found["non_manifold_edges"].where_mm) == 1

    @pytest.mark.parametrize(
        ("edges", "odd", "words"),
        [
            ({"open_edges": 2}, 0, "the model is not closed:"),
            ({"non_manifold": 3}, 3, "3 edges join an odd number of facets, so the model is not closed"),
            ({"non_manifold": 3}, 0, "the model is closed, but its facets disagree"),
        ],
    )
    def test_an_estimated_volume_has_its_reason(self, edges: dict[str, int], odd: int, words: str) -> None:
        broken = make_analysis(**edges)  # type: ignore[arg-type]
        found = find_checks(
            broken.integrity, broken.geometry, broken.thickness, broken.slices, {}, {}, True, shape=Shape(odd_edges=odd)
        )
        (check,) = (check for check in found if check.code == "volume_estimated")
        assert words in check.message
