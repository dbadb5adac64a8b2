"""What a measurement says about making the part: findings with a limit, a figure and a place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pricing_engine.analysis.model import Check, Geometry, Integrity, Point, Severity, Slices, Thickness
from pricing_engine.analysis.slices import MOST_LAYERS
from pricing_engine.mesh.parsed import WARNING_NOTES
from pricing_engine.mesh.repair import UNDECIDED

_UNIT_SMALLEST_MM = 1.0
_UNIT_LARGEST_MM = 1000.0
_OVERLAP_SHARE = 1e-6
_THIN_LIMIT_MM = 0.8
_THIN_SHARE = 0.01

Places = Mapping[str, tuple[Point, ...]]


def find_checks(
    integrity: Integrity,
    geometry: Geometry,
    thickness: Thickness,
    slices: Slices,
    notes: Mapping[str, str],
    where: Places,
    estimated: bool,
    not_measured: Collection[str] = (),
) -> tuple[Check, ...]:
    """All findings, in a fixed order.

    ``where`` maps a check's code to points on the model (mm); ``estimated``: the volume is one of an open surface;
    ``not_measured``: stages that ended at their budget of work.
    """
    found = [
        *(Check(code, "warning" if code in WARNING_NOTES else "info", message) for code, message in notes.items()),
        *_integrity_checks(integrity),
        *_volume_checks(geometry, estimated),
        *_size_checks(geometry),
        *_wall_checks(thickness),
        *_layer_checks(geometry, slices),
        *_budget_checks(geometry, slices, not_measured),
    ]
    return tuple(Check(c.code, c.severity, c.message, c.measured, c.limit, where.get(c.code, ())) for c in found)


def _integrity_checks(integrity: Integrity) -> Iterator[Check]:
    counted: tuple[tuple[str, Severity, int | None, str], ...] = (
        ("open_edges", "warning", integrity.boundary_edges, "{} edges belong to one facet only: the surface has holes"),
        ("non_manifold_edges", "warning", integrity.non_manifold_edges, "{} edges are shared by three or more facets"),
        ("self_intersections", "warning", integrity.self_intersecting_facets, "{} facets run through others"),
        ("degenerate_facets", "info", integrity.degenerate_facets, "{} facets have no area"),
        ("duplicate_facets", "info", integrity.duplicate_facets, "{} facets repeat another one"),
    )
    for code, severity, count, message in counted:
        if count:
            yield Check(code, severity, message.format(f"{count:,}"), float(count), 0.0)
    if integrity.self_intersecting_facets is None:
        text = "so many facets lie on or beside one another that it was not measured which run through others"
        yield Check("self_intersections_unknown", "warning", text)
    if not integrity.winding_consistent:
        yield Check("winding_inconsistent", "warning", "neighbouring facets disagree on which side is outside")
    if integrity.inverted:
        yield Check("inside_out", "warning", "an outer shell is inside out; it was turned")
    for repair in integrity.repairs:
        if repair.code == UNDECIDED:
            text = f"{repair.count:,} shells are inside out among too many others to tell which are cavities"
            yield Check("inside_out_unknown", "warning", text, float(repair.count))
            continue
        yield Check(
            "repaired", "info", f"repaired: {repair.code.replace('_', ' ')} ({repair.count:,})", float(repair.count)
        )


def _volume_checks(geometry: Geometry, estimated: bool) -> Iterator[Check]:
    volume, signed = geometry.volume_mm3, geometry.signed_volume_mm3
    if volume is None:
        text = (
            "the surface runs through itself so often that the solid can't be told: unite its shells and export again"
        )
        yield Check("tangled", "error", text)
        return
    if volume <= 0:
        yield Check("no_volume", "error", "the model encloses no volume, so there is nothing to make", volume, 0.0)
        return
    if estimated:
        yield Check("volume_estimated", "warning", "the model is not closed: its volume is an estimate", volume)
    elif signed is not None and signed - volume > _OVERLAP_SHARE * volume:
        share = (signed - volume) / volume
        text = f"overlapping shells would be charged {share:.1%} too much metal; the true volume counts them once"
        yield Check("overlapping_shells", "info", text, signed - volume, 0.0)


def _size_checks(geometry: Geometry) -> Iterator[Check]:
    if geometry.bbox_min_mm is None or geometry.bbox_max_mm is None:
        return
    size = max(b - a for a, b in zip(geometry.bbox_min_mm, geometry.bbox_max_mm, strict=True))
    if size < _UNIT_SMALLEST_MM:
        yield Check(
            "unit_suspect", "warning", f"the model is {size:.3g} mm across: is its unit mm?", size, _UNIT_SMALLEST_MM
        )
    elif size > _UNIT_LARGEST_MM:
        yield Check(
            "unit_suspect", "warning", f"the model is {size:.6g} mm across: is its unit mm?", size, _UNIT_LARGEST_MM
        )


def _wall_checks(thickness: Thickness) -> Iterator[Check]:
    share = thickness.thin_area_fraction.get(str(_THIN_LIMIT_MM))
    if share is not None and share > _THIN_SHARE:
        text = f"{share:.1%} of the surface belongs to walls thinner than {_THIN_LIMIT_MM} mm"
        yield Check("thin_walls", "warning", text, share, _THIN_SHARE)


def _layer_checks(geometry: Geometry, slices: Slices) -> Iterator[Check]:
    if _too_high(geometry, slices):
        text = f"the model is too high for layers of {slices.layer_height_mm:g} mm: they were not measured"
        yield Check("too_many_layers", "warning", text)
    if slices.trapped_volume_mm3:
        text = f"{slices.trapped_volume_mm3:.2f} mm3 of space has no way out: resin, powder or investment stays in it"
        yield Check("trapped_volume", "warning", text, slices.trapped_volume_mm3, 0.0)
    if slices.islands:
        yield Check(
            "islands",
            "info",
            f"{slices.islands:,} places start in mid-air as given and need support",
            float(slices.islands),
            0.0,
        )


def _too_high(geometry: Geometry, slices: Slices) -> bool:
    low, high = geometry.bbox_min_mm, geometry.bbox_max_mm
    if slices.layers is not None or geometry.volume_mm3 is None or low is None or high is None:
        return False
    return (high[2] - low[2]) / slices.layer_height_mm > MOST_LAYERS


def _budget_checks(geometry: Geometry, slices: Slices, not_measured: Collection[str]) -> Iterator[Check]:
    """What took more work than any model that can be made: a person has to look."""
    why = "too many facets lie in, on or across one another"
    messages = {
        "thickness": f"the wall thickness was not measured: {why}",
        "orientation": f"the best orientation was not found: {why}",
        "slices": f"islands and trapped space were not measured: {why}, or reach through thousands of layers",
        "finishing": f"how much of the surface a tool reaches was not measured: {why}",
    }
    for stage, message in messages.items():
        if stage in not_measured and not (stage == "slices" and _too_high(geometry, slices)):
            yield Check(f"{stage}_not_measured", "warning", message)
