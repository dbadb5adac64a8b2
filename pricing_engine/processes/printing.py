"""Printing on a platform, layer by layer: time per run, pieces per run, and the share of runs an order pays for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from pricing_engine.processes.money import ONE, ZERO
from pricing_engine.processes.part import Placement, PricedPart
from pricing_engine.processes.price_tables import Printer, Resin

TILT_S = Decimal(5)
LIFT_S_PER_MM = Decimal(5)
INITIAL_LAYERS = 3
FADING_LAYERS = 10


def whole_layers(height_mm: Decimal, layer_height_mm: Decimal) -> int:
    """Return the number of layers that cover ``height_mm``, rounded up."""
    return int((height_mm / layer_height_mm).to_integral_value(ROUND_CEILING))


def resin_print_seconds(height_mm: Decimal, resin: Resin) -> Decimal:
    """Return the time of one run as PrusaSlicer's SLA mode counts it.

    A layer takes its exposure + 5 s tilt + 5 s per mm of layer height. The first three layers have the initial
    exposure, which then fades over the next ten layers, by an eleventh of the difference each.
    """
    layers = whole_layers(height_mm, resin.layer_height_mm)
    extra = resin.initial_exposure_s - resin.exposure_s
    fading = min(max(layers - INITIAL_LAYERS, 0), FADING_LAYERS)
    elevenths = fading * (FADING_LAYERS + 1) - fading * (fading + 1) // 2
    full = min(layers, INITIAL_LAYERS) * extra + extra * elevenths / (FADING_LAYERS + 1)
    return layers * (resin.exposure_s + TILT_S + LIFT_S_PER_MM * resin.layer_height_mm) + full


def grid_capacity(platform: tuple[Decimal, Decimal], footprint: tuple[Decimal, Decimal], gap_mm: Decimal) -> int:
    """Return how many footprints fit on the platform in rows, all in one of two rotations."""

    def rows(space: Decimal, side: Decimal) -> int:
        return max(0, int(((space + gap_mm) / max(side + gap_mm, Decimal("0.001"))).to_integral_value(ROUND_FLOOR)))

    (width, depth), (x, y) = platform, footprint
    return max(rows(width, x) * rows(depth, y), rows(width, y) * rows(depth, x))


def shared_runs(quantity: int, capacity: int, min_share: Decimal) -> Decimal:
    """Return the runs (platforms, trees, builds) that ``quantity`` pieces pay for.

    Runs are shared between orders, so an order pays for the share it fills, at least ``min_share`` of one: the cost per
    piece never rises with the quantity.
    """
    return max(min_share, Decimal(quantity) / capacity)


def extra_days(runs: Decimal, runs_per_day: Decimal) -> int:
    """Return the days beyond the first that ``runs`` take."""
    return max(int((runs / runs_per_day).to_integral_value(ROUND_CEILING)) - 1, 0)


@dataclass(frozen=True, slots=True)
class ResinRun:
    """A part placed on a resin printer: pieces per run (0: it does not fit), hours per run, resin per piece (cm3)."""

    capacity: int
    hours: Decimal
    resin_cm3: Decimal


def resin_run(part: PricedPart, printer: Printer, resin: Resin) -> ResinRun:
    """Place the part in its first placement that fits; without one, in the first."""
    fallback = None
    for placement in part.placements:
        run = _run(part, placement, printer, resin)
        if run.capacity:
            return run
        fallback = fallback or run
    assert fallback is not None, "a part has at least one placement"
    return fallback


def _run(part: PricedPart, placement: Placement, printer: Printer, resin: Resin) -> ResinRun:
    lift = printer.support_lift_mm if placement.support_mm3 > ZERO else ZERO
    height = placement.height_mm + lift
    fits = height <= printer.height_mm
    supports = (placement.support_mm3 + lift * placement.footprint_mm[0] * placement.footprint_mm[1]) * (
        printer.support_density
    )
    return ResinRun(
        capacity=grid_capacity(printer.platform_mm, placement.footprint_mm, printer.gap_mm) if fits else 0,
        hours=resin_print_seconds(height, resin) / 3600,
        resin_cm3=(part.volume_mm3 + part.trapped_mm3 + supports) * (ONE + resin.waste_fraction) / 1000,
    )
