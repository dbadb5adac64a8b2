"""Price interval (``pricing/interval.py``): nested, finite, ordered and exact at the end, for every process."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.analysis.executor import ThreadExecutor
from pricing_engine.analysis.measure import measure
from pricing_engine.analysis.progress import PRICED_STAGES, PartialAnalysis, partial_of
from pricing_engine.analysis.schema import Analysis, BestOrientation, Finishing, OrientationScore
from pricing_engine.analysis.schema import Orientation as Poses
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.stages import Stopwatch, run_stages
from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.orientation.quick_scan import quick_scan
from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.samples import SAMPLES, box, lathe, sphere
from pricing_engine.mesh.weld import canonical_indexed, canonical_mesh
from pricing_engine.pricing.book import PROCESSES, load_price_book
from pricing_engine.pricing.interval import Interval, Key, price_interval, price_intervals
from pricing_engine.pricing.quote import Request, quote
from pricing_engine.processes.errors import BadQuantity, PricingError, UnknownMaterial, UnknownProcess
from pricing_engine.processes.part import Extras
from tests.naive.analyses import make_analysis

BOOK = load_price_book()
SETTINGS = Settings()
STAGES = ("integrity", "geometry", "thickness", "orientation", "slices", "finishing")
ONE = Request(materials=("gold-18k-yellow",))
FIRST = PartialAnalysis(1000, 537.29, 900.0, 0.0, None, (0.0, 0.0, 0.0), (20.0, 22.0, 6.0), {"1.5": None, "3.0": None})
"""What is known of make_analysis() after loading."""

shares = st.floats(0.0, 1.0)
sides = st.floats(0.5, 400.0)
lengths = st.tuples(sides, sides, sides)
directions = st.sampled_from([(0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.6, 0.0, 0.8), (0.36, 0.48, -0.8)])


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    """Any measures that could be one part's."""
    x, y, z = draw(lengths)
    analysis = make_analysis(
        volume=x * y * z * draw(st.floats(0.001, 1.0)),
        area=draw(st.floats(0.1, 3.0)) * (x * y + y * z + z * x),
        box=(x, y, z),
        trapped=draw(st.sampled_from([None, 0.0, 0.2 * x * y * z])),
    )
    support, extent = x * y * z * draw(shares), draw(st.floats(0.3, 1.2)) * max(x, y, z)
    reach = {"1.5": draw(shares), "3.0": draw(shares | st.none())}
    return replace(
        analysis,
        orientation=Poses(
            512,
            OrientationScore(x * y * z * draw(shares), 1.0, z),
            BestOrientation(draw(directions), support, 1.0, extent),
        ),
        finishing=Finishing(reach),
    )


@st.composite
def first_partials(draw: st.DrawFn, analysis: Analysis) -> PartialAnalysis:
    """Draw a partial analysis of ``analysis`` after loading, accurate or not."""
    geometry = analysis.geometry
    assert geometry.volume_mm3 is not None
    assert geometry.surface_area_mm2 is not None
    assert geometry.bbox_min_mm is not None
    assert geometry.bbox_max_mm is not None
    return PartialAnalysis(
        facets=draw(st.integers(4, 10**6)),
        signed_volume_mm3=geometry.volume_mm3 * draw(st.sampled_from([1.0, 1.0, 1.7, -1.0, 0.0])),
        area_mm2=geometry.surface_area_mm2 * draw(st.floats(1.0, 1.5)),
        open_area_mm2=geometry.surface_area_mm2 * draw(st.sampled_from([0.0, 1e-16, 0.01, 0.5])),
        clear_down=draw(st.sampled_from([None, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])),
        bbox_min_mm=geometry.bbox_min_mm,
        bbox_max_mm=geometry.bbox_max_mm,
        reach=dict.fromkeys(analysis.finishing.reach_area_fraction),
    )


def after_stage(partial: PartialAnalysis, stage: str, analysis: Analysis, clean: bool = False) -> PartialAnalysis:
    """Return ``partial`` after a stage with the results of ``analysis``."""
    best, geometry = analysis.orientation.best, analysis.geometry
    found: dict[str, dict[str, object]] = {
        "integrity": {"clean": clean},
        "geometry": {
            "volume_mm3": geometry.volume_mm3,
            "surface_area_mm2": geometry.surface_area_mm2,
            "hull_volume_mm3": geometry.hull_volume_mm3,
        },
        "orientation": {
            "best_down": best.down,
            "best_height_mm": best.height_mm,
            "best_support_mm3": best.support_volume_mm3,
            "given_support_mm3": analysis.orientation.as_given.support_volume_mm3,
        },
        "slices": {"trapped_mm3": analysis.slices.trapped_volume_mm3},
        "finishing": {"reach": analysis.finishing.reach_area_fraction},
    }
    return replace(partial, finished=partial.finished | {stage}, **found.get(stage, {}))  # type: ignore[arg-type]


def complete(analysis: Analysis, partial: PartialAnalysis) -> PartialAnalysis:
    for stage in PRICED_STAGES:
        partial = after_stage(partial, stage, analysis)
    return partial


def totals(analysis: Analysis, request: Request) -> dict[Key, Decimal]:
    return {(option.material, option.quantity): option.total for option in quote(analysis, BOOK, request).options}


def soup(*shells: tuple[Floats, Ints]) -> Mesh:
    return canonical_mesh(np.concatenate([vertices[facets] for vertices, facets in shells]), 1)


def stages_of(mesh: Mesh) -> Iterator[PartialAnalysis]:
    """Yield the partial analysis of a real mesh after each stage."""
    partial = partial_of(mesh, mass_properties(mesh, 1), SETTINGS, 1)
    yield partial
    found = run_stages(mesh, SETTINGS, ThreadExecutor(1), Stopwatch())
    partial = partial.after_integrity(found.repaired)
    yield partial
    partial = partial.after_geometry(found.solid)
    yield partial
    partial = partial.after_thickness()
    yield partial
    partial = partial.after_orientation(found.poses)
    yield partial
    partial = partial.after_slices(found.layers)
    yield partial
    yield partial.after_finishing(found.reach)


@given(st.data(), st.sampled_from(sorted(PROCESSES)), st.permutations(STAGES))
@settings(max_examples=25, deadline=None)
def test_nested_ordered_finite_in_any_order_of_stages(data: st.DataObject, process: str, order: list[str]) -> None:
    analysis = data.draw(analyses())
    partial = data.draw(first_partials(analysis))
    request = Request(process, quantities=(1, 7, 5000))
    clean, before = data.draw(st.booleans()), None
    for stage in ("load", *order):
        partial = partial if stage == "load" else after_stage(partial, stage, analysis, clean)
        now = price_intervals(partial, BOOK, request, before)
        assert now is not None
        assert set(now) == set(totals(analysis, request))
        for key, interval in now.items():
            assert interval.low.is_finite()
            assert interval.high.is_finite()
            assert 0 < interval.low <= interval.high
            if before is not None:
                assert before[key].low <= interval.low
                assert interval.high <= before[key].high
        before = now
    assert partial.complete
    final = totals(analysis, request)
    assert before is not None
    for interval in before.values():
        assert interval.low == interval.high
    alone = price_intervals(partial, BOOK, request, None)
    assert alone == {key: Interval(total, total) for key, total in final.items()}


@given(analyses(), st.data(), st.sampled_from(sorted(PROCESSES)))
@settings(max_examples=25, deadline=None)
def test_open_reach_runs_from_all_by_machine_to_the_price_or_beyond(
    analysis: Analysis, data: st.DataObject, process: str
) -> None:
    all_reached = replace(analysis, finishing=Finishing({"1.5": 1.0, "3.0": 1.0}))
    none_reached = replace(analysis, finishing=Finishing({"1.5": 0.0, "3.0": 0.0}))
    partial = replace(data.draw(first_partials(analysis)), reach={"1.5": None, "3.0": None})
    for stage in ("integrity", "geometry", "orientation", "slices"):
        partial = after_stage(partial, stage, analysis)
    request = Request(process, quantities=(1, 40))
    found = price_intervals(partial, BOOK, request, None)
    assert found is not None
    assert {key: interval.low for key, interval in found.items()} == totals(all_reached, request)
    for key, total in totals(none_reached, request).items():
        assert found[key].high <= total


@given(analyses(), st.data(), st.sampled_from(sorted(PROCESSES)), st.floats(1.0, 3.0))
@settings(max_examples=25, deadline=None)
def test_more_volume_never_costs_less(analysis: Analysis, data: st.DataObject, process: str, times: float) -> None:
    """Whatever else is open, short of the reach, which a thicker part may gain."""
    partial = data.draw(first_partials(analysis))
    for stage in ("finishing", *data.draw(st.sets(st.sampled_from(["orientation", "slices"])))):
        partial = after_stage(partial, stage, analysis)
    partial = after_stage(partial, "geometry", analysis)
    assert partial.volume_mm3 is not None
    heavier = replace(partial, volume_mm3=partial.volume_mm3 * times)
    request = Request(process, quantities=(1, 13))
    less, more = (price_intervals(each, BOOK, request, None) for each in (partial, heavier))
    assert less is not None
    assert more is not None
    for key, interval in less.items():
        assert interval.low <= more[key].low
        assert interval.high <= more[key].high


def test_first_interval_covers_overlaps_in_proportion_to_the_signed_volume() -> None:
    analysis = make_analysis()
    first = price_interval(FIRST, BOOK, Request(materials=("gold-18k-yellow",)), None)
    later = price_interval(after_stage(FIRST, "integrity", analysis, clean=True), BOOK, ONE, first)
    assert first is not None
    assert later is not None
    assert later.low > first.low
    assert later.high <= first.high


def test_a_price_outside_the_first_interval_is_clamped_to_its_nearest_bound() -> None:
    analysis = make_analysis()
    total = totals(analysis, ONE)["gold-18k-yellow", 1]
    for low, high, nearest in ((1, 2, 2), (10**6, 10**6 + 1, 10**6)):
        before = Interval(Decimal(low), Decimal(high))
        now = price_interval(complete(analysis, FIRST), BOOK, ONE, before)
        assert now == Interval(Decimal(nearest), Decimal(nearest))
        assert now.low != total


def test_unit_prices_are_the_quotes() -> None:
    analysis = make_analysis()
    request = Request("resin", quantities=(3, 7), extras=Extras(partner="example-partner"))
    intervals = price_intervals(complete(analysis, FIRST), BOOK, request, None)
    assert intervals is not None
    for option in quote(analysis, BOOK, request).options:
        each = intervals[option.material, option.quantity].per_piece(option.quantity)
        assert each == Interval(option.unit_price, option.unit_price)


def test_width_is_a_share_of_the_middle() -> None:
    assert Interval(Decimal(90), Decimal(110)).width == pytest.approx(0.2)
    assert Interval(Decimal(0), Decimal(0)).width == 0.0


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_intervals_of_samples_start_around_the_price_and_end_on_it(name: str) -> None:
    partials = list(stages_of(soup(*SAMPLES[name]().shells)))
    assert not any(partial.complete for partial in partials[:-1])
    assert partials[-1].complete
    for process in PROCESSES:
        request = Request(process, quantities=(1, 20))
        final = price_intervals(partials[-1], BOOK, request, None)
        assert final is not None
        before = None
        for partial in partials:
            before = price_intervals(pickle.loads(pickle.dumps(partial)), BOOK, request, before)
            assert before is not None
            for key, interval in before.items():
                assert interval.low <= final[key].low == final[key].high <= interval.high, (process, key)
        assert before == final


def test_samples_end_with_the_quote(tmp_path: Path) -> None:
    path = SAMPLES["signet"]().write_stl(tmp_path)
    analysis = measure(path, None, SETTINGS, 1).analysis
    last = list(stages_of(load_model(path, None, 1).mesh))[-1]
    for process in PROCESSES:
        request = Request(process, quantities=(1, 20))
        expected = {key: Interval(total, total) for key, total in totals(analysis, request).items()}
        assert price_intervals(last, BOOK, request, None) == expected


def test_a_hollow_ball_and_a_torn_band_begin_around_the_price() -> None:
    vertices, facets = sphere(np.zeros(3), 5.0)
    torn_vertices, torn_facets = lathe(np.array([[8.5, -2.0], [10.0, -2.0], [10.0, 2.0], [8.5, 2.0]]), 96)
    for mesh in (
        soup(sphere(np.zeros(3), 8.0), (vertices, facets[:, ::-1])),
        soup((torn_vertices, np.delete(torn_facets, [3, 90, 91, 300], axis=0))),
    ):
        first, *_, last = stages_of(mesh)
        interval, price = price_interval(first, BOOK, ONE, None), price_interval(last, BOOK, ONE, None)
        assert interval is not None
        assert price is not None
        assert interval.low <= price.low <= interval.high


def test_models_without_volume_have_no_interval() -> None:
    vertices, facets = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
    sheet = soup((vertices, facets[[0, 6]]))
    assert all(price_interval(partial, BOOK, ONE, None) is None for partial in stages_of(sheet))
    analysis = make_analysis()
    assert price_interval(FIRST, BOOK, ONE, None) is not None
    for volume in (None, 0.0, -5.0, math.nan, 1e-9):  # a tangle, and volumes that round to none
        finished = after_stage(FIRST, "geometry", make_analysis(volume=volume))
        assert price_interval(finished, BOOK, ONE, Interval(Decimal(1), Decimal(9))) is None
        assert price_interval(complete(make_analysis(volume=volume), FIRST), BOOK, ONE, None) is None
    tangle = replace(after_stage(FIRST, "geometry", make_analysis(volume=None)), surface_area_mm2=None)
    assert tangle.complete
    assert not after_stage(FIRST, "geometry", analysis).complete


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_give_no_interval(bad: float) -> None:
    for broken in (
        replace(FIRST, signed_volume_mm3=bad),
        replace(FIRST, area_mm2=bad),
        replace(FIRST, open_area_mm2=bad),
        replace(FIRST, bbox_max_mm=(20.0, bad, 6.0)),
    ):
        assert price_interval(broken, BOOK, ONE, None) is None
    unknown = replace(
        complete(make_analysis(), FIRST), best_height_mm=bad, best_support_mm3=bad, trapped_mm3=bad, reach={"3.0": bad}
    )
    found = price_interval(unknown, BOOK, ONE, None)
    assert found is not None
    assert found.low == found.high


def test_requests_that_the_book_does_not_offer_are_named() -> None:
    for request, error in (
        (Request("carving", ("oak",)), UnknownProcess),
        (Request(materials=("oak",)), UnknownMaterial),
        (Request(materials=("brass",), quantities=(0,)), BadQuantity),
        (Request(), PricingError),
        (Request(materials=("brass", "bronze")), PricingError),
        (Request(materials=("brass",), quantities=(1, 2)), PricingError),
    ):
        with pytest.raises(error):
            price_interval(FIRST, BOOK, request, None)


def naive_scan(mesh: Mesh, rest: float) -> tuple[Floats, Floats]:
    a, b, c = (mesh.vertices[mesh.facets[:, corner]] for corner in range(3))
    vectors = np.cross(b - a, c - a) / 2
    areas = np.linalg.norm(vectors, axis=1)
    overhang = []
    for axis in range(3):
        for sign in (-1, 1):
            off = (mesh.vertices[:, axis] * sign).max() - (mesh.vertices[mesh.facets, axis] * sign).min(axis=1)
            hanging = (vectors[:, axis] * sign > OVERHANG_COSINE * areas) & (off > rest)
            overhang.append(areas[hanging].sum())
    return vectors.sum(axis=0), np.array(overhang).reshape(3, 2)


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_the_quick_scan_agrees_with_its_naive_twin(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    mesh = canonical_indexed(random.normal(size=(50, 3)) * 3 + 5, random.integers(0, 50, (count, 3)), 1)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    found, again = (quick_scan(mesh, low, high, 0.025, OVERHANG_COSINE, threads) for threads in (1, 2))
    vector, overhang = naive_scan(mesh, 0.025)
    assert found.area_vector == pytest.approx(vector, rel=1e-9, abs=1e-9)
    assert found.overhang == pytest.approx(overhang, rel=1e-9, abs=1e-9)
    assert np.array_equal(found.area_vector, again.area_vector)
    assert np.array_equal(found.overhang, again.overhang)


def test_the_quick_scan_finds_holes_and_the_sides_that_need_no_support() -> None:
    plate = box(np.zeros(3), np.array([10.0, 20.0, 3.0]))
    closed = partial_of(soup(plate), mass_properties(soup(plate), 1), SETTINGS, 1)
    assert closed.open_area_mm2 == pytest.approx(0.0, abs=1e-9)
    assert closed.clear_down == (0.0, 0.0, 1.0)
    holed = soup((plate[0], np.delete(plate[1], [0, 6], axis=0)))  # without its end at x = 0, 20 x 3
    assert partial_of(holed, mass_properties(holed, 1), SETTINGS, 1).open_area_mm2 == pytest.approx(60.0)
    inside_out = soup((plate[0], plate[1][:, ::-1]))
    assert partial_of(inside_out, mass_properties(inside_out, 1), SETTINGS, 1).clear_down is None
    ball = soup(sphere(np.zeros(3), 5.0))
    assert partial_of(ball, mass_properties(ball, 1), SETTINGS, 1).clear_down is None
