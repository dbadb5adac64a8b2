"""Direct resin print (DLP or MSLA): the time of a run does not depend on the number of pieces on the platform."""

from __future__ import annotations

from dataclasses import dataclass

from pricing_engine.processes.lines import LineItems
from pricing_engine.processes.money import ZERO
from pricing_engine.processes.part import Extras, PricedPart
from pricing_engine.processes.price_tables import ResinPrint
from pricing_engine.processes.printing import ResinRun, extra_days, resin_run, shared_runs
from pricing_engine.processes.process import ProcessCost, ProcessPlan, VerdictReason, add_finishing, finished_mass_g


@dataclass(frozen=True, slots=True)
class ResinPlan(ProcessPlan):
    """A part placed on the platform; layer height and exposure, so the run, differ by resin."""

    part: PricedPart
    rates: ResinPrint
    runs: dict[str, ResinRun]

    def reasons(self, material: str) -> list[VerdictReason]:
        """Return a reason if the piece is too large for the machine."""
        if self.runs[material].capacity:
            return []
        return [
            VerdictReason("part_too_large", "error", "the piece does not fit on the platform in its best orientation")
        ]

    def cost(self, material: str, finish: str, quantity: int, extras: Extras) -> ProcessCost:
        """Return the order's lines; an oversized piece is priced as one per platform."""
        rates, run = self.rates, self.runs[material]
        resin, surface = rates.materials[material], rates.finishes[finish]
        platforms = shared_runs(quantity, run.capacity or 1, rates.printer.least_share)
        items = LineItems()
        items.add("setup", "Order set-up", 1, "order", rates.setup_per_order, "resin.setup_per_order")
        items.add("machine", "Print, machine time", platforms * run.hours, "h", rates.printer.machine_per_h,
                  "resin.printer.machine_per_h")  # fmt: skip
        items.add("resin", f"{resin.label} with supports", run.resin_cm3 * quantity, "cm3", resin.price_per_cm3,
                  f"resin.materials.{material}.price_per_cm3")  # fmt: skip
        items.add("cleaning", "Washing, curing, taking supports off", quantity, "piece", rates.cleaning_per_piece,
                  "resin.cleaning_per_piece")  # fmt: skip
        add_finishing(items, self.part, surface, quantity, f"resin.finishes.{finish}")
        days = rates.lead_time_days + surface.days + extra_days(platforms, rates.printer.runs_per_day)
        mass = finished_mass_g(self.part.volume_mm3, self.part, surface, resin.density_g_cm3)
        return ProcessCost(items.lines, days, mass, ZERO)


def resin_plan(part: PricedPart, rates: ResinPrint) -> ResinPlan:
    """Place the part on the platform once for each resin."""
    runs = {name: resin_run(part, rates.printer, resin) for name, resin in rates.materials.items()}
    return ResinPlan(part, rates, runs)
