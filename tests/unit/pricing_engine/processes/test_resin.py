"""Resin (``processes/resin.py``): print time, the platform, and a piece's share of both."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from pricing_engine.pricing.book import load_price_book
from pricing_engine.processes.money import exact
from pricing_engine.processes.part import part_of
from pricing_engine.processes.printing import grid_capacity, resin_print_seconds, resin_run, shared_runs
from tests.naive.analyses import make_analysis, quote

BOOK = load_price_book()
RESINS = BOOK.tables.resin.materials


def naive_seconds(layers: int, layer_height: float, exposure: float, initial: float) -> float:
    total = 0.0
    for layer in range(layers):
        fade = min(max(layer - 2, 0), 11) / 11
        total += initial + (exposure - initial) * fade + 5 + 5 * layer_height
    return total


@pytest.mark.parametrize(("material", "hours"), [("resin-standard", "1.63"), ("resin-detail", "2.88")])
def test_print_times_are_the_published_ones(material: str, hours: str) -> None:
    """25 mm, 35 s initial exposure: at 50 micrometres and 6 s, at 25 micrometres and 5 s."""
    assert f"{resin_print_seconds(Decimal(25), RESINS[material]) / 3600:.2f}" == hours


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 8, 12, 13, 14, 500])
def test_print_time_is_the_sum_over_layers(layers: int) -> None:
    seconds = resin_print_seconds(layers * Decimal("0.05"), RESINS["resin-standard"])
    assert float(seconds) == pytest.approx(naive_seconds(layers, 0.05, 6.0, 35.0), rel=1e-12)


def test_a_started_layer_is_printed() -> None:
    resin = RESINS["resin-standard"]
    assert resin_print_seconds(Decimal("1.01"), resin) == resin_print_seconds(Decimal("1.05"), resin)


def test_platform_holds_whole_pieces_in_rows() -> None:
    platform = (Decimal(192), Decimal(120))
    assert grid_capacity(platform, (Decimal(20), Decimal(22)), Decimal(3)) == 35  # 7 rows of 5; turned, 8 of 4
    assert grid_capacity(platform, (Decimal(120), Decimal(192)), Decimal(3)) == 1
    assert grid_capacity(platform, (Decimal(121), Decimal(192)), Decimal(3)) == 0


def test_an_order_pays_for_its_share_of_runs_and_never_less_than_the_least() -> None:
    share = Decimal("0.25")
    assert [shared_runs(n, 10, share) for n in (1, 2, 3, 10, 11)] == [share, share, *map(Decimal, ("0.3", "1", "1.1"))]


def test_pieces_share_the_platform_so_machine_time_a_piece_falls() -> None:
    options = quote(make_analysis(), BOOK, "resin", ["resin-standard"], quantities=[1, 35, 350]).options
    hours = [next(line.quantity for line in option.lines if line.code == "machine") for option in options]
    assert hours[2] == pytest.approx(10 * hours[1], abs=Decimal("0.01"))
    assert hours[0] * 35 > hours[1]


def test_supports_follow_from_the_orientation() -> None:
    few, many = (quote(make_analysis(support=s), BOOK, "resin", ["resin-standard"]) for s in (10.0, 4010.0))
    resin = [next(line for line in q.options[0].lines if line.code == "resin") for q in (few, many)]
    # 4000 mm3 more under overhangs, 12 % of it supports, 10 % lost: 0.528 cm3.
    assert resin[1].quantity - resin[0].quantity == Decimal("0.528")


def test_a_part_that_fits_only_as_given_is_printed_as_given() -> None:
    analysis = make_analysis(box=(100.0, 180.0, 30.0))
    upright = replace(analysis.orientation.best, down=(0.0, -1.0, 0.0), height_mm=900.0)
    turned = replace(analysis, orientation=replace(analysis.orientation, best=upright))
    with exact():
        part = part_of(turned)
        assert part is not None
        assert resin_run(part, BOOK.tables.resin.printer, RESINS["resin-standard"]).capacity == 1


def test_a_slanted_placement_never_takes_less_space_than_the_part() -> None:
    analysis = make_analysis(box=(10.0, 20.0, 40.0))
    slanted = replace(analysis.orientation.best, down=(0.6, 0.0, -0.8), height_mm=30.0)
    with exact():
        part = part_of(replace(analysis, orientation=replace(analysis.orientation, best=slanted)))
        assert part is not None
        sides = sorted(part.placements[0].footprint_mm)
    assert sides == [Decimal(20), Decimal(32)]  # across: 20; along: 0.8 x 10 + 0.6 x 40


def test_a_part_larger_than_the_machine_is_rejected() -> None:
    option = quote(make_analysis(box=(500.0, 500.0, 500.0)), BOOK, "resin", ["resin-standard"]).options[0]
    assert option.verdict == "rejected"
    assert "part_too_large" in {reason.code for reason in option.reasons}


def test_trapped_resin_is_charged_and_reviewed() -> None:
    option = quote(make_analysis(trapped=1000.0), BOOK, "resin", ["resin-standard"]).options[0]
    plain = quote(make_analysis(), BOOK, "resin", ["resin-standard"]).options[0]
    assert option.verdict == "review"
    assert option.lines[2].quantity - plain.lines[2].quantity == Decimal("1.100")
