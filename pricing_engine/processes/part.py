"""Measures of one piece that processes price, as exact decimals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from pricing_engine.analysis.schema import Analysis, Point
from pricing_engine.processes.money import ZERO, measured


@dataclass(frozen=True, slots=True)
class Extras:
    """Extras per piece: letters engraved, stones by setting, a plating; and the ordering partner."""

    engraving_letters: int = 0
    stones: Mapping[str, int] | None = None
    plating: str | None = None
    partner: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """An orientation on a platform: height and footprint box (mm), space under overhangs (mm3)."""

    height_mm: Decimal
    footprint_mm: tuple[Decimal, Decimal]
    support_mm3: Decimal


@dataclass(frozen=True, slots=True)
class PricedPart:
    """One piece: volume (mm3), area (mm2), box (mm), reach by ball radius, and its placements, preferred first."""

    volume_mm3: Decimal
    area_mm2: Decimal
    box_mm: tuple[Decimal, Decimal, Decimal]
    reach: Mapping[Decimal, Decimal]
    placements: tuple[Placement, ...]
    trapped_mm3: Decimal

    @property
    def volume_cm3(self) -> Decimal:
        """Return the volume in cm3."""
        return self.volume_mm3 / 1000

    @property
    def area_cm2(self) -> Decimal:
        """Return the area in cm2."""
        return self.area_mm2 / 100


def finite_or_none(value: float | None) -> float | None:
    """Return the value, or None if it is missing or not finite."""
    return value if value is not None and math.isfinite(value) else None


def part_of(analysis: Analysis) -> PricedPart | None:
    """Return the piece, or None if it can't be priced: no volume, area or box, or a volume of zero or less."""
    geometry = analysis.geometry
    volume, area = finite_or_none(geometry.volume_mm3), finite_or_none(geometry.surface_area_mm2)
    low, high = geometry.bbox_min_mm, geometry.bbox_max_mm
    if volume is None or area is None or low is None or high is None or not all(map(math.isfinite, (*low, *high))):
        return None
    exact_volume = measured(volume)
    if exact_volume <= ZERO:
        return None
    sides = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
    reach = {
        Decimal(radius).normalize(): measured(share)
        for radius, share in analysis.finishing.reach_area_fraction.items()
        if finite_or_none(share) is not None and share is not None
    }
    return PricedPart(
        volume_mm3=exact_volume,
        area_mm2=measured(area),
        box_mm=(measured(sides[0]), measured(sides[1]), measured(sides[2])),
        reach=reach,
        placements=_placements(analysis, sides),
        trapped_mm3=max(ZERO, measured(finite_or_none(analysis.slices.trapped_volume_mm3) or 0.0)),
    )


def _placements(analysis: Analysis, sides: Point) -> tuple[Placement, ...]:
    """Return the best orientation, if any, then the model as given."""
    best, original = analysis.orientation.best, analysis.orientation.as_given
    as_given = Placement(
        measured(sides[2]),
        (measured(sides[0]), measured(sides[1])),
        measured(finite_or_none(original.support_volume_mm3) or 0.0),
    )
    height = finite_or_none(best.height_mm)
    if best.down is None or height is None:
        return (as_given,)
    footprint = _footprint(best.down, sides)
    return Placement(measured(height), footprint, measured(finite_or_none(best.support_volume_mm3) or 0.0)), as_given


def _footprint(down: Point, sides: Point) -> tuple[Decimal, Decimal]:
    """Return the footprint of the box rotated so that ``down`` points at the platform: never less than the part's.

    The Analysis has no rotated box of the part itself, so this is exact for the axes and an upper bound for others.
    """
    axis = min(range(3), key=lambda i: abs(down[i]))
    x, y, z = down
    across = ((0.0, z, -y), (-z, 0.0, x), (y, -x, 0.0))[axis]
    length = math.sqrt(across[0] ** 2 + across[1] ** 2 + across[2] ** 2)
    if length == 0.0:
        return measured(sides[0]), measured(sides[1])
    u = (across[0] / length, across[1] / length, across[2] / length)
    v = (y * u[2] - z * u[1], z * u[0] - x * u[2], x * u[1] - y * u[0])
    return measured(_extent(u, sides)), measured(_extent(v, sides))


def _extent(direction: Point, sides: Point) -> float:
    return abs(direction[0]) * sides[0] + abs(direction[1]) * sides[1] + abs(direction[2]) * sides[2]
