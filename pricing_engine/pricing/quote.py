"""The quote: every option's lines, sums and verdict, arithmetic over one Analysis and one price book.

Pure arithmetic without measurements or a clock, so the same Analysis, settings and book give the same bytes. All
materials of a process take well under a millisecond: the part is placed on machines once, the remaining work is a few
dozen decimal products.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any, NamedTuple

from pricing_engine.analysis.schema import Analysis
from pricing_engine.pricing.book import PriceBook
from pricing_engine.processes.casting import casting_plan, check_casting_extras
from pricing_engine.processes.errors import (
    BadQuantity,
    PricingError,
    UnknownFinish,
    UnknownMaterial,
    UnknownPartner,
)
from pricing_engine.processes.lines import LineItems, PriceLine
from pricing_engine.processes.money import CENT, ZERO, billed, canonical_digest, exact
from pricing_engine.processes.part import Extras, PricedPart, part_of
from pricing_engine.processes.powder_bed import powder_plan
from pricing_engine.processes.price_tables import Casting, PowderBed, ResinPrint
from pricing_engine.processes.process import ProcessCost, ProcessPlan, VerdictReason
from pricing_engine.processes.resin import resin_plan
from pricing_engine.processes.verdict import model_reasons, sort_reasons, verdict_of, wall_reasons

SCHEMA = "facet.quote/1"
MAX_QUANTITY = 1_000_000
NO_EXTRAS = Extras()
ROW_COLUMNS = (
    "process", "material", "finish", "quantity", "currency", "unit_price", "total", "lead_time_days",
    "finished_mass_g", "metal_charged_g", "verdict", "reasons", "analysis_id", "content_id",
)  # fmt: skip


class Option(NamedTuple):
    """One way to make ``quantity`` pieces. Lines are for the whole order, masses (g) for one piece."""

    process: str
    material: str
    finish: str
    quantity: int
    currency: str
    unit_price: Decimal
    total: Decimal
    lead_time_days: int | None
    finished_mass_g: Decimal | None
    metal_charged_g: Decimal | None
    lines: tuple[PriceLine, ...]
    verdict: str
    reasons: tuple[VerdictReason, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready option; money as text, masses as numbers of three decimals."""
        return {
            "process": self.process,
            "material": self.material,
            "finish": self.finish,
            "quantity": self.quantity,
            "currency": self.currency,
            "unit_price": str(self.unit_price),
            "total": str(self.total),
            "lead_time_days": self.lead_time_days,
            "finished_mass_g": _number(self.finished_mass_g),
            "metal_charged_g": _number(self.metal_charged_g),
            "lines": [line.to_dict() for line in self.lines],
            "verdict": self.verdict,
            "reasons": [reason._asdict() for reason in self.reasons],
        }


@dataclass(frozen=True)
class Quote:
    """A replayable quote; JSON and digest are computed on first use, so repricing a catalogue pays for neither."""

    analysis_id: str
    engine_version: str
    price_book: Mapping[str, str]
    options: tuple[Option, ...]

    @cached_property
    def content_id(self) -> str:
        """Return the sha256 of the other members of the quote as canonical JSON."""
        return canonical_digest({"schema": SCHEMA, **self._document})

    @cached_property
    def _document(self) -> dict[str, Any]:
        return {
            "analysis_id": self.analysis_id,
            "engine_version": self.engine_version,
            "price_book": dict(self.price_book),
            "options": [option.to_dict() for option in self.options],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready quote in the order of the public interface."""
        return {"schema": SCHEMA, "content_id": self.content_id, **self._document}

    def to_json(self) -> str:
        """Return the quote as JSON; a replay gives the same bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A request. No ``materials``: all of the process, cheapest first. No ``finish``: the process's default."""

    process: str = "casting"
    materials: Sequence[str] | None = None
    finish: str | None = None
    quantities: Sequence[int] = (1,)
    extras: Extras = NO_EXTRAS


def check_request(book: PriceBook, request: Request) -> None:
    """Raise for anything that the book does not offer, before a model is measured.

    UnknownProcess, UnknownMaterial, UnknownFinish, UnknownPlating, UnknownSetting, UnknownPartner, BadQuantity, or
    PricingError for an extra that the process does not offer.
    """
    rates = book.process(request.process)
    for material in request.materials or ():
        if material not in rates.materials:
            raise UnknownMaterial(material, rates.materials)
    if request.finish is not None and request.finish not in rates.finishes:
        raise UnknownFinish(request.finish, rates.finishes)
    _check_numbers(request.quantities, request.extras)
    _check_extras(request.process, rates, request.extras, book)


def quote(analysis: Analysis, book: PriceBook, request: Request) -> Quote:
    """Price the model for each material and quantity of the request; raises as ``check_request`` does.

    Given materials and quantities keep their order, without duplicates. A model that can't be priced (no volume) has
    options without lines, total 0.00, verdict ``rejected``.
    """
    check_request(book, request)
    rates = book.process(request.process)
    materials = tuple(dict.fromkeys(rates.materials if request.materials is None else request.materials))
    quantities = tuple(dict.fromkeys(request.quantities))
    finish = rates.default_finish if request.finish is None else request.finish
    with exact():
        options = _options(analysis, book, request.process, rates, materials, finish, quantities, request.extras)
    if request.materials is None:
        order = {quantity: i for i, quantity in enumerate(quantities)}
        options.sort(key=lambda o: (order[o.quantity], o.total, o.material))
    price_book = {"id": book.tables.id, "sha256": book.sha256, "valid_from": book.valid_from}
    return Quote(analysis.analysis_id, analysis.engine_version, price_book, tuple(options))


def quote_rows(priced: Quote) -> list[dict[str, str]]:
    """Return one row per option for the bulk CSV, keyed by ROW_COLUMNS; reasons as codes joined by spaces."""
    rows = []
    for option in priced.options:
        cells = {**option._asdict(), "analysis_id": priced.analysis_id, "content_id": priced.content_id}
        cells["reasons"] = " ".join(dict.fromkeys(reason.code for reason in option.reasons))
        rows.append({column: "" if cells[column] is None else str(cells[column]) for column in ROW_COLUMNS})
    return rows


def _number(mass_g: Decimal | None) -> float | None:
    return None if mass_g is None else float(mass_g)


def _check_numbers(quantities: Sequence[int], extras: Extras) -> None:
    if not quantities:
        raise BadQuantity("give at least one quantity")
    for quantity in quantities:
        if isinstance(quantity, bool) or not isinstance(quantity, int) or not 1 <= quantity <= MAX_QUANTITY:
            raise BadQuantity(f"quantity {quantity!r}: expected a whole number from 1 to {MAX_QUANTITY}")
    for count in (extras.engraving_letters, *(extras.stones or {}).values()):
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_QUANTITY:
            raise BadQuantity(f"{count!r} stones or letters: expected a whole number from 0 to {MAX_QUANTITY}")


def _check_extras(process: str, rates: Casting | ResinPrint | PowderBed, extras: Extras, book: PriceBook) -> None:
    if extras.partner is not None and extras.partner not in book.tables.partners:
        raise UnknownPartner(extras.partner, book.tables.partners)
    if isinstance(rates, Casting):
        check_casting_extras(rates, extras)
    elif extras.plating is not None or extras.stones or extras.engraving_letters:
        raise PricingError(f"process {process!r} offers no plating, stones or engraving")


def _plan(part: PricedPart, rates: Casting | ResinPrint | PowderBed, book: PriceBook) -> ProcessPlan:
    if isinstance(rates, Casting):
        return casting_plan(part, rates, book.tables.fine_metals)
    return resin_plan(part, rates) if isinstance(rates, ResinPrint) else powder_plan(part, rates)


def _options(
    analysis: Analysis,
    book: PriceBook,
    process: str,
    rates: Casting | ResinPrint | PowderBed,
    materials: Sequence[str],
    finish: str,
    quantities: Sequence[int],
    extras: Extras,
) -> list[Option]:
    part = part_of(analysis)
    plan = None if part is None else _plan(part, rates, book)
    model = model_reasons(analysis, part, rates.limits)
    options = []
    for material in materials:
        process_reasons = [] if plan is None else plan.reasons(material)
        wall = [] if plan is None else wall_reasons(analysis, rates.materials[material], rates.limits)
        reasons = sort_reasons([*model, *process_reasons, *wall])
        verdict = verdict_of(reasons)
        for quantity in quantities:
            cost = None if plan is None else plan.cost(material, finish, quantity, extras)
            lines = () if cost is None else _with_discount(cost, extras, book)
            total = sum((line.amount for line in lines), ZERO).quantize(CENT)
            option = Option(
                process=process,
                material=material,
                finish=finish,
                quantity=quantity,
                currency=book.tables.currency,
                unit_price=(total / quantity).quantize(CENT, ROUND_HALF_UP),
                total=total,
                lead_time_days=None if cost is None else cost.lead_time_days,
                finished_mass_g=None if cost is None else billed(cost.finished_mass_g),
                metal_charged_g=None if cost is None else billed(cost.metal_charged_g),
                lines=lines,
                verdict=verdict,
                reasons=reasons,
            )
            options.append(option)
    return options


def _with_discount(cost: ProcessCost, extras: Extras, book: PriceBook) -> tuple[PriceLine, ...]:
    """Return the lines, with the partner's discount on all lines except metal as a last, negative one."""
    if extras.partner is None:
        return tuple(cost.lines)
    items = LineItems()
    items.lines = list(cost.lines)
    partner = book.tables.partners[extras.partner]
    label = f"{partner.label}: agreed discount, metal excepted"
    items.add("discount", label, partner.discount, "share", -items.total(excluded_codes=("metal",)),
              f"partners.{extras.partner}.discount")  # fmt: skip
    return tuple(items.lines)
