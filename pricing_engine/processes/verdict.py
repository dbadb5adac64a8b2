"""The verdict: manufacturable, review or rejected. The worst reason decides.

``error`` rejects, ``warning`` requires a review, ``info`` has no effect. This module judges the Analysis by the limits
of the price book; the process plan judges machines and flasks. A warning or an error of a check that is not covered
here requires a review: only a process rejects, the Analysis measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pricing_engine.analysis.schema import Analysis
from pricing_engine.processes.part import PricedPart, finite_or_none
from pricing_engine.processes.price_tables import ReviewLimits, Wall
from pricing_engine.processes.process import VerdictReason

_RANK = {"error": 0, "warning": 1, "info": 2}
_VERDICT = {"error": "rejected", "warning": "review", "info": "manufacturable"}
# The Analysis checks these against its own limits; here those of the process and the material apply.
_JUDGED_BY_LIMITS = {"no_volume", "thin_walls", "trapped_volume"}
_ALWAYS_REPORTED = {"separate_pieces", "inside_out"}  # reported to the customer whatever their severity


def verdict_of(reasons: Iterable[VerdictReason]) -> str:
    """Return ``rejected``, ``review`` or ``manufacturable``."""
    worst = min((reason.severity for reason in reasons), key=_RANK.__getitem__, default="info")
    return _VERDICT[worst]


def sort_reasons(reasons: Iterable[VerdictReason]) -> tuple[VerdictReason, ...]:
    """Return the reasons, the worst first, then by code and message, each once."""
    return tuple(sorted(set(reasons), key=lambda r: (_RANK[r.severity], r.code, r.message)))


def model_reasons(analysis: Analysis, part: PricedPart | None, limits: ReviewLimits) -> list[VerdictReason]:
    """Return the reasons from the model itself, the same for every material of a process."""
    found = [*_volume(analysis, part), *_integrity(analysis)]
    trapped = finite_or_none(analysis.slices.trapped_volume_mm3)
    if trapped is None:
        found.append(VerdictReason("trapped_volume_unknown", "info", "enclosed empty space was not measured"))
    elif trapped > limits.trapped_volume_mm3:
        message = f"{trapped:.1f} mm3 of empty space has no way out (limit {limits.trapped_volume_mm3:f})"
        found.append(VerdictReason("trapped_volume", "warning", message))
    covered = {reason.code for reason in found} | _JUDGED_BY_LIMITS
    for check in analysis.checks:
        if (check.severity != "info" or check.code in _ALWAYS_REPORTED) and check.code not in covered:
            severity = "info" if check.severity == "info" else "warning"
            found.append(VerdictReason(check.code, severity, check.message))
    return found


def _volume(analysis: Analysis, part: PricedPart | None) -> list[VerdictReason]:
    if part is not None:
        return []
    if finite_or_none(analysis.geometry.volume_mm3) is None:
        return [VerdictReason("volume_unknown", "error", "the volume can't be measured, so nothing can be priced")]
    return [VerdictReason("no_volume", "error", "the model encloses no volume, so there is nothing to make")]


def _integrity(analysis: Analysis) -> list[VerdictReason]:
    integrity, found = analysis.integrity, []
    if integrity.boundary_edges:
        message = f"the surface is open at {integrity.boundary_edges} edges: the volume is an estimate"
        found.append(VerdictReason("open_edges", "warning", message))
    if not integrity.winding_consistent:
        message = "neighbouring facets disagree on which side is outside"
        found.append(VerdictReason("winding_inconsistent", "warning", message))
    if integrity.non_manifold_edges:
        message = f"{integrity.non_manifold_edges} edges join three or more facets"
        found.append(VerdictReason("non_manifold_edges", "info", message))
    if integrity.self_intersecting_facets:
        message = f"{integrity.self_intersecting_facets} facets cut through others; overlaps are counted once"
        found.append(VerdictReason("self_intersections", "info", message))
    return found


def wall_reasons(analysis: Analysis, material: Wall, limits: ReviewLimits) -> list[VerdictReason]:
    """Return the reasons from the material's wall limits on the sphere thickness; a missing one needs a review."""
    sphere = analysis.thickness.sphere
    p05, p50 = finite_or_none(sphere.p05_mm), finite_or_none(sphere.p50_mm)
    if p05 is None or p50 is None:
        return [VerdictReason("thickness_unknown", "warning", "the wall thickness was not measured")]
    if p50 < material.least_wall_mm:
        requirement = f"{material.label} needs {material.least_wall_mm:f}"
        message = f"half of the facets are on walls of {p50:.3f} mm or less; {requirement}"
        return [VerdictReason("walls_too_thin", "error", message)]
    limit_mm, share = _thin_share(analysis, material.min_wall_mm)
    if share is not None and share > limits.thin_area_fraction:
        limit = f"limit {(100 * limits.thin_area_fraction).normalize():f} %"
        message = f"{100 * share:.1f} % of the area is on walls under {limit_mm:f} mm ({limit})"
        return [VerdictReason("thin_walls", "warning", message)]
    if share is None and p05 < material.min_wall_mm:
        requirement = f"{material.label} needs {material.min_wall_mm:f}"
        message = f"5 % of the facets are on walls of {p05:.3f} mm or less; {requirement}"
        return [VerdictReason("thin_walls", "warning", message)]
    return []


def _thin_share(analysis: Analysis, min_wall_mm: Decimal) -> tuple[Decimal, float | None]:
    """Return the share of the area below ``min_wall_mm``, if the Analysis measured at that limit."""
    for limit, share in analysis.thickness.thin_area_fraction.items():
        if Decimal(limit) == min_wall_mm:
            return Decimal(limit), finite_or_none(share)
    return min_wall_mm, None
