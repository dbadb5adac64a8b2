"""The price interval while stages still run: prices of the cheapest and the most expensive part that fit the results.

Both bounds are quotes: a :class:`PartialAnalysis` is completed to an Analysis with the favourable or the unfavourable
bound of a range for each missing measure, and priced as usual. So there is one arithmetic of prices, and when nothing
is missing both bounds are the quote's total. The ranges hold for most models, not for all; their derivation, and how
often the price lies outside, is in ``docs/decisions/0007-price-interval.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis import schema as report
from pricing_engine.analysis.progress import PartialAnalysis, Stage
from pricing_engine.analysis.schema import Point
from pricing_engine.pricing.book import PriceBook
from pricing_engine.pricing.quote import Request, check_request, quote
from pricing_engine.processes.errors import PricingError
from pricing_engine.processes.money import CENT, ZERO, exact
from pricing_engine.processes.part import finite_or_none

# Overlapping shells count more than once in the signed volume and the area: the solid has at least these shares.
OVERLAP_SHARE, OVERLAP_AREA_SHARE = 0.80, 0.90
# A part that fills its box to this share is a block, or has overlapping shells: then this share, or half of its box.
FULL, FULL_SHARE, FULL_FILL = 0.65, 0.55, 0.5
ROUNDING = 1e-3  # of the volume: by which the true volume may otherwise exceed the signed one
# A hole or a flipped patch shifts the signed volume by a cone from the box's centre, times this for cancellation.
OPEN_SHIFT = 2.0
MIN_FILL = 0.01  # of the box or hull, where the signed volume is meaningless
# Minimum share that a ball reaches: it falls with the logarithm of its radius over the mean thickness, volume / area;
MIN_REACH, REACH_SLOPE = 0.58, 0.13
FLAT_REACH = 0.9  # and with its radius over the width of a facet, as it reaches the middle of a wide one
SUPPORT_SHARE = 0.10  # of the box, at most; the minimum is 0
TRAPPED_SHARE = 0.10  # of the box, at most; with the hull, its volume minus the part
HEIGHT_SHARE = 0.9  # of the box's extent in the best orientation's direction, at least
CLEAR_HEIGHT_SHARE = 0.85  # the same, along an axis where the part needs no support
# A part of this height along that axis, of its longest side, may lean instead: lower, with a larger footprint.
STOCKY_SHARE, LEANING_HEIGHT_SHARE = 0.75, 0.68
CLEAN = 1e-9  # rounding of the signed volume of a clean body

_AXES: tuple[Point, ...] = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_CORNER: Point = (math.sqrt(1 / 3),) * 3

Key = tuple[str, int]
"""An option of a request: material and quantity."""
Range = tuple[float, float]
LOW, HIGH = 0, 1


class PoseRange(NamedTuple):
    """A possible best orientation: direction down, and the ranges of height (mm) and support (mm3)."""

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
        """Return the interval's length as a share of its middle."""
        return float(2 * (self.high - self.low) / (self.high + self.low)) if self.high else 0.0

    def per_piece(self, quantity: int) -> Interval:
        """Return the interval of the unit price of an order of ``quantity``, rounded as the quote's."""
        with exact():
            low, high = ((bound / quantity).quantize(CENT, ROUND_HALF_UP) for bound in (self.low, self.high))
        return Interval(low, high)

    def clamped_to(self, previous: Interval | None) -> Interval:
        """Return the intersection with ``previous``, or the bound of ``previous`` nearest to this interval."""
        if previous is None:
            return self
        low, high = (min(max(bound, previous.low), previous.high) for bound in (self.low, self.high))
        return Interval(low, high)


def price_interval(
    partial: PartialAnalysis, book: PriceBook, request: Request, previous: Interval | None
) -> Interval | None:
    """Return the interval of the total for a request of one material and one quantity; see :func:`price_intervals`.

    Raises PricingError for a request of several.
    """
    if request.materials is None or len(set(request.materials)) != 1 or len(set(request.quantities)) != 1:
        raise PricingError("a price interval is for one material and one quantity; name one of each")
    key = request.materials[0], request.quantities[0]
    intervals = price_intervals(partial, book, request, None if previous is None else {key: previous})
    return None if intervals is None else intervals[key]


def price_intervals(
    partial: PartialAnalysis, book: PriceBook, request: Request, previous: Mapping[Key, Interval] | None
) -> dict[Key, Interval] | None:
    """Return the interval of each option's total, within the one in ``previous``; None if the model can't be priced.

    For a complete PartialAnalysis both bounds are the quote's total, unless ``previous`` did not contain it: then they
    are the nearest bound of ``previous``, and the quote, which is exact, differs. Raises as :func:`quote` does.
    """
    check_request(book, request)
    found = _bounds(partial, book, request)
    if found is None:
        return None
    return {key: interval.clamped_to(previous.get(key) if previous else None) for key, interval in found.items()}


def _bounds(partial: PartialAnalysis, book: PriceBook, request: Request) -> dict[Key, Interval] | None:
    """Price both bounds of every orientation: from the lowest lower one to the highest upper one."""
    if not _priceable(partial):
        return None
    poses = _poses(partial)
    upper = [_totals(_filled(partial, pose, HIGH), book, request) for pose in poses]
    lower = upper
    if not partial.complete:
        lower = [_totals(_filled(partial, pose, LOW), book, request) for pose in poses]
    found = {}
    for key in upper[0]:
        high = max(totals[key] for totals in upper)
        found[key] = Interval(min(high, *(totals.get(key, ZERO) for totals in lower)), high)
    return found or None


def _totals(analysis: report.Analysis, book: PriceBook, request: Request) -> dict[Key, Decimal]:
    """Return the options' totals; empty if the model can't be priced."""
    options = quote(analysis, book, request).options
    return {(o.material, o.quantity): o.total for o in options if o.lead_time_days is not None}


def _priceable(partial: PartialAnalysis) -> bool:
    """Return whether the model has a price, or may still get one."""
    if Stage.GEOMETRY in partial.finished and (finite_or_none(partial.volume_mm3) or 0.0) <= 0:
        return False
    as_given = partial.signed_volume_mm3, partial.open_area_mm2, partial.area_mm2, math.prod(_sides(partial))
    return all(map(math.isfinite, as_given)) and min(as_given[2:]) > 0


def _sides(partial: PartialAnalysis) -> Point:
    (x0, y0, z0), (x1, y1, z1) = partial.bbox_min_mm, partial.bbox_max_mm
    return x1 - x0, y1 - y0, z1 - z0


def _volume(partial: PartialAnalysis) -> Range:
    """Return the volume (mm3); before the geometry stage from the signed volume, as far as the surface is closed."""
    if partial.volume_mm3 is not None:
        return partial.volume_mm3, partial.volume_mm3
    signed, sides = abs(partial.signed_volume_mm3), _sides(partial)
    if partial.clean and signed > 0:
        return (1 - CLEAN) * signed, (1 + CLEAN) * signed
    maximum = partial.hull_volume_mm3 or math.prod(sides)
    shift = OPEN_SHIFT * partial.open_area_mm2 * math.hypot(*sides) / 6
    minimum = min(_min_share(partial, OVERLAP_SHARE) * signed, FULL_FILL * maximum)
    low, high = minimum - shift, (1 + ROUNDING) * signed + shift
    minimum = min(MIN_FILL * maximum, minimum) or MIN_FILL * maximum
    return max(low, minimum), max(min(high, maximum), minimum)


def _area(partial: PartialAnalysis) -> Range:
    """Return the area (mm2) of the solid's surface."""
    if partial.surface_area_mm2 is not None:
        return partial.surface_area_mm2, partial.surface_area_mm2
    return _min_share(partial, OVERLAP_AREA_SHARE) * partial.area_mm2, (1 + CLEAN) * partial.area_mm2


def _min_share(partial: PartialAnalysis, default: float) -> float:
    """Return the minimum share of the signed volume, or of the area, that the solid has."""
    if partial.clean:
        return 1 - CLEAN
    return FULL_SHARE if abs(partial.signed_volume_mm3) > FULL * math.prod(_sides(partial)) else default


def _reach(partial: PartialAnalysis, bound: int) -> dict[str, float | None]:
    """Return the share of the area by ball radius (mm)."""
    if Stage.FINISHING in partial.finished:
        return dict(partial.reach)
    return {radius: 1.0 if bound == LOW else _min_reach(partial, float(radius)) for radius in partial.reach}


def _min_reach(partial: PartialAnalysis, radius_mm: float) -> float:
    """Return the minimum share that a ball reaches: larger for a smaller ball over the thickness or facet width."""
    for_thickness = radius_mm * partial.area_mm2 / _volume(partial)[HIGH]
    for_facets = radius_mm / math.sqrt(partial.area_mm2 / partial.facets)
    by_thickness = MIN_REACH - REACH_SLOPE * math.log(for_thickness) if for_thickness > 0 else 1.0
    return min(max(by_thickness, FLAT_REACH - for_facets, 0.0), 1.0)


def _poses(partial: PartialAnalysis) -> list[PoseRange]:
    """Return the best orientation, or its candidates before the stage is finished.

    A part without overhang along an axis of the box stands along it or, if stocky, leans. Otherwise it lies flat,
    stands upright or on a corner.
    """
    if Stage.ORIENTATION in partial.finished:
        height, support = partial.best_height_mm, partial.best_support_mm3
        return [PoseRange(partial.best_down, (height, height), (support, support))]
    sides = _sides(partial)
    if partial.clear_down is not None:
        high = _extent_along(partial.clear_down, sides)
        standing = PoseRange(partial.clear_down, (CLEAR_HEIGHT_SHARE * high, high), (0.0, 0.0))
        leaning = PoseRange(_CORNER, (LEANING_HEIGHT_SHARE * high, high), (0.0, 0.0))
        return [standing, leaning] if high > STOCKY_SHARE * max(sides) else [standing]
    support_mm3 = 0.0, SUPPORT_SHARE * math.prod(sides)
    poses = []
    for down in (_AXES[sides.index(min(sides))], _AXES[sides.index(max(sides))], _CORNER):
        high = _extent_along(down, sides)
        poses.append(PoseRange(down, (HEIGHT_SHARE * high, high), support_mm3))
    return poses


def _extent_along(down: Point, sides: Point) -> float:
    """Return the extent (mm) of the box in a direction."""
    return sum(abs(u) * side for u, side in zip(down, sides, strict=True))


def _filled(partial: PartialAnalysis, pose: PoseRange, bound: int) -> report.Analysis:
    """Return the Analysis with the lower or upper ``bound`` of missing measures and ``pose`` as best orientation."""
    sides, unknown = _sides(partial), report.ThicknessSummary(None, None, None)
    as_given, trapped = partial.given_support_mm3, partial.trapped_mm3
    if Stage.ORIENTATION not in partial.finished:
        as_given = (0.0, SUPPORT_SHARE * math.prod(sides))[bound]
    if Stage.SLICES not in partial.finished:
        trapped = (0.0, _max_trapped(partial))[bound]
    return report.Analysis(
        engine_version=ENGINE_VERSION,
        analysis_id="",
        model=report.Model("", "", "mm", partial.facets, 0, 0),
        integrity=report.Integrity(True, True, 1, 2, 0, 0, 0, 0, None, False),
        geometry=report.Geometry(
            signed_volume_mm3=partial.signed_volume_mm3,
            volume_mm3=_volume(partial)[bound],
            area_mm2=partial.area_mm2,
            bbox_min_mm=partial.bbox_min_mm,
            bbox_max_mm=partial.bbox_max_mm,
            hull_volume_mm3=partial.hull_volume_mm3,
            center_of_mass_mm=None,
            surface_area_mm2=_area(partial)[bound],
        ),
        thickness=report.Thickness(unknown, unknown, {}),
        orientation=report.Orientation(
            candidates=0,
            as_given=report.OrientationScore(as_given, None, sides[2]),
            best=report.BestOrientation(pose.down, pose.support_mm3[bound], None, pose.height_mm[bound]),
        ),
        slices=report.Slices(0.0, None, None, None, None, None, trapped),
        finishing=report.Finishing(_reach(partial, bound)),
    )


def _max_trapped(partial: PartialAnalysis) -> float:
    """Return the maximum trapped volume (mm3): none without overhangs, as a hollow has a ceiling."""
    if partial.clear_down is not None:
        return 0.0
    if partial.volume_mm3 is not None and partial.hull_volume_mm3 is not None:
        return max(partial.hull_volume_mm3 - partial.volume_mm3, 0.0)
    return TRAPPED_SHARE * math.prod(_sides(partial))
