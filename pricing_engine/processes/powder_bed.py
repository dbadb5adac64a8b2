"""Powder bed (SLS, MJF, LPBF): pieces of all orders share a build, so a piece pays for its space in the build.

A piece is charged by its volume, but at least for ``packing_density`` of its box: a lattice fills a build as a solid of
its size does. Materials with a rate for machine time (metal) also pay for their share of the recoating.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pricing_engine.processes.lines import LineItems
from pricing_engine.processes.money import ZERO
from pricing_engine.processes.part import Extras, Placement, PricedPart
from pricing_engine.processes.price_tables import PowderBed
from pricing_engine.processes.printing import extra_days, grid_capacity, shared_runs, whole_layers
from pricing_engine.processes.process import ProcessCost, ProcessPlan, VerdictReason, add_finishing, finished_mass_g


@dataclass(frozen=True, slots=True)
class PowderPlan(ProcessPlan):
    """A part placed in the build box: its placement, and pieces per layer of the build (0: it does not fit)."""

    part: PricedPart
    rates: PowderBed
    placement: Placement
    capacity: int
    box_mm3: Decimal

    def reasons(self, material: str) -> list[VerdictReason]:
        """Return a reason if the piece is too large for the machine."""
        if self.capacity:
            return []
        sides = " x ".join(f"{side.normalize():f}" for side in self.rates.machine.build_box_mm)
        return [VerdictReason("part_too_large", "error", f"the piece does not fit into the build box of {sides} mm")]

    def cost(self, material: str, finish: str, quantity: int, extras: Extras) -> ProcessCost:
        """Return the order's lines; an oversized piece is priced as one per build."""
        rates, part, machine = self.rates, self.part, self.rates.machine
        powder, surface = rates.materials[material], rates.finishes[finish]
        key = f"powder-bed.materials.{material}"
        charged_mm3 = max(part.volume_mm3, self.box_mm3 * powder.packing_density)
        supports_mm3 = self.placement.support_mm3 * powder.support_density
        builds = shared_runs(quantity, self.capacity or 1, machine.least_share)
        hours = whole_layers(self.placement.height_mm, powder.layer_height_mm) * powder.recoat_s / 3600
        items = LineItems()
        items.add("setup", "Order set-up", 1, "order", rates.setup_per_order, "powder-bed.setup_per_order")
        items.add("volume", f"{powder.label}, charged volume", quantity * charged_mm3 / 1000, "cm3",
                  powder.price_per_cm3, f"{key}.price_per_cm3")  # fmt: skip
        items.add("supports", "Supports", quantity * supports_mm3 / 1000, "cm3", powder.price_per_cm3,
                  f"{key}.price_per_cm3")  # fmt: skip
        items.add("recoating", "Recoating, machine time", builds * hours, "h", powder.machine_per_h,
                  f"{key}.machine_per_h")  # fmt: skip
        add_finishing(items, part, surface, quantity, f"powder-bed.finishes.{finish}")
        days = rates.lead_time_days + surface.days + extra_days(builds, machine.builds_per_day)
        mass = finished_mass_g(part.volume_mm3, part, surface, powder.density_g_cm3)
        return ProcessCost(items.lines, days, mass, ZERO)


def powder_plan(part: PricedPart, rates: PowderBed) -> PowderPlan:
    """Place the part in the build: in the first orientation that fits, or lying on any side of its box."""
    width, depth, height = rates.machine.build_box_mm
    a, b, c = part.box_mm
    support = part.placements[-1].support_mm3
    lying = (Placement(c, (a, b), support), Placement(b, (a, c), support), Placement(a, (b, c), support))
    capacity, chosen = 0, part.placements[0]
    for placement in (*part.placements, *lying):
        if placement.height_mm <= height:
            capacity = grid_capacity((width, depth), placement.footprint_mm, rates.machine.gap_mm)
        if capacity:
            chosen = placement
            break
    gap = rates.machine.gap_mm
    box_mm3 = max(ZERO, (a + gap) * (b + gap) * (c + gap))
    return PowderPlan(part, rates, chosen, capacity, box_mm3)
