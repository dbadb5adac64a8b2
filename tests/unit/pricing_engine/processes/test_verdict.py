"""Verdict (``processes/verdict.py``): which facts of a model lead to review or rejection, and why."""

from __future__ import annotations

import itertools

import pytest

from pricing_engine.analysis.schema import Analysis, AnalysisFormatError, Check
from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.quote import Option
from tests.naive.analyses import make_analysis, quote

BOOK = load_price_book()


def judge(analysis: Analysis, process: str = "casting", material: str = "gold-18k-yellow") -> Option:
    return quote(analysis, BOOK, process, [material]).options[0]


def codes(option: Option, severity: str) -> list[str]:
    return [reason.code for reason in option.reasons if reason.severity == severity]


def test_a_good_part_has_no_reasons() -> None:
    option = judge(make_analysis())
    assert (option.verdict, option.reasons) == ("manufacturable", ())


@pytest.mark.parametrize(
    ("analysis", "code"),
    [
        (make_analysis(open_edges=3), "open_edges"),
        (make_analysis(consistent=False), "winding_inconsistent"),
        (make_analysis(thin=0.2), "thin_walls"),
        (make_analysis(trapped=40.0), "trapped_volume"),
        (make_analysis(checks=(Check("unit_suspect", "warning", "probably cm"),)), "unit_suspect"),
        (make_analysis(checks=(Check("inside_out", "warning", "cut away?"),)), "inside_out"),
        (make_analysis(checks=(Check("cavity_or_solid", "warning", "solid or cavity?"),)), "cavity_or_solid"),
        (make_analysis(p50=None), "thickness_unknown"),
        (make_analysis(checks=(Check("strange", "error", "something strange"),)), "strange"),
        (make_analysis(checks=(Check("volume_estimated", "warning", "an estimate"),)), "volume_estimated"),
        (make_analysis(checks=(Check("self_intersections_unknown", "warning", "?"),)), "self_intersections_unknown"),
        (make_analysis(checks=(Check("inside_out_unknown", "warning", "not decided"),)), "inside_out_unknown"),
    ],
)
def test_what_a_person_must_decide_is_reviewed(analysis: Analysis, code: str) -> None:
    option = judge(analysis)
    assert option.verdict == "review"
    assert codes(option, "warning") == [code]
    assert option.total > 0


@pytest.mark.parametrize(
    ("analysis", "code"),
    [
        (make_analysis(intersections=12), "self_intersections"),
        (make_analysis(non_manifold=4), "non_manifold_edges"),
        (make_analysis(trapped=None), "trapped_volume_unknown"),
        (make_analysis(checks=(Check("inside_out", "info", "it was turned"),)), "inside_out"),
        (make_analysis(checks=(Check("separate_pieces", "info", "two pieces"),)), "separate_pieces"),
    ],
)
def test_findings_that_do_not_change_the_part_are_info(analysis: Analysis, code: str) -> None:
    option = judge(analysis)
    assert option.verdict == "manufacturable"
    assert codes(option, "info") == [code]


@pytest.mark.parametrize(
    ("volume", "code"),
    [(0.0, "no_volume"), (-5.0, "no_volume"), (None, "volume_unknown"), (float("nan"), "volume_unknown")],
)
@pytest.mark.parametrize("choice", ["casting brass", "resin resin-tough", "powder-bed pa12"])
def test_without_volume_nothing_is_priced(volume: float | None, code: str, choice: str) -> None:
    process, material = choice.split()
    option = judge(make_analysis(volume=volume, area=1.0, p50=None, open_edges=3), process, material)
    assert option.verdict == "rejected"
    assert codes(option, "error") == [code]
    assert (str(option.total), option.lines, option.finished_mass_g) == ("0.00", (), None)


def test_walls_too_thin_to_manufacture_are_rejected() -> None:
    option = judge(make_analysis(p50=0.3, thin=0.9))
    assert (option.verdict, codes(option, "error")) == ("rejected", ["walls_too_thin"])


def test_reasons_are_sorted_worst_first_and_do_not_depend_on_the_order_of_checks() -> None:
    checks = [Check("b", "error", "b"), Check("a", "warning", "a"), Check("c", "error", "c"), Check("d", "info", "d")]
    found = {judge(make_analysis(checks=order, open_edges=1)).reasons for order in itertools.permutations(checks)}
    assert len(found) == 1
    assert [reason.code for reason in found.pop()] == ["a", "b", "c", "open_edges"]


def test_an_analysis_survives_its_own_json() -> None:
    analysis = make_analysis(checks=(Check("a", "info", "a", 1.0 / 3.0, None, ((0.1, 0.2, 0.3),)),))
    assert Analysis.from_dict(analysis.to_dict()) == analysis
    assert list(analysis.to_dict())[:3] == ["schema", "engine_version", "analysis_id"]


@pytest.mark.parametrize("change", [{"geometry": None}, {"extra": 1}, {"schema": "x"}, {"model": {"facets": 1}}])
def test_a_broken_analysis_is_refused(change: dict[str, object]) -> None:
    tree = {**make_analysis().to_dict(), **change}
    with pytest.raises(AnalysisFormatError):
        Analysis.from_dict(tree)
