"""Derive checks from the measurements: findings with a limit, a measured value and locations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from pricing_engine.analysis.bodies import ONE_BODY, Bodies
from pricing_engine.analysis.progress import Stage
from pricing_engine.analysis.schema import Check, Geometry, Integrity, Point, Severity, Slices, Thickness
from pricing_engine.analysis.slices import MAX_LAYERS
from pricing_engine.analysis.units import doubt_unit
from pricing_engine.mesh.raw_mesh import WARNING_NOTES
from pricing_engine.mesh.repair import TURNED, UNDECIDED

_OVERLAP_SHARE = 0.0005  # 0.1 % in words
_MIN_MM3 = 0.005  # 0.01 mm3 in words: values that would print as 0.00 are not reported
_THIN_LIMIT_MM = 0.8
_THIN_SHARE = 0.01

_MAX_NAMED = 4  # locations of pieces that a message lists

Places = Mapping[str, tuple[Point, ...]]


@dataclass(frozen=True, slots=True)
class Shape:
    """Inputs of the checks that are not in the sections of an Analysis.

    ``unit``: the unit that the file was read in; ``if_solid`` and ``if_cavity``: the volumes (mm3) if nested shells
    are solid or cavities; ``turned_doubtful``: a flipped shell may be intended as a cavity; ``odd_edges``: edges of
    the repaired mesh with an odd number of facets.
    """

    unit: str = "mm"
    bodies: Bodies = ONE_BODY
    if_solid: float | None = None
    if_cavity: float | None = None
    turned_doubtful: bool = False
    odd_edges: int = 0


def find_checks(
    integrity: Integrity,
    geometry: Geometry,
    thickness: Thickness,
    slices: Slices,
    notes: Mapping[str, str],
    where: Places,
    estimated: bool,
    not_measured: Collection[str] = (),
    shape: Shape | None = None,
) -> tuple[Check, ...]:
    """Return all findings, in a fixed order.

    ``where`` maps a check's code to points on the model (mm); a repair's points are under ``repaired:CODE``.
    ``estimated``: the volume is that of an open surface; ``not_measured``: stages that exceeded their budget.
    """
    shape = shape or Shape()
    found = [
        *(Check(code, "warning" if code in WARNING_NOTES else "info", message) for code, message in notes.items()),
        *_integrity_checks(integrity, shape, where),
        *_volume_checks(geometry, integrity, estimated, shape),
        *_body_checks(geometry, shape),
        *_size_checks(geometry, shape),
        *_wall_checks(thickness),
        *_layer_checks(geometry, slices),
        *_budget_checks(geometry, slices, not_measured),
    ]
    return tuple(replace(check, where_mm=check.where_mm or where.get(check.code, ())) for check in found)


def _integrity_checks(integrity: Integrity, shape: Shape, where: Places) -> Iterator[Check]:
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
    for repair in integrity.repairs:
        count, places = repair.count, where.get(f"repaired:{repair.code}", ())
        if repair.code == UNDECIDED:
            text = f"{count:,} shells are inside out among too many others to decide which are cavities"
            yield Check("inside_out_unknown", "warning", text, float(count), None, places)
            continue
        if repair.code == TURNED:
            yield _turned(count, shape.turned_doubtful, places)
        text = f"repaired: {repair.code.replace('_', ' ')} ({count:,})"
        yield Check("repaired", "info", text, float(count), None, places)


def _turned(count: int, doubtful: bool, places: tuple[Point, ...]) -> Check:
    what = "1 shell was inside out and was" if count == 1 else f"{count:,} shells were inside out and were"
    if not doubtful:
        return Check("inside_out", "info", f"{what} turned", float(count), None, places)
    why = "such a shell runs through another, or holds one that is inside out too"
    text = f"{what} turned to count as material; {why}: check that nothing was to be cut away"
    return Check("inside_out", "warning", text, float(count), None, places)


def _volume_checks(geometry: Geometry, integrity: Integrity, estimated: bool, shape: Shape) -> Iterator[Check]:
    volume, signed = geometry.volume_mm3, geometry.signed_volume_mm3
    if volume is None:
        text = "the surface runs through itself so often that the solid is unknown: unite its shells and export again"
        yield Check("tangled", "error", text)
        return
    if volume <= 0:
        yield Check("no_volume", "error", "the model encloses no volume, so there is nothing to make")
        return
    if estimated:
        yield Check("volume_estimated", "warning", _why_estimated(integrity, shape), volume)
    elif signed is not None and signed - volume > _OVERLAP_SHARE * volume:
        share = (signed - volume) / volume
        text = f"overlapping shells would be charged {share:.1%} too much metal; the true volume counts them once"
        yield Check("overlapping_shells", "info", text, signed - volume, 0.0)


def _why_estimated(integrity: Integrity, shape: Shape) -> str:
    if integrity.boundary_edges:
        return "the model is not closed: its volume is an estimate"
    if shape.odd_edges:
        odd = f"{shape.odd_edges:,} edges join an odd number of facets"
        return f"{odd}, so the model is not closed: its volume is an estimate"
    return "the model is closed, but its facets disagree on which side is outside: its volume is an estimate"


def _body_checks(geometry: Geometry, shape: Shape) -> Iterator[Check]:
    bodies, solid, cavity = shape.bodies, shape.if_solid, shape.if_cavity
    if not bodies.complete and geometry.volume_mm3 is not None:
        text = "too many shells lie in or on one another to decide which are cavities and which pieces are loose"
        yield Check("cavity_or_solid_unknown", "warning", text)
    if bodies.nested and (solid is None or cavity is None or solid - cavity >= _MIN_MM3):
        what = "a shell lies" if bodies.nested == 1 else f"{bodies.nested:,} shells lie"
        text = f"{what} wholly inside another with the same side out: solid or cavity? the volume is "
        text += f"{_volume(solid)} if solid, {_volume(cavity)} if a cavity"
        difference = None if solid is None or cavity is None else solid - cavity
        yield Check("cavity_or_solid", "warning", text, difference, 0.0, bodies.nested_places)
    if bodies.pieces > 1:
        positions = ", ".join(f"({x:.1f}, {y:.1f}, {z:.1f})" for x, y, z in bodies.piece_places[:_MAX_NAMED])
        more = ", ..." if bodies.pieces > _MAX_NAMED else ""
        text = (
            f"{bodies.pieces:,} separate pieces, none touching another, at {positions}{more} mm: "
            "they are priced together"
        )
        yield Check("separate_pieces", "info", text, float(bodies.pieces), 1.0, bodies.piece_places)


def _volume(volume: float | None) -> str:
    return "not measured" if volume is None else f"{volume:.2f} mm3"


def _size_checks(geometry: Geometry, shape: Shape) -> Iterator[Check]:
    if geometry.bbox_min_mm is None or geometry.bbox_max_mm is None:
        return
    size = max(b - a for a, b in zip(geometry.bbox_min_mm, geometry.bbox_max_mm, strict=True))
    if shape.bodies.pieces > 1 and shape.bodies.longest_mm is not None:
        size = shape.bodies.longest_mm
    if doubt := doubt_unit(size, shape.unit):
        text, limit = doubt
        yield Check("unit_suspect", "warning", text, size, limit)


def _wall_checks(thickness: Thickness) -> Iterator[Check]:
    share = thickness.thin_area_fraction.get(str(_THIN_LIMIT_MM))
    if share is not None and share > _THIN_SHARE:
        text = f"{share:.1%} of the surface belongs to walls thinner than {_THIN_LIMIT_MM} mm"
        yield Check("thin_walls", "warning", text, share, _THIN_SHARE)


def _layer_checks(geometry: Geometry, slices: Slices) -> Iterator[Check]:
    if _too_high(geometry, slices):
        text = f"the model is too high for layers of {slices.layer_height_mm:g} mm: they were not measured"
        yield Check("too_many_layers", "warning", text)
    if (slices.trapped_volume_mm3 or 0.0) >= _MIN_MM3:
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
    return (high[2] - low[2]) / slices.layer_height_mm > MAX_LAYERS


def _budget_checks(geometry: Geometry, slices: Slices, not_measured: Collection[str]) -> Iterator[Check]:
    """Report stages whose work exceeded that of any manufacturable model: they need a manual review."""
    why = "too many facets lie in, on or across one another"
    messages = {
        Stage.THICKNESS: f"the wall thickness was not measured: {why}",
        Stage.ORIENTATION: f"the best orientation was not found: {why}",
        Stage.SLICES: f"islands and trapped space were not measured: {why}, or reach through thousands of layers",
        Stage.FINISHING: f"how much of the surface a tool reaches was not measured: {why}",
    }
    for stage, message in messages.items():
        if stage in not_measured and not (stage is Stage.SLICES and _too_high(geometry, slices)):
            yield Check(f"{stage}_not_measured", "warning", message)
