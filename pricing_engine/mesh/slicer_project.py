"""What slicers say beside the core of a 3MF: what is material, what is taken away, and what only steers the print.

PrusaSlicer (``Metadata/Slic3r_PE_model.config``) names ranges of an object's triangles, Bambu Studio and Orca
(``Metadata/model_settings.config``) the components of an object, and Cura gives settings to each object of the model
part. The two files share one form, ``object`` > ``volume`` or ``part`` > ``metadata``, and are read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import Package, feed, safe_parser

MATERIAL, NEGATIVE = "material", "negative volume"
"""Roles that count; every other role is the name of something that is no material."""

_CONFIGS = ("metadata/slic3r_pe_model.config", "metadata/model_settings.config")
_DRAIN_HOLES = "metadata/slic3r_pe_sla_drain_holes_points.txt"
_MOST_BYTES = 64 << 20
_MOST_NOTED = 20
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
_SHAPING = {"hollowing_enable", "mold_enabled", "conical_overhang_enabled", "make_overhang_printable"}
"""Settings of an object that change its shape where they are on."""

_OFF = {"", "0", "false", "normal"}


@dataclass(frozen=True, slots=True)
class TriangleRange:
    """Triangles ``first`` to ``last``, both included, of an object."""

    first: int
    last: int
    role: str


@dataclass(slots=True)
class Project:
    """``ranges`` by object id, ``parts`` by object id and part id, ``plates`` with the ids of the objects on each.

    ``unknown``: parts and settings that are not known, ``shaping``: settings that change the shape.
    """

    ranges: dict[str, list[TriangleRange]] = field(default_factory=dict)
    parts: dict[tuple[str, str], str] = field(default_factory=dict)
    plates: list[tuple[str, list[str]]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    shaping: list[str] = field(default_factory=list)

    def role(self, kind: str) -> str:
        """The role of a part of the ``kind`` that a file names; one that is not known counts as material, and is kept
        in ``unknown``."""
        role = _ROLES.get(kind.strip().lower())
        if role is None:
            _keep(self.unknown, f"part of kind {kind[:40]!a}")
        return role or MATERIAL

    def note_setting(self, key: str, value: str) -> None:
        """Keep a setting in ``shaping`` if it is on and changes the shape."""
        if (key in _SHAPING or key == "magic_mesh_surface_mode") and value.strip().lower() not in _OFF:
            _keep(self.shaping, f"{key} = {value[:20]}")


def read_project(package: Package) -> Project:
    """What the slicers' files in the package say; nothing where there are none.

    Raises :class:`CorruptModel` where they are broken: to guess what is material would be to guess the price.
    """
    project = Project()
    for name in _CONFIGS:
        if name in package:
            _Config(project, name).read(package)
    if _DRAIN_HOLES in package:
        _keep(project.shaping, "drain holes")
    for ranges in project.ranges.values():
        _check_ranges(ranges)
    return project


def cura_role(settings: Mapping[str, str], project: Project) -> str | None:
    """The role that Cura's settings give to an object, None where they give none."""
    for key, value in settings.items():
        project.note_setting(key, value)
        if key.endswith("_mesh") and key not in _CURA_ROLES and value.strip().lower() not in _OFF:
            _keep(project.unknown, f"setting {key!a} of Cura")
    return next((role for key, role in _CURA_ROLES.items() if settings.get(key, "").strip().lower() not in _OFF), None)


class _Config:
    """Handlers for expat for one of the two files."""

    def __init__(self, project: Project, name: str) -> None:
        self._project, self._name = project, name
        self._object = ""
        self._part: dict[str, str] | None = None
        self._plate: tuple[dict[str, str], list[str]] | None = None
        self._in_instance = False

    def read(self, package: Package) -> None:
        """Parse the file into the project."""
        parser = safe_parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        feed(parser, _bounded(package.blocks(self._name), self._name), self._name)

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
            names, objects = self._plate
            name = names.get("plater_name") or names.get("plater_id") or str(len(self._project.plates) + 1)
            self._project.plates.append((name, objects))
            self._plate = None
        elif tag == "model_instance":
            self._in_instance = False

    def _end_part(self, part: dict[str, str]) -> None:
        kind = part.get("subtype") or part.get("volume_type")
        if kind is None:  # before PrusaSlicer 1.42
            kind = "ParameterModifier" if part.get("modifier", "0").strip().lower() not in _OFF else "ModelPart"
        role = self._project.role(kind)
        if "firstid" in part or "lastid" in part:
            try:
                found = TriangleRange(int(part["firstid"]), int(part["lastid"]), role)
            except (KeyError, ValueError) as error:
                raise _broken(f"a range of triangles of object {self._object[:20]!a} is no range") from error
            self._project.ranges.setdefault(self._object, []).append(found)
        elif "id" in part and self._project.parts.setdefault((self._object, part["id"]), role) != role:
            raise _broken(f"part {part['id'][:20]!a} of object {self._object[:20]!a} is of two kinds")


def _check_ranges(ranges: list[TriangleRange]) -> None:
    ranges.sort(key=lambda each: each.first)
    ends = [-1, *(each.last for each in ranges)]
    if any(each.first <= end or each.last < each.first for end, each in zip(ends, ranges, strict=False)):
        raise _broken("its ranges of triangles overlap or end before they begin")


def _broken(what: str) -> CorruptModel:
    return CorruptModel(f"the slicer's settings in the 3MF are broken: {what}; save the project again")


def _bounded(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > _MOST_BYTES:
            raise CorruptModel(f"{name} in the 3MF is larger than {_MOST_BYTES >> 20} MiB; save the project again")
        yield block


def _keep(texts: list[str], text: str) -> None:
    if text not in texts and len(texts) < _MOST_NOTED:
        texts.append(text)
