"""Quote and price book (``pricing/quote.py``, ``pricing/book.py``): exact sums, rounding, replay, bad books."""

from __future__ import annotations

import decimal
import hashlib
import json
import pickle
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.analysis.schema import Analysis
from pricing_engine.pricing.book import PROCESSES, load_price_book, offer, parse_price_book
from pricing_engine.pricing.quote import ROW_COLUMNS, quote_rows
from pricing_engine.processes.errors import (
    BadQuantity,
    PriceBookError,
    PricingError,
    UnknownFinish,
    UnknownMaterial,
    UnknownPartner,
    UnknownPlating,
    UnknownProcess,
    UnknownSetting,
)
from pricing_engine.processes.money import amount, exact, measured, plain
from pricing_engine.processes.part import Extras
from tests.naive.analyses import make_analysis, quote

BOOK = load_price_book()
TEXT = (resources.files("pricing_engine.pricing") / "books" / "default.toml").read_text("utf-8")
sizes = st.floats(0.5, 300.0)
parts = st.builds(
    lambda a, b, c, fill, area: make_analysis(volume=a * b * c * fill, area=area, box=(a, b, c)),
    sizes, sizes, sizes, st.floats(0.001, 1.0), st.floats(0.01, 1e6),
)  # fmt: skip
processes = st.sampled_from(sorted(PROCESSES))


def half_up(value: Fraction) -> Fraction:
    """Round to cents, ties away from zero, in integers."""
    cents = (abs(value) * 100 + Fraction(1, 2)).__floor__()
    return Fraction(cents if value >= 0 else -cents, 100)


@given(st.integers(0, 10**9), st.decimals(-(10**6), 10**6, places=4))
@settings(max_examples=25, deadline=None)
def test_amounts_round_half_up(thousandths: int, rate: Decimal) -> None:
    with exact():
        quantity = Decimal(thousandths) / 1000
        assert Fraction(amount(quantity, rate)) == half_up(Fraction(thousandths, 1000) * Fraction(rate))


def test_ties_round_up_and_noise_in_the_last_bits_does_not_show() -> None:
    with exact():
        assert str(amount(Decimal("0.500"), Decimal("0.01"))) == "0.01"
        assert measured(0.1 + 0.2) == measured(0.3)
        assert (plain(Decimal("0.18")), plain(Decimal("80")), plain(Decimal("0.1234"))) == ("0.18", "80.00", "0.1234")


@given(parts, processes, st.integers(1, 5000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_lines_sum_to_the_total_and_name_their_figure(
    analysis: Analysis, process: str, quantity: int, partner: bool
) -> None:
    extras = Extras(partner="example-partner" if partner else None)
    for option in quote(analysis, BOOK, process, quantities=[quantity], extras=extras).to_dict()["options"]:
        total = sum((Fraction(line["amount"]) for line in option["lines"]), Fraction(0))
        assert total == Fraction(option["total"])
        assert Fraction(option["unit_price"]) == half_up(total / quantity)
        for line in option["lines"]:
            assert Fraction(line["amount"]) == half_up(Fraction(line["quantity"]) * Fraction(line["rate"]))
            assert len(line["quantity"].partition(".")[2]) == 3
            figure = line["quantity"] if line["code"] == "discount" else line["rate"]
            assert Decimal(figure) == BOOK.figure(line["source"])


@given(parts, processes)
@settings(max_examples=15, deadline=None)
def test_a_piece_never_costs_more_in_a_larger_order(analysis: Analysis, process: str) -> None:
    for material in BOOK.process(process).materials:
        options = quote(analysis, BOOK, process, [material], quantities=[1, 2, 5, 10, 25, 100, 1000]).options
        exact_units = [option.total / option.quantity for option in options]
        # Each of the order's lines is rounded once, by at most half a thousandth of its unit and half a cent.
        slack = [
            sum((line.rate / 2000 + Decimal("0.005") for line in o.lines), Decimal(0)) / o.quantity for o in options
        ]
        for i in range(len(options) - 1):
            assert exact_units[i + 1] <= exact_units[i] + slack[i] + slack[i + 1]


@given(parts, processes)
@settings(max_examples=10, deadline=None)
def test_a_replay_has_the_same_bytes_under_any_decimal_context(analysis: Analysis, process: str) -> None:
    first = quote(analysis, BOOK, process).to_json()
    with decimal.localcontext(decimal.Context(prec=4, rounding=decimal.ROUND_DOWN)):
        assert quote(analysis, parse_price_book(TEXT.encode()), process).to_json() == first


def test_content_id_is_the_digest_of_everything_else() -> None:
    tree = quote(make_analysis(), BOOK).to_dict()
    content_id = tree.pop("content_id")
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert content_id == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert list(tree) == ["schema", "analysis_id", "engine_version", "price_book", "options"]
    assert tree["price_book"] == {"id": "facet-default", "sha256": BOOK.sha256, "valid_from": "2026-11-01T00:00:00Z"}


def test_the_same_content_id_for_the_same_inputs_and_another_for_others() -> None:
    ids = {
        quote(make_analysis(), BOOK).content_id,
        quote(make_analysis(volume=537.3), BOOK).content_id,
        quote(make_analysis(), BOOK, quantities=[2]).content_id,
        quote(make_analysis(), BOOK, extras=Extras(engraving_letters=1)).content_id,
        quote(make_analysis(), parse_price_book(TEXT.replace("= 85.00", "= 85.01").encode())).content_id,
    }
    assert len(ids) == 5
    assert quote(make_analysis(), BOOK).content_id in ids


def test_options_are_cheapest_first_unless_materials_are_named() -> None:
    options = quote(make_analysis(), BOOK).options
    assert len(options) == 10
    assert [o.total for o in options] == sorted(o.total for o in options)
    named = ["platinum-950", "brass", "platinum-950"]
    assert [o.material for o in quote(make_analysis(), BOOK, materials=named).options] == ["platinum-950", "brass"]


def test_a_partner_discount_leaves_metal_alone() -> None:
    full, less = (
        quote(make_analysis(), BOOK, materials=["gold-18k-yellow"], extras=Extras(partner=p)).options[0]
        for p in (None, "example-partner")
    )
    metal = next(line.amount for line in full.lines if line.code == "metal")
    assert full.total - less.total == ((full.total - metal) * Decimal("0.1")).quantize(Decimal("0.01"), "ROUND_HALF_UP")


def test_rows_for_the_bulk_table() -> None:
    rows = quote_rows(quote(make_analysis(open_edges=2), BOOK, materials=["brass"]))
    assert [tuple(row) for row in rows] == [ROW_COLUMNS]
    assert (rows[0]["material"], rows[0]["verdict"], rows[0]["reasons"]) == ("brass", "review", "open_edges")


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (UnknownProcess, {"process": "milling"}),
        (UnknownMaterial, {"materials": ["mithril"]}),
        (UnknownFinish, {"finish": "furry"}),
        (UnknownPlating, {"extras": Extras(plating="tin")}),
        (UnknownSetting, {"extras": Extras(stones={"glue": 1})}),
        (UnknownPartner, {"extras": Extras(partner="nobody")}),
        (BadQuantity, {"quantities": [0]}),
        (BadQuantity, {"quantities": []}),
        (BadQuantity, {"quantities": [True]}),
        (BadQuantity, {"extras": Extras(engraving_letters=-1)}),
        (PricingError, {"process": "resin", "extras": Extras(engraving_letters=1)}),
    ],
)
def test_wrong_usage_is_named_in_one_line(error: type[PricingError], arguments: dict[str, object]) -> None:
    with pytest.raises(error) as caught:
        quote(make_analysis(volume=0.0), BOOK, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_unknown_names_list_the_offer() -> None:
    with pytest.raises(UnknownMaterial, match=r"mithril.*gold-9k-yellow.*bronze"):
        quote(make_analysis(), BOOK, materials=["mithril"])


def test_books_quotes_and_errors_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(BOOK)) == BOOK
    priced = quote(make_analysis(), BOOK)
    assert pickle.loads(pickle.dumps(priced)).to_json() == priced.to_json()
    error = UnknownMaterial("mithril", ["brass"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_rates_are_formatted_in_full_under_any_decimal_context() -> None:
    with decimal.localcontext(decimal.Context(prec=3)):
        assert plain(Decimal("7654.32109")) == "7654.32109"


def test_the_offer_lists_processes_materials_and_finishes() -> None:
    found = offer(BOOK)
    assert [process["id"] for process in found["processes"]] == ["casting", "resin", "powder-bed"]
    assert json.loads(json.dumps(found)) == found
    assert len(found["processes"][0]["materials"]) == 10


def test_the_hash_is_over_content_not_over_comments_or_digits() -> None:
    same = TEXT.replace("discount = 0.10", "discount = 0.1").replace("# Alloys.", "# Metals.")
    assert same != TEXT
    assert parse_price_book(same.encode()).sha256 == BOOK.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per_flask = 85.00", "per_flaks = 85.00", "casting.tree.per_flaks: unknown key"),
        ("per_flask = 85.00", "", "casting.tree.per_flask: missing"),
        ("per_flask = 85.00", 'per_flask = "85"', "casting.tree.per_flask: expected a number"),
        ("per_flask = 85.00", "per_flask = true", "casting.tree.per_flask: expected a number"),
        ("per_flask = 85.00", "per_flask = -1", "casting.tree.per_flask: -1 is out of range"),
        ("per_flask = 85.00", "per_flask = nan", "casting.tree.per_flask: NaN is out of range"),
        ("per_flask = 85.00", "per_flask = 1e-400", "casting.tree.per_flask: .* is out of range"),
        ("per_flask = 85.00", "per_flask = 1e99999", "casting.tree.per_flask: .* is out of range"),
        ("discount = 0.10", "discount = 1.10", "partners.example-partner.discount: 1.10 is out of range"),
        ("lead_time_days = 5", "lead_time_days = 5.5", "casting.lead_time_days: expected a whole number"),
        ("[120.0, 68.0]", "[120.0]", "casting.printer.platform_mm: expected a list of 2"),
        ('fine_metal = "platinum"', 'fine_metal = "iron"', "no fine metal 'iron'"),
        ('fine_metal = "platinum"', "", "give either fine_metal and fineness, or price_per_g"),
        ('default_finish = "polished"', 'default_finish = "x"', "casting.default_finish: there is no finish 'x'"),
        ('currency = "EUR"', 'currency = "euro"', "currency: expected an ISO 4217 code"),
        ("2026-11-01T00:00:00Z", "2026-11-01", "valid_from: expected a time with its offset"),
        ("facet.price-book/1", "facet.price-book/9", "schema: expected"),
        ('basis = "illustrative; a metal-price feed replaces it"', "", "fine_metals.gold.basis: missing"),
        (', others = "illustrative" }', " }", "no basis"),
        ("per_flask = 85.00", "per_flask = 1e-999999999999999999", "per_flask: .* is out of range|not TOML"),
        ("per_flask = 85.00", "per_flask = " + "9" * 5000, "not TOML"),
        ("[casting.materials.brass]", '[casting.materials."br.ass"]', "an id has small letters"),
        ("[casting.tree]", "[casting.tree", "not TOML"),
    ],
)
def test_a_bad_price_book_is_refused_in_one_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(PriceBookError, match=message) as caught:
        parse_price_book(TEXT.replace(old, new).encode(), "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert "\n" not in str(caught.value)


def test_a_missing_price_book_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match="can't be read"):
        load_price_book(tmp_path / "none.toml")
    with pytest.raises(PriceBookError, match="can't be read"):
        load_price_book(tmp_path)
    with pytest.raises(PriceBookError, match="not TOML"):
        parse_price_book(b"\xff\xfe")
