"""Violations in a 3MF's resources (materials extension 1.2.1) that do not affect the shape: ids, references, values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import Package

_PROPERTY_GROUPS = {"basematerials", "colorgroup", "texture2dgroup", "compositematerials", "multiproperties"}
_COLOR = re.compile("#(?:[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")
_REFERENCES = {"texture2dgroup": ("texid", "texture2d"), "compositematerials": ("matid", "basematerials")}


class Resources:
    """The resources of one model part by id, in file order."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._kinds: dict[str, str] = {}

    def add_resource(self, kind: str, attributes: dict[str, str]) -> Iterator[str]:
        """Add a resource of ``kind`` (its local name), which may only refer to earlier ones; yield violations."""
        resource_id = attributes.get("id", "")
        if not resource_id.isdecimal() or int(resource_id[:12]) not in range(1, 1 << 31):
            yield f"the id {resource_id[:20]!a} is not a positive integer"
        if resource_id in self._kinds:
            yield f"two resources have the id {resource_id[:20]!a}"
        if kind in _REFERENCES:
            name, required_kind = _REFERENCES[kind]
            if self._kinds.get(attributes.get(name, "")) != required_kind:
                yield f"{kind} {resource_id[:20]!a} refers to no earlier {required_kind}"
        if kind == "compositematerials" and not attributes.get("matindices", "").strip():
            yield f"compositematerials {resource_id[:20]!a} has no matindices"
        elif kind == "multiproperties":
            yield from self._multiproperties_faults(resource_id, attributes.get("pids", "").split())
        elif kind == "texture2d":
            yield from self._texture_faults(attributes)
        if self._kinds.get(resource_id) is None:
            self._kinds[resource_id] = kind

    def check_property(self, pid: str | None, index: str | None = "0") -> Iterator[str]:
        """Yield violations in a reference of an object or a triangle to a property group (core, chapter 4.1.4)."""
        if pid is None:
            if index is not None:
                yield "an object has a pindex without a pid"
        elif self._kinds.get(pid) not in _PROPERTY_GROUPS:
            yield f"a property refers to {pid[:20]!a}, which is not an earlier property group"
        elif index is None:
            yield "an object has a pid without a pindex"

    def _multiproperties_faults(self, resource_id: str, pids: list[str]) -> Iterator[str]:
        kinds = [self._kinds.get(pid, "") for pid in pids]
        materials = sum(kind in ("basematerials", "compositematerials") for kind in kinds)
        if (
            not pids
            or materials > 1
            or kinds.count("colorgroup") > 1
            or not {*kinds} <= _PROPERTY_GROUPS - {"multiproperties"}
        ):
            yield f"multiproperties {resource_id[:20]!a} combine groups that may not be combined"

    def _texture_faults(self, attributes: dict[str, str]) -> Iterator[str]:
        path = attributes.get("path", "")
        if attributes.get("contenttype") not in ("image/png", "image/jpeg"):
            yield f"a texture's content type is {attributes.get('contenttype', '')[:40]!a}"
        try:
            exists = path.startswith("/") and self._package.resolve(path) in self._package
        except CorruptModel:
            exists = False
        if not exists:
            yield f"a texture is in {path[:40]!a}, which does not exist"


def color_faults(attributes: dict[str, str]) -> Iterator[str]:
    """Yield violations in the ``color`` of a color group or the ``displaycolor`` of a base material."""
    color = attributes.get("color", attributes.get("displaycolor", ""))
    if not _COLOR.fullmatch(color):
        yield f"the color {color[:20]!a} is invalid"
