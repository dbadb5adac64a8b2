"""Interface of a process to the quote, and the finishing that all processes share."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, Protocol

from pricing_engine.processes.lines import LineItems, PriceLine
from pricing_engine.processes.money import ONE, ZERO
from pricing_engine.processes.part import Extras, PricedPart
from pricing_engine.processes.price_tables import Finish


class VerdictReason(NamedTuple):
    """A reason of a verdict. ``error`` rejects, ``warning`` requires a review, ``info`` has no effect."""

    code: str
    severity: str
    message: str


class ProcessCost(NamedTuple):
    """Cost of one option: the order's lines, and the masses (g) of one piece."""

    lines: list[PriceLine]
    lead_time_days: int
    finished_mass_g: Decimal
    metal_charged_g: Decimal


class ProcessPlan(Protocol):
    """A part placed on a process's machines once, then priced for each material and quantity."""

    def reasons(self, material: str) -> list[VerdictReason]:
        """Return the reasons of machines and material against this part."""

    def cost(self, material: str, finish: str, quantity: int, extras: Extras) -> ProcessCost:
        """Return the lines for ``quantity`` pieces."""


def add_finishing(items: LineItems, part: PricedPart, finish: Finish, quantity: int, key: str) -> None:
    """Add the area that the machine tool reaches, and the remainder by hand; all by hand if the reach is missing."""
    reached = min(part.reach.get(finish.tool_radius_mm.normalize(), ZERO), ONE)
    area = part.area_cm2 * quantity
    items.add("finish_machine", f"{finish.label}, by machine", area * reached, "cm2", finish.machine_per_cm2,
              f"{key}.machine_per_cm2")  # fmt: skip
    items.add("finish_hand", f"{finish.label}, by hand", area * (ONE - reached), "cm2", finish.hand_per_cm2,
              f"{key}.hand_per_cm2")  # fmt: skip
    items.add("finish", finish.label, quantity, "piece", finish.per_piece, f"{key}.per_piece")


def finished_mass_g(cast_volume_mm3: Decimal, part: PricedPart, finish: Finish, density_g_cm3: Decimal) -> Decimal:
    """Return the mass after the finish has removed ``removal_mm`` from the entire surface."""
    return max(ZERO, cast_volume_mm3 - part.area_mm2 * finish.removal_mm) * density_g_cm3 / 1000
