"""Casting (``processes/casting.py``): masses, the tree, metal charged, finishing and extras."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.quote import Option
from pricing_engine.processes.casting import cast_masses, tree_capacity
from pricing_engine.processes.money import exact
from pricing_engine.processes.part import Extras
from tests.naive.analyses import make_analysis, quote

BOOK = load_price_book()
TREE = BOOK.tables.casting.tree


def price(material: str = "gold-18k-yellow", finish: str | None = None, quantity: int = 1, **extras: object) -> Option:
    analysis = make_analysis()
    return quote(analysis, BOOK, "casting", [material], finish, [quantity], Extras(**extras)).options[0]  # type: ignore[arg-type]


def amounts(option: Option) -> dict[str, Decimal]:
    return {line.code: line.amount for line in option.lines}


def test_published_ring_weighs_as_modelled_cast_and_finished() -> None:
    masses = cast_masses(Decimal("537.29"), Decimal("11.0364"), Decimal("0.99110"), Decimal("0.83495"))
    assert [f"{mass:.3f}" for mass in masses] == ["5.930", "5.877", "4.907"]


@pytest.mark.parametrize(
    ("material", "density"),
    [
        ("gold-18k-yellow", "15.53"),
        ("gold-14k-yellow", "13.05"),
        ("gold-22k-yellow", "17.86"),
        ("silver-925", "10.36"),
        ("platinum-950", "20.70"),
        ("palladium-950", "12.16"),
        ("brass", "8.75"),
    ],
)
def test_alloys_have_their_densities(material: str, density: str) -> None:
    assert BOOK.tables.casting.materials[material].density_g_cm3 == Decimal(density)


def test_every_promised_alloy_is_offered() -> None:
    assert set(BOOK.tables.casting.materials) == {
        "gold-9k-yellow", "gold-14k-yellow", "gold-18k-yellow", "gold-18k-white", "gold-22k-yellow",
        "silver-925", "platinum-950", "palladium-950", "brass", "bronze",
    }  # fmt: skip


@pytest.mark.parametrize("quantity", [1, 7, 500])
@pytest.mark.parametrize("material", ["gold-18k-yellow", "brass"])
def test_metal_charged_is_the_piece_the_melt_loss_and_what_does_not_return(material: str, quantity: int) -> None:
    option = price(material, quantity=quantity)
    alloy = BOOK.tables.casting.materials[material]
    flasks = max(Fraction(TREE.least_share), Fraction(quantity, capacity(material)))
    gating_mm3 = quantity * Fraction(TREE.sprue_volume_mm3) + flasks * Fraction(TREE.trunk_volume_mm3)
    cast_mm3 = quantity * Fraction("537.29") * Fraction(alloy.cast_volume_fraction)
    loss, returned = Fraction(alloy.casting_loss), Fraction(alloy.sprue_return)
    charged_mm3 = cast_mm3 + loss * (cast_mm3 + gating_mm3) + (1 - returned) * gating_mm3
    grams = charged_mm3 * Fraction(alloy.density_g_cm3) / 1000
    assert option.metal_charged_g is not None
    assert float(option.metal_charged_g) == pytest.approx(float(grams / quantity), abs=0.0006)
    metal = next(line for line in option.lines if line.code == "metal")
    fine = Fraction(alloy.fineness) if alloy.fineness is not None else 1
    assert float(metal.quantity) == pytest.approx(float(grams * fine), abs=0.0006)


def capacity(material: str) -> int:
    """Return the pieces per tree of the 20 x 22 x 6 mm part, counted by hand: by space, then by melt."""
    alloy = BOOK.tables.casting.materials[material]
    # Standing 20 out of the trunk (room is 30), 22 up the trunk in 4 rings, 6 around: 2 pi 10 / 9 = 6 a ring -> 24;
    # 22 out, 20 up in 4 rings -> 24; 6 up in 12 rings, 20 or 22 around: 62.8 / 23 = 2 -> 24.
    by_space = 24
    grams = float(alloy.density_g_cm3) / 1000
    by_melt = (float(alloy.melt_limit_g) - 6500 * grams) // ((537.29 * 0.9911 + 30) * grams)
    return int(min(by_space, by_melt))


def test_a_tree_holds_what_was_counted_by_hand() -> None:
    with exact():
        assert tree_capacity((Decimal(20), Decimal(22), Decimal(6)), TREE) == 24
        assert tree_capacity((Decimal(200), Decimal(200), Decimal(200)), TREE) == 0


def test_finishing_splits_the_area_by_what_the_tool_reaches() -> None:
    option = price(finish="polished")
    lines = {line.code: line for line in option.lines}
    assert lines["finish_machine"].quantity == Decimal("6.300")
    assert lines["finish_hand"].quantity == Decimal("2.700")
    mirror = {line.code: line for line in price(finish="mirror").lines}
    assert mirror["finish_machine"].quantity == Decimal("8.100")


def test_a_finish_removes_metal_from_the_entire_surface() -> None:
    as_cast, polished = price(finish="as-cast"), price(finish="polished")
    assert as_cast.finished_mass_g is not None
    assert polished.finished_mass_g is not None
    assert float(as_cast.finished_mass_g - polished.finished_mass_g) == pytest.approx(0.9 * 0.02 * 15.53, abs=0.0011)
    assert as_cast.metal_charged_g == polished.metal_charged_g


def test_extras_have_a_line_each_and_a_set_up_once() -> None:
    option = price(quantity=10, engraving_letters=5, stones={"prong": 1, "pave": 12}, plating="rhodium")
    found = amounts(option)
    assert found["engraving"] == Decimal("60.00")
    assert found["engraving_setup"] == Decimal("12.00")
    assert found["plating"] == Decimal("171.00")
    assert found["plating_setup"] == Decimal("8.00")
    stones = [line.amount for line in option.lines if line.code == "stone_setting"]
    assert stones == [Decimal("336.00"), Decimal("65.00")]


def test_a_piece_too_large_for_the_flask_is_rejected_but_priced() -> None:
    analysis = make_analysis(volume=50_000.0, area=9000.0, box=(100.0, 60.0, 60.0))
    option = quote(analysis, BOOK, "casting", ["gold-18k-yellow"]).options[0]
    assert option.verdict == "rejected"
    assert {"flask_too_small", "melt_too_heavy"} <= {reason.code for reason in option.reasons}
    assert option.total > 0
