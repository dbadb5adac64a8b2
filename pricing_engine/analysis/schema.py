"""The Analysis: all measurements of a model as immutable data.

The classes mirror the schema ``facet.analysis/1`` of the public interface field by field, and ``to_dict`` returns what
``facet inspect --json`` prints. Lengths are mm, areas mm2, volumes mm3, times s. A value that could not be measured is
None. Floats keep every bit.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

SCHEMA = "facet.analysis/1"

Severity = Literal["info", "warning", "error"]
Point = tuple[float, float, float]


class AnalysisFormatError(ValueError):
    """A stored Analysis that does not follow the schema."""


@dataclass(frozen=True)
class Model:
    """The file's digest, the format detected from its content, and the welded mesh's counts."""

    sha256: str
    format: str
    unit: str
    facets: int
    vertices: int
    bytes: int


@dataclass(frozen=True)
class Repair:
    """A kind of repair, and how often it was applied."""

    code: str
    count: int


@dataclass(frozen=True)
class Integrity:
    """Defects of the welded, unrepaired mesh; counts of edges and facets."""

    watertight: bool
    winding_consistent: bool
    bodies: int
    euler_number: int
    boundary_edges: int
    non_manifold_edges: int
    degenerate_facets: int
    duplicate_facets: int
    self_intersecting_facets: int | None
    inverted: bool
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True)
class Geometry:
    """Volumes, areas, box and centre of mass.

    ``volume_mm3`` counts overlaps once and excludes cavities; ``surface_area_mm2`` is the area of that solid, without
    the surface hidden inside overlapping shells; ``area_mm2`` is the area of all facets.
    """

    signed_volume_mm3: float | None
    volume_mm3: float | None
    area_mm2: float | None
    bbox_min_mm: Point | None
    bbox_max_mm: Point | None
    hull_volume_mm3: float | None
    center_of_mass_mm: Point | None
    surface_area_mm2: float | None


@dataclass(frozen=True)
class ThicknessSummary:
    """Minimum and percentiles over the facets with a value."""

    min_mm: float | None
    p05_mm: float | None
    p50_mm: float | None


@dataclass(frozen=True)
class Thickness:
    """Wall thickness by ray and by sphere; ``thin_area_fraction`` maps a limit ("0.8", mm) to a share of the area."""

    ray: ThicknessSummary
    sphere: ThicknessSummary
    thin_area_fraction: Mapping[str, float | None]


@dataclass(frozen=True)
class OrientationScore:
    """Support, overhang and height of the model printed as given."""

    support_volume_mm3: float | None
    overhang_area_mm2: float | None
    height_mm: float | None


@dataclass(frozen=True)
class BestOrientation:
    """Support, overhang and height with ``down`` (unit direction in the model's frame) towards the platform."""

    down: Point | None
    support_volume_mm3: float | None
    overhang_area_mm2: float | None
    height_mm: float | None


@dataclass(frozen=True)
class Orientation:
    """The orientation as given and the best of ``candidates``."""

    candidates: int
    as_given: OrientationScore
    best: BestOrientation


@dataclass(frozen=True)
class Slices:
    """Sums over the layers of the model as given."""

    layer_height_mm: float
    layers: int | None
    area_sum_mm2: float | None
    perimeter_sum_mm: float | None
    max_area_mm2: float | None
    islands: int | None
    trapped_volume_mm3: float | None


@dataclass(frozen=True)
class Finishing:
    """``reach_area_fraction`` maps a ball's radius ("1.5", mm) to the share of the area it can touch from outside."""

    reach_area_fraction: Mapping[str, float | None]


@dataclass(frozen=True)
class Check:
    """A finding: the measured value, its limit, and locations on the model."""

    code: str
    severity: Severity
    message: str
    measured: float | None = None
    limit: float | None = None
    where_mm: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """All measurements of one model with one unit, one set of settings and one engine version."""

    engine_version: str
    analysis_id: str
    model: Model
    integrity: Integrity
    geometry: Geometry
    thickness: Thickness
    orientation: Orientation
    slices: Slices
    finishing: Finishing
    checks: tuple[Check, ...] = ()
    elapsed_s: Mapping[str, float] = field(default_factory=dict)
    schema: str = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready document, ``schema`` first, then in the order of the public interface."""
        document: dict[str, Any] = _encode(self)
        return {"schema": document.pop("schema"), **document}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Analysis:
        """Rebuild the Analysis from a document of ``to_dict``; raises AnalysisFormatError with the field's path."""
        if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
            raise AnalysisFormatError(f"not an analysis of schema {SCHEMA}")
        decoded: Analysis = _decode(cls, document, "analysis")
        return decoded


def _encode(value: Any) -> Any:
    """Convert dataclasses to dicts, tuples to lists and numpy scalars to Python numbers."""
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [_encode(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, document: Any, place: str) -> Any:
    """Rebuild the dataclass ``kind`` from a mapping with exactly its fields."""
    hints = _hints(kind)
    if not isinstance(document, Mapping) or set(document) != set(hints):
        raise AnalysisFormatError(f"{place}: expected the keys {', '.join(hints)}")
    return kind(**{name: _decode_value(hint, document[name], f"{place}.{name}") for name, hint in hints.items()})


def _decode_value(hint: Any, value: Any, place: str) -> Any:
    """Rebuild one value of the annotated type ``hint``; numbers keep their bits."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        return _decode_value(arguments[0], value, place)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (arguments[-1] is not Ellipsis and len(value) != len(arguments)):
            raise AnalysisFormatError(f"{place}: expected a list of the right length")
        return tuple(_decode_value(arguments[0], item, place) for item in value)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise AnalysisFormatError(f"{place}: expected an object")
        return {key: _decode_value(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise AnalysisFormatError(f"{place}: expected one of {', '.join(arguments)}")
        return value
    if is_dataclass(hint):
        return _decode(hint, value, place)
    accepted = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}[hint]
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise AnalysisFormatError(f"{place}: expected {hint.__name__}, got {type(value).__name__}")
    return value
