"""Powder bed (``processes/powder_bed.py``): the published tariff, packing, machine time and space."""

from __future__ import annotations

from decimal import Decimal

from pricing_engine.pricing.book import load_price_book
from pricing_engine.processes.part import Extras
from tests.naive.analyses import make_analysis, quote

BOOK = load_price_book()
BLOCK = make_analysis(volume=210_000.0, area=22_000.0, box=(70.0, 60.0, 50.0))


def test_five_pieces_have_the_published_price() -> None:
    option = quote(BLOCK, BOOK, "powder-bed", ["pa12"], quantities=[5]).options[0]
    assert (str(option.unit_price), str(option.total)) == ("53.80", "269.00")


def test_fifty_pieces_with_a_partner_discount_have_the_published_price() -> None:
    extras = Extras(partner="example-partner")
    option = quote(BLOCK, BOOK, "powder-bed", ["pa12"], quantities=[50], extras=extras).options[0]
    assert (str(option.unit_price), str(option.total)) == ("35.46", "1773.00")
    discount = option.lines[-1]
    assert (discount.code, str(discount.quantity), str(discount.amount)) == ("discount", "0.100", "-197.00")


def test_an_openwork_piece_is_charged_for_its_space() -> None:
    lattice = make_analysis(volume=2_000.0, area=22_000.0, box=(70.0, 60.0, 50.0))
    option = quote(lattice, BOOK, "powder-bed", ["pa12"]).options[0]
    volume = next(line for line in option.lines if line.code == "volume")
    assert volume.quantity == Decimal("30.689")  # 12 % of 74 x 64 x 54 mm


def test_metal_pays_for_recoating_and_supports() -> None:
    codes = [line.code for line in quote(BLOCK, BOOK, "powder-bed", ["alsi10mg"]).options[0].lines]
    assert codes == ["setup", "volume", "supports", "recoating"]


def test_a_part_larger_than_the_build_box_is_rejected_and_a_long_one_is_laid_down() -> None:
    large = quote(make_analysis(box=(400.0, 10.0, 10.0)), BOOK, "powder-bed", ["pa12"]).options[0]
    assert "part_too_large" in {reason.code for reason in large.reasons}
    flat = quote(make_analysis(box=(375.0, 375.0, 10.0)), BOOK, "powder-bed", ["pa12"]).options[0]
    assert flat.verdict == "manufacturable"
