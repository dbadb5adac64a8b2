"""Typed tables of the price book for each process, validated when the book is loaded.

A field's annotation states its range. Money is in the book's currency; ``per_h``, ``per_g``, ``per_cm3``, ``per_cm2``
and ``per_piece`` state a rate's unit. Every table has the ``basis`` of its figures (a source, or "illustrative"), which
the loader checks and drops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

Positive = Annotated[Decimal, "above 0"]
NotNegative = Annotated[Decimal, "0 or more"]
Share = Annotated[Decimal, "above 0, at most 1"]
Fraction = Annotated[Decimal, "from 0 to 1"]
Days = Annotated[int, "0 or more"]
Size2 = tuple[Positive, Positive]
Size3 = tuple[Positive, Positive, Positive]


@dataclass(frozen=True, slots=True)
class ReviewLimits:
    """Limits beyond which a part needs a review: share of thin area, enclosed empty space."""

    thin_area_fraction: Fraction
    trapped_volume_mm3: NotNegative


@dataclass(frozen=True, slots=True)
class Printer:
    """A resin printer. An order pays for the share of the platform it fills, at least ``least_share``."""

    platform_mm: Size2
    height_mm: Positive
    gap_mm: NotNegative
    machine_per_h: NotNegative
    least_share: Share
    support_lift_mm: NotNegative
    support_density: Fraction
    runs_per_day: Positive


@dataclass(frozen=True)
class Resin:
    """A resin and its exposure; ``waste_fraction`` of it is lost in the vat and in washing."""

    layer_height_mm: Positive
    exposure_s: Positive
    initial_exposure_s: Positive
    price_per_cm3: NotNegative
    waste_fraction: Fraction


@dataclass(frozen=True, slots=True)
class Finish:
    """A surface finish: the area that a ball of ``tool_radius_mm`` reaches by machine, the remainder by hand."""

    label: str
    tool_radius_mm: NotNegative
    machine_per_cm2: NotNegative
    hand_per_cm2: NotNegative
    per_piece: NotNegative
    removal_mm: NotNegative
    days: Days


@dataclass(frozen=True)
class Wall:
    """Wall limits of a material: spots below ``min_wall_mm`` need a review, half below ``least_wall_mm`` rejects."""

    label: str
    density_g_cm3: Positive
    min_wall_mm: Positive
    least_wall_mm: Positive


@dataclass(frozen=True, slots=True)
class FineMetal:
    """A precious metal at its fine price."""

    label: str
    price_per_g: Positive


@dataclass(frozen=True, slots=True)
class CastingMaterial(Wall):
    """An alloy. Its metal costs ``fineness`` x the price of ``fine_metal``, or ``price_per_g`` without one."""

    cast_volume_fraction: Share
    casting_loss: Fraction
    sprue_return: Fraction
    melt_limit_g: Positive
    casting_fee_per_piece: NotNegative
    alloy_fee_per_g: NotNegative
    fine_metal: str | None = None
    fineness: Share | None = None
    price_per_g: Positive | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """The wax tree and its flask; an order pays for the share of trees it fills, at least ``least_share`` of one."""

    trunk_diameter_mm: Positive
    flask_inner_diameter_mm: Positive
    usable_height_mm: Positive
    wall_clearance_mm: NotNegative
    gap_mm: NotNegative
    sprue_length_mm: NotNegative
    sprue_volume_mm3: NotNegative
    trunk_volume_mm3: NotNegative
    part_volume_per_sprue_mm3: Positive
    per_flask: NotNegative
    least_share: Share
    trees_per_day: Positive


@dataclass(frozen=True, slots=True)
class Plating:
    """A galvanic coating of the entire surface, with one bath set-up per order."""

    label: str
    per_cm2: NotNegative
    setup_per_order: NotNegative
    days: Days


@dataclass(frozen=True, slots=True)
class StoneSetting:
    """Setting one stone that the customer supplies."""

    label: str
    per_stone: NotNegative


@dataclass(frozen=True, slots=True)
class Engraving:
    """Engraved letters, with one set-up per order."""

    per_letter: NotNegative
    setup_per_order: NotNegative
    days: Days


@dataclass(frozen=True, slots=True)
class Casting:
    """Lost-wax casting from a printed pattern."""

    label: str
    default_finish: str
    setup_per_order: NotNegative
    sprue_removal_per_sprue: NotNegative
    lead_time_days: Days
    limits: ReviewLimits
    printer: Printer
    pattern: Resin
    tree: Tree
    engraving: Engraving
    materials: Mapping[str, CastingMaterial]
    finishes: Mapping[str, Finish]
    platings: Mapping[str, Plating]
    settings: Mapping[str, StoneSetting]


@dataclass(frozen=True)
class ResinMaterial(Resin, Wall):
    """A resin sold as the part itself."""


@dataclass(frozen=True, slots=True)
class ResinPrint:
    """Direct print on a DLP or MSLA machine."""

    label: str
    default_finish: str
    setup_per_order: NotNegative
    cleaning_per_piece: NotNegative
    lead_time_days: Days
    limits: ReviewLimits
    printer: Printer
    materials: Mapping[str, ResinMaterial]
    finishes: Mapping[str, Finish]


@dataclass(frozen=True, slots=True)
class PowderMachine:
    """A powder-bed machine; parts of all orders share its builds."""

    build_box_mm: Size3
    gap_mm: NotNegative
    least_share: Share
    builds_per_day: Positive


@dataclass(frozen=True, slots=True)
class PowderMaterial(Wall):
    """A powder. ``packing_density``: the minimum share of its box that a part is charged for."""

    price_per_cm3: NotNegative
    packing_density: Fraction
    layer_height_mm: Positive
    recoat_s: NotNegative
    machine_per_h: NotNegative
    support_density: Fraction


@dataclass(frozen=True, slots=True)
class PowderBed:
    """Sintering or fusing powder (SLS, MJF, LPBF)."""

    label: str
    default_finish: str
    setup_per_order: NotNegative
    lead_time_days: Days
    limits: ReviewLimits
    machine: PowderMachine
    materials: Mapping[str, PowderMaterial]
    finishes: Mapping[str, Finish]
