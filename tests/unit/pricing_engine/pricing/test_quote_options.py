"""Each member of an option, the documents of a quote, and the limits of a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.quote import (
    MAX_QUANTITY,
    NO_EXTRAS,
    ROW_COLUMNS,
    Option,
    Quote,
    Request,
    check_request,
    quote,
    quote_rows,
)
from pricing_engine.processes.errors import (
    BadQuantity,
    PricingError,
    UnknownFinish,
    UnknownMaterial,
    UnknownPartner,
    UnknownPlating,
    UnknownProcess,
    UnknownSetting,
)
from pricing_engine.processes.lines import PriceLine
from pricing_engine.processes.money import canonical_digest
from pricing_engine.processes.part import Extras
from pricing_engine.processes.process import VerdictReason
from tests.naive.analyses import make_analysis

BOOK = load_price_book()
BLOCK = make_analysis(volume=210_000.0, area=22_000.0, box=(50.0, 60.0, 100.0), p50=20.0, thin=0.0, support=0.0)
"""The part of the published powder-bed example: 210 cm3, so that its volume is charged and not its box."""
NO_VOLUME = make_analysis(volume=0.0)
SETUP = PriceLine(
    "setup", "Order set-up", Decimal("1.000"), "order", Decimal("80.00"), Decimal("80.00"), "powder-bed.setup_per_order"
)
VOLUME = PriceLine(
    "volume", "Polyamide 12, charged volume", Decimal("1050.000"), "cm3", Decimal("0.18"), Decimal("189.00"),
    "powder-bed.materials.pa12.price_per_cm3",
)  # fmt: skip
REASON = VerdictReason("open_edges", "warning", "2 edges are open")
OPTION = Option(
    process="powder-bed",
    material="pa12",
    finish="raw",
    quantity=5,
    currency="EUR",
    unit_price=Decimal("53.80"),
    total=Decimal("269.00"),
    lead_time_days=4,
    finished_mass_g=Decimal("212.100"),
    metal_charged_g=Decimal("0.000"),
    lines=(SETUP, VOLUME),
    verdict="manufacturable",
    reasons=(),
)
QUOTE = Quote("sha256:ä", "1", {"id": "book", "sha256": "0" * 64}, (OPTION._replace(reasons=(REASON,)),))


def options(**request: Any) -> tuple[Option, ...]:
    return quote(BLOCK, BOOK, Request("powder-bed", ["pa12"], **request)).options


class TestOptions:
    def test_the_published_example(self) -> None:
        assert options(quantities=[5]) == (OPTION,)
        assert str(OPTION.total / OPTION.quantity) == "53.80"

    def test_a_partner_pays_less_by_a_last_line(self) -> None:
        (option,) = options(quantities=[5], extras=Extras(partner="example-partner"))
        discount = PriceLine(
            "discount", "Example partner: agreed discount, metal excepted", Decimal("0.100"), "share",
            Decimal("-269.00"), Decimal("-26.90"), "partners.example-partner.discount",
        )  # fmt: skip
        assert option == OPTION._replace(
            lines=(SETUP, VOLUME, discount), total=Decimal("242.10"), unit_price=Decimal("48.42")
        )

    def test_metal_has_no_discount(self) -> None:
        analysis, request = make_analysis(), Request(materials=["gold-18k-yellow"])
        full = quote(analysis, BOOK, request).options[0]
        less = quote(analysis, BOOK, replace(request, extras=Extras(partner="example-partner"))).options[0]
        assert less.lines[:-1] == full.lines
        assert {"metal", "alloy"} <= {line.code for line in full.lines}
        assert less.lines[-1].rate == -sum(line.amount for line in full.lines if line.code != "metal")

    def test_a_unit_price_is_rounded_half_up(self) -> None:
        analysis = replace(BLOCK, geometry=replace(BLOCK.geometry, volume_mm3=210_250.0))
        (option,) = quote(analysis, BOOK, Request("powder-bed", ["pa12"], quantities=[2])).options
        assert (str(option.total), str(option.unit_price)) == ("155.69", "77.85")  # 77.845

    def test_materials_and_quantities_keep_their_order_without_duplicates(self) -> None:
        request = Request("powder-bed", ["tpu", "pa12", "tpu"], "dyed", [5, 1, 5])
        assert [(o.material, o.finish, o.quantity) for o in quote(BLOCK, BOOK, request).options] == [
            ("tpu", "dyed", 5), ("tpu", "dyed", 1), ("pa12", "dyed", 5), ("pa12", "dyed", 1),
        ]  # fmt: skip

    def test_all_materials_are_sorted_by_quantity_price_and_name(self) -> None:
        found = quote(BLOCK, BOOK, Request("powder-bed", quantities=[5, 1])).options
        assert [(o.quantity, o.material) for o in found] == [
            (5, "pa12"), (5, "pa11"), (5, "tpu"), (5, "alsi10mg"),
            (1, "pa12"), (1, "pa11"), (1, "tpu"), (1, "alsi10mg"),
        ]  # fmt: skip
        free = quote(NO_VOLUME, BOOK, Request("powder-bed")).options
        assert [o.material for o in free] == ["alsi10mg", "pa11", "pa12", "tpu"]

    def test_each_process_has_a_plan_of_its_own(self) -> None:
        for process, code in (("casting", "flask"), ("resin", "resin"), ("powder-bed", "volume")):
            request = Request(process)
            for option in quote(make_analysis(), BOOK, request).options:
                assert option.process == process
                assert option.finish == BOOK.process(process).default_finish
                assert code in {line.code for line in option.lines}

    def test_masses_have_three_decimals(self) -> None:
        for option in quote(make_analysis(volume=537.29), BOOK, Request(materials=["brass", "silver-925"])).options:
            assert option.finished_mass_g is not None
            assert option.metal_charged_g is not None
            assert (option.finished_mass_g.as_tuple().exponent, option.metal_charged_g.as_tuple().exponent) == (-3, -3)
            assert 0 < option.finished_mass_g < option.metal_charged_g

    def test_the_finish_quantity_and_extras_of_the_request_are_priced(self) -> None:
        request = Request(
            materials=["silver-925"], finish="mirror", quantities=[3],
            extras=Extras(engraving_letters=7, stones={"prong": 2}, plating="rhodium"),
        )  # fmt: skip
        (option,) = quote(make_analysis(), BOOK, request).options
        quantities = {line.source: str(line.quantity) for line in option.lines}
        assert quantities["casting.engraving.per_letter"] == "21.000"
        assert quantities["casting.settings.prong.per_stone"] == "6.000"
        assert quantities["casting.platings.rhodium.per_cm2"] == "27.000"
        assert any(source.startswith("casting.finishes.mirror.") for source in quantities)


class TestVerdicts:
    def test_a_model_without_volume_is_rejected_without_lines(self) -> None:
        for process in ("casting", "resin", "powder-bed"):
            for option in quote(NO_VOLUME, BOOK, Request(process, quantities=[3])).options:
                assert (option.lines, str(option.total), str(option.unit_price)) == ((), "0.00", "0.00")
                assert (option.lead_time_days, option.finished_mass_g, option.metal_charged_g) == (None, None, None)
                assert (option.verdict, [reason.code for reason in option.reasons]) == ("rejected", ["no_volume"])

    def test_walls_of_a_model_without_volume_are_not_judged(self) -> None:
        (option,) = quote(make_analysis(volume=0.0, p50=0.1), BOOK, Request("powder-bed", ["pa12"])).options
        assert [reason.code for reason in option.reasons] == ["no_volume"]

    def test_reasons_are_of_the_model_the_process_and_the_wall(self) -> None:
        analysis = make_analysis(box=(500.0, 500.0, 500.0), p50=0.1, open_edges=2)
        (option,) = quote(analysis, BOOK, Request("powder-bed", ["pa12"])).options
        assert option.verdict == "rejected"
        assert [(reason.code, reason.severity) for reason in option.reasons] == [
            ("part_too_large", "error"), ("walls_too_thin", "error"), ("open_edges", "warning"),
        ]  # fmt: skip

    def test_walls_are_judged_by_the_material(self) -> None:
        analysis = replace(make_analysis(p50=0.5, thin=0.0), geometry=BLOCK.geometry)
        found = quote(analysis, BOOK, Request("powder-bed", ["pa12", "tpu"])).options
        assert [option.verdict for option in found] == ["manufacturable", "rejected"]

    def test_reasons_of_the_process_are_of_the_material(self) -> None:
        heavy = make_analysis(volume=30_000.0, box=(20.0, 40.0, 40.0))
        found = quote(heavy, BOOK, Request(materials=["platinum-950", "brass"])).options
        codes = [{reason.code for reason in option.reasons} for option in found]
        assert "melt_too_heavy" in codes[0]
        assert "melt_too_heavy" not in codes[1]


class TestDocuments:
    def test_an_option_as_json(self) -> None:
        expected = {
            "process": "powder-bed", "material": "pa12", "finish": "raw", "quantity": 5, "currency": "EUR",
            "unit_price": "53.80", "total": "269.00", "lead_time_days": 4, "finished_mass_g": 212.1,
            "metal_charged_g": 0.0, "lines": [SETUP.to_dict(), VOLUME.to_dict()], "verdict": "manufacturable",
            "reasons": [{"code": "open_edges", "severity": "warning", "message": "2 edges are open"}],
        }  # fmt: skip
        found = OPTION._replace(reasons=(REASON,)).to_dict()
        assert found == expected
        assert list(found) == list(expected)
        unpriced = OPTION._replace(finished_mass_g=None, metal_charged_g=None, lead_time_days=None).to_dict()
        assert [unpriced[name] for name in ("finished_mass_g", "metal_charged_g", "lead_time_days")] == [None] * 3

    def test_a_quote_as_json(self) -> None:
        members = {
            "analysis_id": "sha256:ä", "engine_version": "1", "price_book": {"id": "book", "sha256": "0" * 64},
            "options": [OPTION._replace(reasons=(REASON,)).to_dict()],
        }  # fmt: skip
        content_id = canonical_digest({"schema": "facet.quote/1", **members})
        expected = {"schema": "facet.quote/1", "content_id": content_id, **members}
        assert QUOTE.content_id == content_id
        assert QUOTE.to_dict() == expected
        assert list(QUOTE.to_dict()) == list(expected)
        assert QUOTE.to_json() == json.dumps(expected, indent=2, ensure_ascii=False)
        assert '"analysis_id": "sha256:ä",\n' in QUOTE.to_json()

    def test_a_quote_of_what_is_not_finite_is_no_json(self) -> None:
        broken = replace(QUOTE, options=(OPTION._replace(finished_mass_g=Decimal("NaN")),))
        with pytest.raises(ValueError, match="not JSON compliant"):
            broken.to_json()

    def test_a_quote_names_what_it_was_computed_from(self) -> None:
        found = quote(BLOCK, BOOK, Request("powder-bed", ["pa12"], quantities=[5]))
        assert found == Quote(
            "sha256:0", "0.1.0",
            {"id": "facet-default", "sha256": BOOK.sha256, "valid_from": "2026-11-01T00:00:00Z"}, (OPTION,),
        )  # fmt: skip

    def test_rows(self) -> None:
        again = VerdictReason("open_edges", "warning", "once more")
        thin = VerdictReason("thin_walls", "warning", "0.3 mm")
        unpriced = OPTION._replace(
            lead_time_days=None, finished_mass_g=None, metal_charged_g=None, reasons=(REASON, thin, again)
        )
        priced = replace(QUOTE, options=(OPTION, unpriced))
        ids = {"analysis_id": "sha256:ä", "content_id": priced.content_id}
        first = {
            "process": "powder-bed", "material": "pa12", "finish": "raw", "quantity": "5", "currency": "EUR",
            "unit_price": "53.80", "total": "269.00", "lead_time_days": "4", "finished_mass_g": "212.100",
            "metal_charged_g": "0.000", "verdict": "manufacturable", "reasons": "", **ids,
        }  # fmt: skip
        second = first | {
            "lead_time_days": "", "finished_mass_g": "", "metal_charged_g": "", "reasons": "open_edges thin_walls",
        }  # fmt: skip
        assert quote_rows(priced) == [first, second]
        assert [tuple(row) for row in quote_rows(priced)] == [ROW_COLUMNS, ROW_COLUMNS]


class TestRequests:
    @pytest.mark.parametrize("process", ["casting", "resin", "powder-bed"])
    def test_what_the_book_offers_is_accepted(self, process: str) -> None:
        rates = BOOK.process(process)
        check_request(BOOK, Request(process))
        for finish in rates.finishes:
            extras = Extras(partner="example-partner")
            check_request(BOOK, Request(process, list(rates.materials), finish, (1, MAX_QUANTITY), extras))
        check_request(BOOK, Request(process, extras=Extras(stones={})))

    @pytest.mark.parametrize("count", [0, 1, MAX_QUANTITY])
    def test_stones_and_letters_up_to_the_limit_are_accepted(self, count: int) -> None:
        check_request(BOOK, Request(extras=Extras(engraving_letters=count, stones={"prong": count}, plating="gold")))

    @pytest.mark.parametrize(
        ("request_", "error", "message"),
        [
            (Request("milling"), UnknownProcess, "process 'milling': the price book offers "),
            (Request("resin", ["brass"]), UnknownMaterial, "material 'brass': the price book offers resin-"),
            (Request("resin", ["resin-tough", "x"]), UnknownMaterial, "material 'x': the price book offers resin-"),
            (Request("resin", [], "mirror"), UnknownFinish, "finish 'mirror': the price book offers raw, sanded"),
            (Request(extras=Extras(plating="tin")), UnknownPlating, "plating 'tin': the price book offers rhodium"),
            (Request(extras=Extras(stones={"x": 1})), UnknownSetting, "stone setting 'x': the price book offers prong"),
            (
                Request("resin", extras=Extras(partner="x")),
                UnknownPartner,
                "partner 'x': the price book offers example-partner",
            ),
        ],
    )
    def test_an_unknown_name_is_refused_with_the_offer(
        self, request_: Request, error: type[PricingError], message: str
    ) -> None:
        with pytest.raises(error) as caught:
            check_request(BOOK, request_)
        assert str(caught.value).startswith(f"unknown {message}")
        with pytest.raises(error):
            quote(NO_VOLUME, BOOK, request_)

    def test_no_quantity_is_refused(self) -> None:
        with pytest.raises(BadQuantity) as caught:
            check_request(BOOK, Request(quantities=[]))
        assert str(caught.value) == "give at least one quantity"

    @pytest.mark.parametrize("quantity", [0, -1, MAX_QUANTITY + 1, True, 1.0, "1"])
    def test_a_quantity_is_a_whole_number_from_one_to_a_million(self, quantity: object) -> None:
        with pytest.raises(BadQuantity) as caught:
            check_request(BOOK, Request(quantities=cast("Sequence[int]", [1, quantity])))
        assert str(caught.value) == f"quantity {quantity!r}: expected a whole number from 1 to 1000000"

    @pytest.mark.parametrize("count", [-1, MAX_QUANTITY + 1, True, False, 2.0])
    def test_a_number_of_stones_or_letters_is_a_whole_number_up_to_a_million(self, count: Any) -> None:
        message = f"{count!r} stones or letters: expected a whole number from 0 to 1000000"
        for extras in (Extras(engraving_letters=count), Extras(stones={"prong": 1, "bezel": count})):
            with pytest.raises(BadQuantity) as caught:
                check_request(BOOK, Request(extras=extras))
            assert str(caught.value) == message

    @pytest.mark.parametrize("process", ["resin", "powder-bed"])
    @pytest.mark.parametrize(
        "extras", [Extras(plating="gold"), Extras(stones={"prong": 1}), Extras(engraving_letters=1)]
    )
    def test_only_castings_have_plating_stones_and_engraving(self, process: str, extras: Extras) -> None:
        with pytest.raises(PricingError) as caught:
            check_request(BOOK, Request(process, extras=extras))
        assert str(caught.value) == f"process {process!r} offers no plating, stones or engraving"
        check_request(BOOK, Request(process, extras=NO_EXTRAS))
