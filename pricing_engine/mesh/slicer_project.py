"""Slicer projects in a 3MF: which parts are material, which are subtracted, which only control the print.

PrusaSlicer (``Metadata/Slic3r_PE_model.config``) gives roles to ranges of an object's triangles, Bambu Studio and Orca
(``Metadata/model_settings.config``) to the components of an object, and Cura in settings of each object of the model
part. Both files have one structure, ``object`` > ``volume`` or ``part`` > ``metadata``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import Package, feed, safe_parser

MATERIAL, NEGATIVE = "material", "negative volume"
"""Roles that count; every other role describes a part that is not material."""

_CONFIGS = ("metadata/slic3r_pe_model.config", "metadata/model_settings.config")
_DRAIN_HOLES = "metadata/slic3r_pe_sla_drain_holes_points.txt"
_MAX_BYTES = 64 << 20
_MAX_TEXTS = 20
_ROLES = {
    "modelpart": MATERIAL,
    "normal_part": MATERIAL,
    "negativevolume": NEGATIVE,
    "negative_part": NEGATIVE,
    "parametermodifier": "modifier",
    "modifier_part": "modifier",
    "supportblocker": "support blocker",
    "support_blocker": "support blocker",
    "supportenforcer": "support enforcer",
    "support_enforcer": "support enforcer",
}
_CURA_ROLES = {
    "support_mesh": "support mesh",
    "anti_overhang_mesh": "support blocker",
    "cutting_mesh": "cutting mesh",
    "infill_mesh": "infill mesh",
}
_SHAPE_SETTINGS = {"hollowing_enable", "mold_enabled", "conical_overhang_enabled", "make_overhang_printable"}
"""Object settings that change the shape if enabled."""

_OFF = {"", "0", "false", "normal"}


@dataclass(frozen=True, slots=True)
class TriangleRange:
    """Triangles ``first`` to ``last`` (inclusive) of an object and their role."""

    first: int
    last: int
    role: str


@dataclass(slots=True)
class SlicerProject:
    """``ranges`` by object id, ``parts`` by object id and part id, ``plates`` with the ids of their objects.

    ``unknown``: unsupported parts and settings; ``shape_settings``: enabled settings that change the shape.
    """

    ranges: dict[str, list[TriangleRange]] = field(default_factory=dict)
    parts: dict[tuple[str, str], str] = field(default_factory=dict)
    plates: list[tuple[str, list[str]]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    shape_settings: list[str] = field(default_factory=list)

    def resolve_role(self, part_kind: str) -> str:
        """Return the role of a part kind; an unknown kind is recorded in ``unknown`` and counts as material."""
        role = _ROLES.get(part_kind.strip().lower())
        if role is None:
            _append_once(self.unknown, f"part of kind {part_kind[:40]!a}")
        return role or MATERIAL

    def note_setting(self, key: str, value: str) -> None:
        """Record a setting in ``shape_settings`` if it is enabled and changes the shape."""
        if (key in _SHAPE_SETTINGS or key == "magic_mesh_surface_mode") and value.strip().lower() not in _OFF:
            _append_once(self.shape_settings, f"{key} = {value[:20]}")


def read_project(package: Package) -> SlicerProject:
    """Read the slicers' settings in the package; an empty project if there are none.

    Raises :class:`CorruptModel` where they are broken, since a guess at the material would be a guess at the price.
    """
    project = SlicerProject()
    for name in _CONFIGS:
        if name in package:
            _ConfigParser(project, name).read(package)
    if _DRAIN_HOLES in package:
        _append_once(project.shape_settings, "drain holes")
    for ranges in project.ranges.values():
        _check_ranges(ranges)
    return project


def cura_role(settings: Mapping[str, str], project: SlicerProject) -> str | None:
    """Return the role that Cura's settings give to an object, or None."""
    for key, value in settings.items():
        project.note_setting(key, value)
        if key.endswith("_mesh") and key not in _CURA_ROLES and value.strip().lower() not in _OFF:
            _append_once(project.unknown, f"setting {key!a} of Cura")
    return next((role for key, role in _CURA_ROLES.items() if settings.get(key, "").strip().lower() not in _OFF), None)


class _ConfigParser:
    """Expat handlers for one of the two files."""

    def __init__(self, project: SlicerProject, name: str) -> None:
        self._project, self._name = project, name
        self._object = ""
        self._part: dict[str, str] | None = None
        self._plate: tuple[dict[str, str], list[str]] | None = None
        self._in_instance = False

    def read(self, package: Package) -> None:
        """Parse the file into the project."""
        parser = safe_parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        feed(parser, _limit_size(package.blocks(self._name), self._name), self._name)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "object":
            self._object = attributes.get("id", "")
        elif tag in ("volume", "part"):
            self._part = dict(attributes)
        elif tag == "plate":
            self._plate = ({}, [])
        elif tag == "model_instance":
            self._in_instance = True
        elif tag == "metadata":
            self._metadata(attributes.get("key", ""), attributes.get("value", ""))

    def _metadata(self, key: str, value: str) -> None:
        if self._part is not None:
            if key in ("volume_type", "modifier"):
                self._part.setdefault(key, value)
        elif self._plate is not None and self._in_instance:
            if key == "object_id":
                self._plate[1].append(value[:20])
        elif self._plate is not None:
            self._plate[0][key[:40]] = value[:60]
        self._project.note_setting(key, value)

    def _end(self, tag: str) -> None:
        if tag in ("volume", "part") and self._part is not None:
            self._end_part(self._part)
            self._part = None
        elif tag == "plate" and self._plate is not None:
            metadata, objects = self._plate
            name = metadata.get("plater_name") or metadata.get("plater_id") or str(len(self._project.plates) + 1)
            self._project.plates.append((name, objects))
            self._plate = None
        elif tag == "model_instance":
            self._in_instance = False

    def _end_part(self, part: dict[str, str]) -> None:
        part_kind = part.get("subtype") or part.get("volume_type")
        if part_kind is None:  # before PrusaSlicer 1.42
            part_kind = "ParameterModifier" if part.get("modifier", "0").strip().lower() not in _OFF else "ModelPart"
        role = self._project.resolve_role(part_kind)
        if "firstid" in part or "lastid" in part:
            try:
                triangles = TriangleRange(int(part["firstid"]), int(part["lastid"]), role)
            except (KeyError, ValueError) as error:
                raise _settings_error(f"a range of triangles of object {self._object[:20]!a} is invalid") from error
            self._project.ranges.setdefault(self._object, []).append(triangles)
        elif "id" in part and self._project.parts.setdefault((self._object, part["id"]), role) != role:
            raise _settings_error(f"part {part['id'][:20]!a} of object {self._object[:20]!a} has two kinds")


def _check_ranges(ranges: list[TriangleRange]) -> None:
    ranges.sort(key=lambda range_: range_.first)
    previous_ends = [-1, *(range_.last for range_ in ranges)]
    if any(
        range_.first <= previous_end or range_.last < range_.first
        for previous_end, range_ in zip(previous_ends, ranges, strict=False)
    ):
        raise _settings_error("its ranges of triangles overlap or end before they start")


def _settings_error(reason: str) -> CorruptModel:
    return CorruptModel(f"the slicer's settings in the 3MF are broken: {reason}; save the project again")


def _limit_size(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > _MAX_BYTES:
            raise CorruptModel(f"{name} in the 3MF is larger than {_MAX_BYTES >> 20} MiB; save the project again")
        yield block


def _append_once(messages: list[str], message: str) -> None:
    if message not in messages and len(messages) < _MAX_TEXTS:
        messages.append(message)
