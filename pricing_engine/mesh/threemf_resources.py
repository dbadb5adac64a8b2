"""Faults of a 3MF's resources (materials extension 1.2.1) that say nothing about the shape: ids, references, values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import Package

_PROPERTIES = {"basematerials", "colorgroup", "texture2dgroup", "compositematerials", "multiproperties"}
_COLOR = re.compile("#(?:[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")
_REFERS_TO = {"texture2dgroup": ("texid", "texture2d"), "compositematerials": ("matid", "basematerials")}


class Resources:
    """The kinds of resource of one model part by id, as they come."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._kinds: dict[str, str] = {}

    def add(self, kind: str, attributes: dict[str, str]) -> Iterator[str]:
        """What is wrong with a resource of ``kind`` (its local name), which may only refer to those before it."""
        identifier = attributes.get("id", "")
        if not identifier.isdecimal() or int(identifier[:12]) not in range(1, 1 << 31):
            yield f"the id {identifier[:20]!a} is no whole number from 1"
        if identifier in self._kinds:
            yield f"two resources have the id {identifier[:20]!a}"
        if kind in _REFERS_TO:
            name, wanted = _REFERS_TO[kind]
            if self._kinds.get(attributes.get(name, "")) != wanted:
                yield f"{kind} {identifier[:20]!a} refers to no {wanted} before it"
        if kind == "compositematerials" and not attributes.get("matindices", "").strip():
            yield f"compositematerials {identifier[:20]!a} has no matindices"
        elif kind == "multiproperties":
            yield from self._mixed(identifier, attributes.get("pids", "").split())
        elif kind == "texture2d":
            yield from self._texture(attributes)
        if self._kinds.get(identifier) is None:
            self._kinds[identifier] = kind

    def check_property(self, pid: str | None, index: str | None = "0") -> Iterator[str]:
        """What is wrong with a reference of an object or a triangle to a group of properties."""
        if pid is None:
            if index is not None:
                yield "an object has a pindex without a pid"
        elif self._kinds.get(pid) not in _PROPERTIES:
            yield f"a property refers to {pid[:20]!a}, which is no group of properties before it"
        elif index is None:
            yield "an object has a pid without a pindex"

    def _mixed(self, identifier: str, pids: list[str]) -> Iterator[str]:
        kinds = [self._kinds.get(pid, "") for pid in pids]
        materials = sum(kind in ("basematerials", "compositematerials") for kind in kinds)
        if (
            not pids
            or materials > 1
            or kinds.count("colorgroup") > 1
            or not {*kinds} <= _PROPERTIES - {"multiproperties"}
        ):
            yield f"multiproperties {identifier[:20]!a} mix what may not be mixed"

    def _texture(self, attributes: dict[str, str]) -> Iterator[str]:
        path = attributes.get("path", "")
        if attributes.get("contenttype") not in ("image/png", "image/jpeg"):
            yield f"a texture's content type is {attributes.get('contenttype', '')[:40]!a}"
        try:
            found = path.startswith("/") and self._package.resolve(path) in self._package
        except CorruptModel:
            found = False
        if not found:
            yield f"a texture is in {path[:40]!a}, which is not there"


def color_faults(attributes: dict[str, str]) -> Iterator[str]:
    """What is wrong with a ``color`` of a color group or the ``displaycolor`` of a base material."""
    color = attributes.get("color", attributes.get("displaycolor", ""))
    if not _COLOR.fullmatch(color):
        yield f"the color {color[:20]!a} is none"
