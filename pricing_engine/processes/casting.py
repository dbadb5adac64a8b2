"""Lost-wax casting: a pattern is printed, set on a tree, invested in a flask, burnt out and cast.

Metal: a piece shrinks to ``cast_volume_fraction`` of its model; sprues and its share of the trunk are cast with it. The
customer pays for the piece as cast, for the melt loss on all poured metal, and for the part of sprues and trunk that is
not recycled. Precious metal is charged by its fine content at the fine price, alloying by the gram.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import permutations
from typing import NamedTuple

from pricing_engine.processes.errors import UnknownPlating, UnknownSetting
from pricing_engine.processes.lines import LineItems
from pricing_engine.processes.money import ONE, ZERO, billed
from pricing_engine.processes.part import Extras, PricedPart
from pricing_engine.processes.price_tables import Casting, CastingMaterial, FineMetal, Tree
from pricing_engine.processes.printing import ResinRun, extra_days, resin_run, shared_runs
from pricing_engine.processes.process import ProcessCost, ProcessPlan, VerdictReason, add_finishing

PI = Decimal("3.141592653589793")


class CastMasses(NamedTuple):
    """Masses (g) of one piece: with the model's volume, as cast, and finished."""

    modelled_g: Decimal
    cast_g: Decimal
    finished_g: Decimal


def cast_masses(
    volume_mm3: Decimal, density_g_cm3: Decimal, cast_fraction: Decimal, finished_fraction: Decimal
) -> CastMasses:
    """Return the masses if casting leaves ``cast_fraction`` of the model and finishing a share of the cast."""
    modelled = volume_mm3 * density_g_cm3 / 1000
    cast = modelled * cast_fraction
    return CastMasses(modelled, cast, cast * finished_fraction)


def tree_capacity(box_mm: tuple[Decimal, Decimal, Decimal], tree: Tree) -> int:
    """Return how many pieces fit on the tree: rings of pieces up the trunk, with the best rotation of their box.

    A piece stands off the trunk by its sprue; the flask must have space outward, along the trunk, and around it where
    the ring is tightest, at the sprues' ends. 0 if no rotation fits.
    """
    inner = tree.trunk_diameter_mm / 2 + tree.sprue_length_mm
    clearance_mm = tree.flask_inner_diameter_mm / 2 - tree.wall_clearance_mm - inner
    around = 2 * PI * inner

    def count(outward: Decimal, along: Decimal, sideways: Decimal) -> int:
        if outward > clearance_mm:
            return 0
        rings = (tree.usable_height_mm + tree.gap_mm) / max(along + tree.gap_mm, ONE)
        ring = around / max(sideways + tree.gap_mm, ONE)
        return int(rings.to_integral_value(ROUND_FLOOR)) * int(ring.to_integral_value(ROUND_FLOOR))

    return max(count(*sides) for sides in permutations(box_mm))


@dataclass(frozen=True, slots=True)
class CastingPlan(ProcessPlan):
    """A part placed on the pattern printer and the tree; both are the same for every alloy."""

    part: PricedPart
    rates: Casting
    fine_metals: Mapping[str, FineMetal]
    run: ResinRun
    by_space: int
    sprues: int

    def by_metal(self, material: CastingMaterial) -> int:
        """Return the number of pieces whose metal, with sprues and trunk, fits into the crucible."""
        tree, grams = self.rates.tree, material.density_g_cm3 / 1000
        piece = (self.part.volume_mm3 * material.cast_volume_fraction + self.sprues * tree.sprue_volume_mm3) * grams
        available_g = material.melt_limit_g - tree.trunk_volume_mm3 * grams
        return max(0, int((available_g / piece).to_integral_value(ROUND_FLOOR)))

    def reasons(self, material: str) -> list[VerdictReason]:
        """Return a reason for each of pattern printer, flask and crucible that is too small for the piece."""
        found = []
        if not self.run.capacity:
            found.append(VerdictReason("pattern_too_large", "error", "the pattern does not fit on the pattern printer"))
        if not self.by_space:
            found.append(
                VerdictReason("flask_too_small", "error", "the piece does not fit into the flask, however turned")
            )
        if not self.by_metal(self.rates.materials[material]):
            limit = self.rates.materials[material].melt_limit_g
            found.append(
                VerdictReason("melt_too_heavy", "error", f"piece and tree need more than {limit:f} g of metal")
            )
        return found

    def cost(self, material: str, finish: str, quantity: int, extras: Extras) -> ProcessCost:
        """Return the order's lines, from set-up to extras; an oversized piece is priced as one per tree."""
        rates, part, tree = self.rates, self.part, self.rates.tree
        alloy, surface = rates.materials[material], rates.finishes[finish]
        key = f"casting.materials.{material}"
        platforms = shared_runs(quantity, self.run.capacity or 1, rates.printer.least_share)
        trees = shared_runs(quantity, min(self.by_space, self.by_metal(alloy)) or 1, tree.least_share)
        cast_mm3 = part.volume_mm3 * alloy.cast_volume_fraction
        finished_mm3 = max(cast_mm3 - part.area_mm2 * surface.removal_mm, ZERO)
        masses = cast_masses(part.volume_mm3, alloy.density_g_cm3, alloy.cast_volume_fraction, finished_mm3 / cast_mm3)
        gating_mm3 = quantity * self.sprues * tree.sprue_volume_mm3 + trees * tree.trunk_volume_mm3
        gating_g = gating_mm3 * alloy.density_g_cm3 / 1000
        cast_g = masses.cast_g * quantity
        metal_g = cast_g + alloy.casting_loss * (cast_g + gating_g) + (ONE - alloy.sprue_return) * gating_g

        items = LineItems()
        add = items.add
        add("setup", "Order set-up", 1, "order", rates.setup_per_order, "casting.setup_per_order")
        add("pattern_machine", "Pattern print, machine time", platforms * self.run.hours, "h",
            rates.printer.machine_per_h, "casting.printer.machine_per_h")  # fmt: skip
        add("pattern_resin", "Pattern resin with supports", self.run.resin_cm3 * quantity, "cm3",
            rates.pattern.price_per_cm3, "casting.pattern.price_per_cm3")  # fmt: skip
        add("flask", "Share of flasks: tree, investment, burn-out", trees, "flask", tree.per_flask,
            "casting.tree.per_flask")  # fmt: skip
        add("casting", "Casting", quantity, "piece", alloy.casting_fee_per_piece, f"{key}.casting_fee_per_piece")
        self._add_metal(items, material, alloy, metal_g)
        add("sprue_removal", "Sprue removal", quantity * self.sprues, "sprue", rates.sprue_removal_per_sprue,
            "casting.sprue_removal_per_sprue")  # fmt: skip
        add_finishing(items, part, surface, quantity, f"casting.finishes.{finish}")
        days = rates.lead_time_days + surface.days + self._add_extras(items, quantity, extras)
        days += extra_days(trees, tree.trees_per_day) + extra_days(platforms, rates.printer.runs_per_day)
        return ProcessCost(items.lines, days, masses.finished_g, metal_g / quantity)

    def _add_metal(self, items: LineItems, material: str, alloy: CastingMaterial, metal_g: Decimal) -> None:
        """Add the metal by fine content if the book has a fine price for it, by the gram of alloy otherwise."""
        key = f"casting.materials.{material}"
        if alloy.price_per_g is not None:
            items.add("metal", alloy.label, metal_g, "g", alloy.price_per_g, f"{key}.price_per_g")
        elif alloy.fineness is not None:
            fine = self.fine_metals[alloy.fine_metal or ""]
            label = f"{fine.label} in {billed(metal_g)} g of {alloy.label}"
            source = f"fine_metals.{alloy.fine_metal}.price_per_g"
            items.add("metal", label, metal_g * alloy.fineness, "g", fine.price_per_g, source)
        items.add("alloy", "Alloying and refining", metal_g, "g", alloy.alloy_fee_per_g, f"{key}.alloy_fee_per_g")

    def _add_extras(self, items: LineItems, quantity: int, extras: Extras) -> int:
        """Add plating, stones and engraving; return the days they take."""
        days = 0
        if extras.plating is not None:
            plating = self.rates.platings[extras.plating]
            key = f"casting.platings.{extras.plating}"
            items.add("plating_setup", f"{plating.label}, bath set-up", 1, "order", plating.setup_per_order,
                      f"{key}.setup_per_order")  # fmt: skip
            items.add("plating", plating.label, self.part.area_cm2 * quantity, "cm2", plating.per_cm2, f"{key}.per_cm2")
            days += plating.days
        for name in sorted(extras.stones or {}):
            setting = self.rates.settings[name]
            stones = (extras.stones or {})[name] * quantity
            items.add("stone_setting", setting.label, stones, "stone", setting.per_stone,
                      f"casting.settings.{name}.per_stone")  # fmt: skip
        if extras.engraving_letters:
            engraving = self.rates.engraving
            items.add("engraving_setup", "Engraving set-up", 1, "order", engraving.setup_per_order,
                      "casting.engraving.setup_per_order")  # fmt: skip
            items.add("engraving", "Engraving", extras.engraving_letters * quantity, "letter", engraving.per_letter,
                      "casting.engraving.per_letter")  # fmt: skip
            days += engraving.days
        return days


def casting_plan(part: PricedPart, rates: Casting, fine_metals: Mapping[str, FineMetal]) -> CastingPlan:
    """Place the part on the pattern printer and the tree; sprues grow with its volume."""
    per_sprue = rates.tree.part_volume_per_sprue_mm3
    return CastingPlan(
        part=part,
        rates=rates,
        fine_metals=fine_metals,
        run=resin_run(part, rates.printer, rates.pattern),
        by_space=tree_capacity(part.box_mm, rates.tree),
        sprues=int((part.volume_mm3 / per_sprue).to_integral_value(ROUND_CEILING)),
    )


def check_casting_extras(rates: Casting, extras: Extras) -> None:
    """Raise UnknownPlating or UnknownSetting for extras that the book does not offer."""
    if extras.plating is not None and extras.plating not in rates.platings:
        raise UnknownPlating(extras.plating, rates.platings)
    for name in sorted(extras.stones or {}):
        if name not in rates.settings:
            raise UnknownSetting(name, rates.settings)
