"""The price while stages still run: what the cheapest and the dearest part would cost that fit what is known so far.

Both ends are quotes: a :class:`PartialAnalysis` is filled up to an Analysis with the favourable and with the
unfavourable end of a range for each measure that is still missing, and priced as any other. So there is one arithmetic
of prices, and when nothing is missing both ends are the quote's total. The ranges hold for most models, not for all;
how they were found, and how often the price lies outside, is in ``docs/decisions/0007-price-interval.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis import schema as report
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.analysis.schema import Point
from pricing_engine.pricing.book import PriceBook
from pricing_engine.pricing.quote import Request, check_request, quote
from pricing_engine.processes.errors import PricingError
from pricing_engine.processes.money import CENT, ZERO, exact
from pricing_engine.processes.part import known

# Overlapping shells count more than once in the signed volume and the area: the solid has at least these shares.
OVERLAP_SHARE, OVERLAP_AREA_SHARE = 0.80, 0.90
# A part that fills its box so far is a block, or has shells that overlap; then it has this share, or half of its box.
FULL, FULL_SHARE, FULL_FILL = 0.65, 0.55, 0.5
ROUNDING = 1e-3  # of the volume: what else the true volume may exceed the signed by
# A hole or a turned patch shifts the signed volume by a cone from the box's centre, times this for what cancels out.
OPEN_SHIFT = 2.0
LEAST_FILL = 0.01  # of the box or hull, where the signed volume says nothing
# Least share that a ball reaches: it falls with the logarithm of its radius over the mean thickness, volume / area;
REACH_LEAST, REACH_SLOPE = 0.58, 0.13
FLAT_REACH = 0.9  # and with its radius over the width of a facet, for it reaches the middle of a wide one
SUPPORT_SHARE = 0.10  # of the box, at most; the least is none
TRAPPED_SHARE = 0.10  # of the box, at most; when the hull is known all of it but the part
HEIGHT_SHARE = 0.9  # of the box's extent in the best orientation's direction, at least
CLEAR_HEIGHT_SHARE = 0.85  # the same, along an axis where the part needs no support
# A part so high along that axis, of its longest side, may lean instead: then it may be lower, and needs more room.
STOCKY, LEANING_HEIGHT_SHARE = 0.75, 0.68
CLEAN = 1e-9  # rounding of the signed volume of a clean body

_AXES: tuple[Point, ...] = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_CORNER: Point = (math.sqrt(1 / 3),) * 3

Key = tuple[str, int]
"""An option of a request: material and quantity."""
Range = tuple[float, float]
CHEAP, DEAR = 0, 1


class Pose(NamedTuple):
    """A best orientation that may be: its direction down, height (mm) and support (mm3)."""

    down: Point | None
    height_mm: tuple[float | None, float | None]
    support_mm3: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """The total of an order lies from ``low`` to ``high``, in the price book's currency."""

    low: Decimal
    high: Decimal

    @property
    def width(self) -> float:
        """The interval's length as a share of its middle."""
        return float(2 * (self.high - self.low) / (self.high + self.low)) if self.high else 0.0

    def per_piece(self, quantity: int) -> Interval:
        """Return the interval of the unit price of an order of ``quantity``, rounded as the quote's."""
        with exact():
            low, high = ((end / quantity).quantize(CENT, ROUND_HALF_UP) for end in (self.low, self.high))
        return Interval(low, high)

    def inside(self, before: Interval | None) -> Interval:
        """Return what of this interval lies in ``before``: where none does, the end of ``before`` next to it."""
        if before is None:
            return self
        low, high = (min(max(end, before.low), before.high) for end in (self.low, self.high))
        return Interval(low, high)


def price_interval(
    partial: PartialAnalysis, book: PriceBook, request: Request, before: Interval | None
) -> Interval | None:
    """Return the interval of the total for a request of one material and one quantity; see :func:`price_intervals`.

    Raises PricingError for a request of several.
    """
    if request.materials is None or len(set(request.materials)) != 1 or len(set(request.quantities)) != 1:
        raise PricingError("a price interval is for one material and one quantity; name one of each")
    key = request.materials[0], request.quantities[0]
    intervals = price_intervals(partial, book, request, None if before is None else {key: before})
    return None if intervals is None else intervals[key]


def price_intervals(
    partial: PartialAnalysis, book: PriceBook, request: Request, before: Mapping[Key, Interval] | None
) -> dict[Key, Interval] | None:
    """Return the interval of each option's total, inside the one in ``before``; None if the model can't be priced.

    With a complete Partial both ends are the quote's total, unless ``before`` had missed it: then they are the end of
    ``before`` next to it, and the quote, which is exact, differs. Raises as :func:`quote` does.
    """
    check_request(book, request)
    found = _bounds(partial, book, request)
    if found is None:
        return None
    return {key: interval.inside(before.get(key) if before else None) for key, interval in found.items()}


def _bounds(partial: PartialAnalysis, book: PriceBook, request: Request) -> dict[Key, Interval] | None:
    """Price both ends of every orientation: from the lowest cheap one to the highest dear one."""
    if not _priceable(partial):
        return None
    poses = _poses(partial)
    dear = [_totals(_filled(partial, pose, DEAR), book, request) for pose in poses]
    cheap = dear
    if not partial.complete:
        cheap = [_totals(_filled(partial, pose, CHEAP), book, request) for pose in poses]
    found = {}
    for key in dear[0]:
        high = max(totals[key] for totals in dear)
        found[key] = Interval(min(high, *(totals.get(key, ZERO) for totals in cheap)), high)
    return found or None


def _totals(analysis: report.Analysis, book: PriceBook, request: Request) -> dict[Key, Decimal]:
    """Return the options' totals; none where the model can't be priced."""
    options = quote(analysis, book, request).options
    return {(o.material, o.quantity): o.total for o in options if o.lead_time_days is not None}


def _priceable(partial: PartialAnalysis) -> bool:
    """Return whether the model has a price, or may still turn out to have one."""
    if "geometry" in partial.ended and (known(partial.volume_mm3) or 0.0) <= 0:
        return False
    given = partial.signed_volume_mm3, partial.open_area_mm2, partial.area_mm2, math.prod(_sides(partial))
    return all(map(math.isfinite, given)) and min(given[2:]) > 0


def _sides(partial: PartialAnalysis) -> Point:
    (x0, y0, z0), (x1, y1, z1) = partial.bbox_min_mm, partial.bbox_max_mm
    return x1 - x0, y1 - y0, z1 - z0


def _volume(partial: PartialAnalysis) -> Range:
    """Volume (mm3): before the geometry stage ends from the signed volume, as far as the surface is closed."""
    if partial.volume_mm3 is not None:
        return partial.volume_mm3, partial.volume_mm3
    signed, sides = abs(partial.signed_volume_mm3), _sides(partial)
    if partial.clean and signed > 0:
        return (1 - CLEAN) * signed, (1 + CLEAN) * signed
    most = partial.hull_volume_mm3 or math.prod(sides)
    shift = OPEN_SHIFT * partial.open_area_mm2 * math.hypot(*sides) / 6
    least = min(_least_share(partial, OVERLAP_SHARE) * signed, FULL_FILL * most)
    low, high = least - shift, (1 + ROUNDING) * signed + shift
    least = min(LEAST_FILL * most, least) or LEAST_FILL * most
    return max(low, least), max(min(high, most), least)


def _area(partial: PartialAnalysis) -> Range:
    """Area (mm2) of the solid's surface."""
    if partial.surface_area_mm2 is not None:
        return partial.surface_area_mm2, partial.surface_area_mm2
    return _least_share(partial, OVERLAP_AREA_SHARE) * partial.area_mm2, (1 + CLEAN) * partial.area_mm2


def _least_share(partial: PartialAnalysis, usual: float) -> float:
    """Share of the signed volume, or of the area, that the solid has at least."""
    if partial.clean:
        return 1 - CLEAN
    return FULL_SHARE if abs(partial.signed_volume_mm3) > FULL * math.prod(_sides(partial)) else usual


def _reach(partial: PartialAnalysis, end: int) -> dict[str, float | None]:
    """Share of the area by ball radius (mm)."""
    if "finishing" in partial.ended:
        return dict(partial.reach)
    return {radius: 1.0 if end == CHEAP else _least_reach(partial, float(radius)) for radius in partial.reach}


def _least_reach(partial: PartialAnalysis, radius_mm: float) -> float:
    """Share that a ball reaches at least: the smaller for the part's thickness or for its facets, the more."""
    for_thickness = radius_mm * partial.area_mm2 / _volume(partial)[DEAR]
    for_facets = radius_mm / math.sqrt(partial.area_mm2 / partial.facets)
    by_thickness = REACH_LEAST - REACH_SLOPE * math.log(for_thickness) if for_thickness > 0 else 1.0
    return min(max(by_thickness, FLAT_REACH - for_facets, 0.0), 1.0)


def _poses(partial: PartialAnalysis) -> list[Pose]:
    """Return the best orientation; before it is found, those that it may be.

    Without support along an axis of the box the part stands on that, or, if stocky, leans as low. Otherwise it lies
    flat, stands upright or on a corner.
    """
    if "orientation" in partial.ended:
        height, support = partial.best_height_mm, partial.best_support_mm3
        return [Pose(partial.best_down, (height, height), (support, support))]
    sides = _sides(partial)
    if partial.clear_down is not None:
        high = _along(partial.clear_down, sides)
        standing = Pose(partial.clear_down, (CLEAR_HEIGHT_SHARE * high, high), (0.0, 0.0))
        leaning = Pose(_CORNER, (LEANING_HEIGHT_SHARE * high, high), (0.0, 0.0))
        return [standing, leaning] if high > STOCKY * max(sides) else [standing]
    support_mm3 = 0.0, SUPPORT_SHARE * math.prod(sides)
    poses = []
    for down in (_AXES[sides.index(min(sides))], _AXES[sides.index(max(sides))], _CORNER):
        high = _along(down, sides)
        poses.append(Pose(down, (HEIGHT_SHARE * high, high), support_mm3))
    return poses


def _along(down: Point, sides: Point) -> float:
    """Extent (mm) of the box in a direction."""
    return sum(abs(u) * side for u, side in zip(down, sides, strict=True))


def _filled(partial: PartialAnalysis, pose: Pose, end: int) -> report.Analysis:
    """Return the Analysis with the cheap or the dear ``end`` of what is missing, ``pose`` as its best orientation."""
    sides, unknown = _sides(partial), report.ThicknessSummary(None, None, None)
    given, trapped = partial.given_support_mm3, partial.trapped_mm3
    if "orientation" not in partial.ended:
        given = (0.0, SUPPORT_SHARE * math.prod(sides))[end]
    if "slices" not in partial.ended:
        trapped = (0.0, _most_trapped(partial))[end]
    return report.Analysis(
        engine_version=ENGINE_VERSION,
        analysis_id="",
        model=report.Model("", "", "mm", partial.facets, 0, 0),
        integrity=report.Integrity(True, True, 1, 2, 0, 0, 0, 0, None, False),
        geometry=report.Geometry(
            signed_volume_mm3=partial.signed_volume_mm3,
            volume_mm3=_volume(partial)[end],
            area_mm2=partial.area_mm2,
            bbox_min_mm=partial.bbox_min_mm,
            bbox_max_mm=partial.bbox_max_mm,
            hull_volume_mm3=partial.hull_volume_mm3,
            center_of_mass_mm=None,
            surface_area_mm2=_area(partial)[end],
        ),
        thickness=report.Thickness(unknown, unknown, {}),
        orientation=report.Orientation(
            candidates=0,
            as_given=report.OrientationScore(given, None, sides[2]),
            best=report.BestOrientation(pose.down, pose.support_mm3[end], None, pose.height_mm[end]),
        ),
        slices=report.Slices(0.0, None, None, None, None, None, trapped),
        finishing=report.Finishing(_reach(partial, end)),
    )


def _most_trapped(partial: PartialAnalysis) -> float:
    """Space (mm3) without a way out, at most: none where nothing overhangs, as the ceiling of a hollow would."""
    if partial.clear_down is not None:
        return 0.0
    if partial.volume_mm3 is not None and partial.hull_volume_mm3 is not None:
        return max(partial.hull_volume_mm3 - partial.volume_mm3, 0.0)
    return TRAPPED_SHARE * math.prod(_sides(partial))
