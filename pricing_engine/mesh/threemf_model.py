"""One model part of a 3MF: objects and build items (core specification 1.4, chapters 3 and 4) from streamed XML."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_names import (
    ALTERNATIVES,
    CORE,
    CURA,
    PRODUCTION,
    SLICE,
    UNDERSTOOD,
    describe,
    namespace_of,
)
from pricing_engine.mesh.threemf_package import Package
from pricing_engine.mesh.threemf_resources import Resources, color_faults
from pricing_engine.mesh.threemf_xml import (
    ALTERNATIVE,
    BASE,
    COLOR,
    COMPONENT,
    CURA_SETTING,
    ITEM,
    METADATA,
    MODEL,
    OBJECT,
    RESOURCES,
    TRIANGLES,
    VERTICES,
    ModelXml,
)

ObjectKey = tuple[str, str]
"""An object: the key of its model part and its id."""

_UNITS = {"micron": "um", "millimeter": "mm", "centimeter": "cm", "inch": "in", "foot": "ft", "meter": "m"}
_TYPES = {"model", "solidsupport", "support", "surface", "other"}
_RESOLUTIONS = {"fullres", "lowres", "obfuscated"}
_MAX_FAULTS = 20
_MAX_NAMES = 10_000
_XML_SPACE = "http://www.w3.org/XML/1998/namespace space"


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An object placed by an item, a component or an alternative."""

    key: ObjectKey
    transform: NDArray[np.float64]
    printable: bool = True
    resolution: str = "fullres"


@dataclass(slots=True)
class ModelObject:
    """One ``<object>``: a mesh (flat arrays of coordinates and vertex indices) or components.

    ``resolution`` is ``fullres`` unless the mesh is a placeholder: ``slices``, ``lowres``, ``obfuscated``.
    ``settings``: Cura's settings by key.
    """

    kind: str
    resolution: str = "fullres"
    numbers: array[float] = field(default_factory=lambda: array("d"))
    corners: array[int] = field(default_factory=lambda: array("q"))
    components: list[ObjectReference] = field(default_factory=list)
    alternatives: list[ObjectReference] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    has_slices: bool = False


@dataclass(slots=True)
class ModelPart:
    """One model part.

    ``unit`` of the file, mm if not stated; ``unread_namespaces`` in use; ``faults``: violations of the specification
    that do not affect the shape.
    """

    unit: str = "mm"
    objects: dict[str, ModelObject] = field(default_factory=dict)
    items: list[ObjectReference] = field(default_factory=list)
    unread_namespaces: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def read_model_part(package: Package, name: str, facets_before: int = 0) -> ModelPart:
    """Parse the part of key ``name``; ``facets_before`` counts the facets of other parts.

    Raises :class:`CorruptModel` for broken XML or values, encrypted parts and required extensions that are not read.
    """
    if package.is_encrypted(name):
        raise CorruptModel(f"{name[:60]!a} in the 3MF is encrypted (secure content); export it without encryption")
    reader = _Reader(package, name, facets_before)
    reader.parse()
    return reader.model


class _Reader(ModelXml):
    """Interprets the elements of one model part."""

    def __init__(self, package: Package, name: str, facets_before: int) -> None:
        super().__init__(package, name, facets_before)
        self.model = ModelPart()
        self._metadata_names: set[str] = set()
        self._property_ids: set[str] = set()
        self._resources = Resources(package)
        self._object: ModelObject | None = None
        self._setting: str | None = None

    def on_element(self, tag: str, attributes: dict[str, str]) -> None:
        model_object = self._object
        if tag == MODEL:
            self._open_model(attributes)
        elif tag == OBJECT:
            self._open_object(attributes)
        elif tag == ITEM:
            self.model.items.append(self._reference(attributes))
        elif tag in (METADATA, CURA_SETTING):
            self._setting = self._setting_key(tag, attributes)
        elif model_object is None:
            return
        elif tag in (VERTICES, TRIANGLES):
            if len(model_object.numbers if tag == VERTICES else model_object.corners):
                raise CorruptModel("an object of the 3MF has two meshes; export the model again")
            self._handle_rows()
        elif tag == COMPONENT:
            model_object.components.append(self._component(attributes))
        elif tag == ALTERNATIVE:
            model_object.alternatives.append(self._reference(attributes))

    def on_any_element(self, tag: str, parent: str | None, attributes: dict[str, str]) -> None:
        if parent == RESOURCES and "id" in attributes:
            self._add_faults(*self._resources.add_resource(tag.rpartition(" ")[2], attributes))
        elif tag in (COLOR, BASE):
            self._add_faults(*color_faults(attributes))

    def on_other_element(self, tag: str, parent: str | None) -> None:
        if not self._path[:-1]:
            raise CorruptModel(
                f"{self._name[:60]!a} is not a 3MF model: its root is {tag[:80]!a}; export the model again"
            )
        namespace = namespace_of(tag)
        if namespace not in UNDERSTOOD:
            self.model.unread_namespaces.add(namespace)
        elif namespace == CORE and parent is not None:
            self._add_faults(f"<{tag.rpartition(' ')[2][:20]}> in a place where it is not allowed")

    def on_attributes(self, attributes: dict[str, str]) -> None:
        for name in attributes:
            if name not in self._known_attributes and len(self._known_attributes) < _MAX_NAMES:
                self._known_attributes.add(name)
                namespace = namespace_of(name)
                if namespace and namespace not in UNDERSTOOD:
                    self.model.unread_namespaces.add(namespace)
                elif name == _XML_SPACE:
                    self._add_faults("xml:space, which is not allowed")
        for pid in {attributes["pid"]} - self._property_ids if "pid" in attributes else ():
            self._property_ids.add(pid)
            self._add_faults(*self._resources.check_property(pid))

    def on_text(self, text: str) -> None:
        if self._setting is not None and self._object is not None:
            self._object.settings[self._setting] = (self._object.settings.get(self._setting, "") + text)[:100]

    def on_end(self, tag: str) -> None:
        if tag in (METADATA, CURA_SETTING):
            self._setting = None

    def _open_model(self, attributes: dict[str, str]) -> None:
        for prefix in attributes.get("requiredextensions", "").split():
            if prefix not in self._prefixes:
                raise CorruptModel(
                    f"the 3MF needs the extension {prefix[:40]!a} without declaring it; export the model again"
                )
            namespace = self._prefixes[prefix]
            if namespace not in UNDERSTOOD:
                raise CorruptModel(
                    f"the 3MF needs the extension {describe(namespace)}, which Facet does not read; "
                    "export it as a plain mesh"
                )
        recommended = (self._prefixes.get(p, p) for p in attributes.get("recommendedextensions", "").split())
        self.model.unread_namespaces.update(namespace for namespace in recommended if namespace not in UNDERSTOOD)
        unit = attributes.get("unit", "millimeter")
        if unit not in _UNITS:
            raise CorruptModel(f"the 3MF has the unit {unit[:20]!a}, which 3MF does not have; export the model again")
        self.model.unit = _UNITS[unit]

    def _open_object(self, attributes: dict[str, str]) -> None:
        object_id, kind = attributes["id"], attributes.get("type", "model")
        if object_id in self.model.objects:
            raise CorruptModel(f"the 3MF has two objects {object_id[:20]!a}; export the model again")
        if kind not in _TYPES:
            raise CorruptModel(
                f"the 3MF has an object of type {kind[:20]!a}, which 3MF does not have; export the model again"
            )
        resolution = _resolution(attributes.get(f"{ALTERNATIVES} modelresolution"))
        if _resolution(attributes.get(f"{SLICE} meshresolution")) != "fullres":
            resolution = "slices"
        self._add_faults(*self._resources.check_property(attributes.get("pid"), attributes.get("pindex")))
        has_slices = f"{SLICE} slicestackid" in attributes
        self._object = self.model.objects[object_id] = ModelObject(kind, resolution, has_slices=has_slices)
        self._vertex_numbers, self._triangle_corners = self._object.numbers, self._object.corners

    def _component(self, attributes: dict[str, str]) -> ObjectReference:
        if f"{PRODUCTION} path" in attributes and self._name != self._package.root:
            raise CorruptModel(
                "a part of the 3MF refers to another part, which only its root may; export the model again"
            )
        component = self._reference(attributes)
        part, object_id = component.key
        if part == self._name and object_id not in self.model.objects:
            self._add_faults(f"object {object_id[:20]!a} is used before its definition")
        return component

    def _reference(self, attributes: dict[str, str]) -> ObjectReference:
        path = attributes.get(f"{PRODUCTION} path", attributes.get("path"))
        part = self._name if path is None else self._package.resolve(path, self._name)
        printable = attributes.get("printable", "1").strip().lower() not in ("0", "false")
        resolution = _resolution(attributes.get("modelresolution"))
        transform = _transform(attributes.get("transform"))
        return ObjectReference((part, attributes["objectid"]), transform, printable, resolution)

    def _setting_key(self, tag: str, attributes: dict[str, str]) -> str | None:
        """Return the key of the Cura setting that this element's text is the value of, or None."""
        if tag == CURA_SETTING:
            return attributes.get("key", "")[:100]
        if len(self._path) == 2:
            name = attributes.get("name", "")
            if not name or name in self._metadata_names:
                self._add_faults(f"metadata name {name[:40]!a} is repeated or empty")
            if len(self._metadata_names) < _MAX_NAMES:
                self._metadata_names.add(name)
        prefix, colon, name = attributes.get("name", "").partition(":")
        in_object = len(self._path) > 2 and self._path[-3] == OBJECT
        return name[:100] if colon and in_object and self._prefixes.get(prefix, prefix) in (CURA, "cura") else None

    def _add_faults(self, *texts: str) -> None:
        for text in texts:
            if text not in self.model.faults and len(self.model.faults) < _MAX_FAULTS:
                self.model.faults.append(text)


def _resolution(text: str | None) -> str:
    if text is not None and text not in _RESOLUTIONS:
        raise CorruptModel(f"the 3MF has the resolution {text[:20]!a}, which 3MF does not have; export the model again")
    return text or "fullres"


def _transform(text: str | None) -> NDArray[np.float64]:
    """Parse a 3MF transform (core, chapter 3.3), twelve numbers for row vectors, to (4, 4) for column vectors."""
    matrix = np.eye(4)
    if text is not None:
        try:
            numbers = [float(word) for word in text.split()]
        except ValueError:
            numbers = []
        if len(numbers) != 12 or not np.all(np.isfinite(numbers)):
            raise CorruptModel(
                f"the 3MF has the transform {text[:40]!a}, which must be twelve numbers; export the model again"
            )
        matrix[:3] = np.array(numbers).reshape(4, 3).T
    return matrix
