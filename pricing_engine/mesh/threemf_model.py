"""One model part of a 3MF: its objects and build items, out of XML by namespace and place.

An element counts where its name, namespace included, and its parent are what the core specification says; whatever lies
in a foreign element is foreign too. XML is streamed through expat: O(bytes) time, memory for the arrays alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import MAX_FACETS
from pricing_engine.mesh.threemf_names import (
    ALTERNATIVES,
    BEFORE_CORE,
    CORE,
    CURA,
    MATERIAL,
    NEUTRAL,
    PRODUCTION,
    SLICE,
    describe,
    namespace_of,
)
from pricing_engine.mesh.threemf_package import Package, feed, safe_parser
from pricing_engine.mesh.threemf_resources import Resources, color_faults

Key = tuple[str, str]
"""An object: the key of its model part and its id."""

_UNITS = {"micron": "um", "millimeter": "mm", "centimeter": "cm", "inch": "in", "foot": "ft", "meter": "m"}
_TYPES = {"model", "solidsupport", "support", "surface", "other"}
_RESOLUTIONS = {"fullres", "lowres", "obfuscated"}
_MOST_FAULTS = 20
_MODEL, _RESOURCES, _BUILD, _OBJECT, _MESH, _VERTICES, _VERTEX, _TRIANGLES, _TRIANGLE = (
    f"{CORE} {name}"
    for name in ("model", "resources", "build", "object", "mesh", "vertices", "vertex", "triangles", "triangle")
)
_COMPONENTS, _COMPONENT, _ITEM, _METADATA, _GROUP = (
    f"{CORE} {name}" for name in ("components", "component", "item", "metadata", "metadatagroup")
)
_SPACE = "http://www.w3.org/XML/1998/namespace space"
_COLORED = {f"{MATERIAL} color", f"{CORE} base"}
_CURA_SETTINGS, _CURA_SETTING = f"{CURA} settings", f"{CURA} setting"
_PARENTS: dict[str, tuple[str | None, ...]] = {
    _MODEL: (None,),
    _RESOURCES: (_MODEL,),
    _BUILD: (_MODEL,),
    _OBJECT: (_RESOURCES,),
    _MESH: (_OBJECT,),
    _VERTICES: (_MESH,),
    _VERTEX: (_VERTICES,),
    _TRIANGLES: (_MESH,),
    _TRIANGLE: (_TRIANGLES,),
    _COMPONENTS: (_OBJECT,),
    _COMPONENT: (_COMPONENTS,),
    _ITEM: (_BUILD,),
    _GROUP: (_OBJECT, _ITEM),
    _METADATA: (_MODEL, _GROUP),
    f"{CORE} basematerials": (_RESOURCES,),
    f"{CORE} base": (f"{CORE} basematerials",),
    f"{ALTERNATIVES} alternatives": (_OBJECT,),
    f"{ALTERNATIVES} alternative": (f"{ALTERNATIVES} alternatives",),
    _CURA_SETTINGS: (_OBJECT,),
    _CURA_SETTING: (_CURA_SETTINGS,),
}
_POINT, _CORNERS = itemgetter("x", "y", "z"), itemgetter("v1", "v2", "v3")


@dataclass(frozen=True, slots=True)
class Placement:
    """An object placed by an item, a component or an alternative."""

    key: Key
    transform: NDArray[np.float64]
    printable: bool = True
    resolution: str = "fullres"


@dataclass(slots=True)
class Object:
    """One ``<object>``: a mesh (numbers and indices in a row) or components.

    ``resolution`` is ``fullres`` unless the mesh only stands in for something else: ``slices``, ``lowres``,
    ``obfuscated``. ``settings``: what Cura says about it, by key.
    """

    kind: str
    resolution: str = "fullres"
    numbers: array[float] = field(default_factory=lambda: array("d"))
    corners: array[int] = field(default_factory=lambda: array("q"))
    components: list[Placement] = field(default_factory=list)
    alternatives: list[Placement] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    has_slices: bool = False


@dataclass(slots=True)
class ModelPart:
    """One model part. ``unit`` as the file says, mm where it doesn't; ``foreign``: namespaces in use that are not read;
    ``faults`` against the specification that leave the shape alone."""

    unit: str = "mm"
    objects: dict[str, Object] = field(default_factory=dict)
    items: list[Placement] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def read_model_part(package: Package, name: str, facets_before: int = 0) -> ModelPart:
    """Parse the part of key ``name``; ``facets_before`` are in other parts already.

    Raises :class:`CorruptModel` for broken XML or values, for encrypted parts and for required extensions that are not
    read.
    """
    if package.encrypted(name):
        raise CorruptModel(f"{name[:60]!a} in the 3MF is encrypted (secure content); export it without encryption")
    return _Reader(package, name, facets_before).read()


class _Reader:
    """Handlers for expat. ``_path`` has the elements that are open, None for those that do not count."""

    def __init__(self, package: Package, name: str, facets_before: int) -> None:
        self._package, self._name, self._facets = package, name, facets_before
        self._model = ModelPart()
        self._path: list[str | None] = []
        self._seen: set[str] = set()
        self._prefixes: dict[str, str] = {}
        self._metadata: set[str] = set()
        self._properties: set[str] = set()
        self._resources = Resources(package)
        self._object: Object | None = None
        self._setting: str | None = None
        self._texts: list[str] = []
        self._core, self._row, self._get, self._rows_end = CORE, "", _POINT, ""
        self._parser = parser = safe_parser()
        parser.StartNamespaceDeclHandler = lambda prefix, uri: self._prefixes.setdefault(prefix or "", uri or "")
        parser.CharacterDataHandler = self._text
        self._count_elements()

    def read(self) -> ModelPart:
        """Parse all of it."""
        feed(self._parser, self._flushed(self._package.blocks(self._name)), self._name)
        return self._model

    def _flushed(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self._flush()

    def _count_elements(self) -> None:
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end

    def _count_rows(self) -> None:
        """Vertices and triangles are by far the most elements, so handlers of their own take them."""
        vertices = self._path[-1] == _VERTICES
        row, self._get = ("vertex", _POINT) if vertices else ("triangle", _CORNERS)
        self._row, self._rows_end = f"{self._core} {row}", f"{self._core} {'vertices' if vertices else 'triangles'}"
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start_row, self._end_row

    def _start_row(self, tag: str, attributes: dict[str, str]) -> None:
        if tag != self._row:
            self._count_elements()
            self._start(tag, attributes)
            return
        try:
            self._texts += self._get(attributes)
        except KeyError as error:
            raise self._broken(tag) from error
        if len(attributes) > 3:
            self._look_at(attributes)

    def _end_row(self, tag: str) -> None:
        if tag == self._rows_end:
            self._flush()
            self._path.pop()
            self._count_elements()

    def _flush(self) -> None:
        """Turn the texts of rows into numbers, a block of XML at a time."""
        if not self._texts or self._object is None:
            return
        joined = "".join(self._texts)
        try:
            if "_" in joined or not joined.isascii():
                raise ValueError
            if self._get is _POINT:
                self._object.numbers.extend(map(float, self._texts))
            else:
                self._facets += len(self._texts) // 3
                if self._facets > MAX_FACETS:
                    raise CorruptModel(f"the 3MF has more than {MAX_FACETS} facets; decimate it")
                self._object.corners.extend(map(int, self._texts))
        except (ValueError, OverflowError) as error:
            raise self._broken(self._row) from error
        self._texts.clear()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag == f"{BEFORE_CORE} model":
            self._core = BEFORE_CORE
        tag = self._canonical(tag)
        parent = self._path[-1] if self._path else None
        counts = (not self._path or parent is not None) and parent in _PARENTS.get(tag, ())
        self._path.append(tag if counts else None)
        if attributes and not self._seen.issuperset(attributes):
            self._look_at(attributes)
        if parent == _RESOURCES and "id" in attributes:
            self._fault(*self._resources.add(tag.rpartition(" ")[2], attributes))
        elif tag in _COLORED:
            self._fault(*color_faults(attributes))
        if not counts:
            self._pass_over(tag, parent)
            return
        try:
            self._open(tag, attributes)
        except (KeyError, ValueError, OverflowError) as error:
            raise self._broken(tag) from error

    def _end(self, tag: str) -> None:
        self._path.pop()
        if self._path and self._path[-1] in (_VERTICES, _TRIANGLES):
            self._count_rows()
        elif self._canonical(tag) in (_METADATA, _CURA_SETTING):
            self._setting = None

    def _canonical(self, tag: str) -> str:
        return tag if self._core == CORE else tag.replace(f"{self._core} ", f"{CORE} ")

    def _text(self, text: str) -> None:
        if self._setting is not None and self._object is not None:
            self._object.settings[self._setting] = (self._object.settings.get(self._setting, "") + text)[:100]

    def _pass_over(self, tag: str, parent: str | None) -> None:
        space = namespace_of(tag)
        if not self._path[:-1]:
            raise CorruptModel(f"{self._name[:60]!a} is no 3MF model: its root is {tag[:80]!a}; export it again")
        if space not in NEUTRAL:
            self._model.foreign.add(space)
        elif space == CORE and parent is not None:
            self._fault(f"<{tag.rpartition(' ')[2][:20]}> where it may not be")

    def _look_at(self, attributes: dict[str, str]) -> None:
        for name in attributes:
            if name not in self._seen and len(self._seen) < 10_000:
                self._seen.add(name)
                space = namespace_of(name)
                if space and space not in NEUTRAL:
                    self._model.foreign.add(space)
                elif name == _SPACE:
                    self._fault("xml:space, which may not be used")
        for pid in {attributes["pid"]} - self._properties if "pid" in attributes else ():
            self._properties.add(pid)
            self._fault(*self._resources.check_property(pid))

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        """What an element that counts says."""
        model, thing = self._model, self._object
        if tag == _MODEL:
            self._open_model(attributes)
        elif tag == _OBJECT:
            self._open_object(attributes)
        elif tag == _ITEM:
            model.items.append(self._reference(attributes))
        elif tag in (_METADATA, _CURA_SETTING):
            self._setting = self._setting_of(tag, attributes)
        elif thing is None:
            return
        elif tag in (_VERTICES, _TRIANGLES):
            if len(thing.numbers if tag == _VERTICES else thing.corners):
                raise CorruptModel("an object of the 3MF has two meshes; export it again")
            self._count_rows()
        elif tag == _COMPONENT:
            thing.components.append(self._component(attributes))
        elif tag == f"{ALTERNATIVES} alternative":
            thing.alternatives.append(self._reference(attributes))

    def _open_model(self, attributes: dict[str, str]) -> None:
        for prefix in attributes.get("requiredextensions", "").split():
            if prefix not in self._prefixes:
                raise CorruptModel(f"the 3MF needs the extension {prefix[:40]!a}, which it does not declare")
            space = self._prefixes[prefix]
            if space not in NEUTRAL:
                raise CorruptModel(
                    f"the 3MF needs the extension {describe(space)}, which is not read; export it as a plain mesh"
                )
        recommended = (self._prefixes.get(p, p) for p in attributes.get("recommendedextensions", "").split())
        self._model.foreign.update(space for space in recommended if space not in NEUTRAL)
        unit = attributes.get("unit", "millimeter")
        if unit not in _UNITS:
            raise CorruptModel(f"the 3MF is in the unit {unit[:20]!a}, which 3MF does not know; export it again")
        self._model.unit = _UNITS[unit]

    def _open_object(self, attributes: dict[str, str]) -> None:
        identifier, kind = attributes["id"], attributes.get("type", "model")
        if identifier in self._model.objects:
            raise CorruptModel(f"the 3MF has two objects {identifier[:20]!a}; export it again")
        if kind not in _TYPES:
            raise CorruptModel(f"the 3MF has an object of type {kind[:20]!a}, which 3MF does not know; export it again")
        resolution = _resolution(attributes.get(f"{ALTERNATIVES} modelresolution"))
        if _resolution(attributes.get(f"{SLICE} meshresolution")) != "fullres":
            resolution = "slices"
        self._fault(*self._resources.check_property(attributes.get("pid"), attributes.get("pindex")))
        slices = f"{SLICE} slicestackid" in attributes
        self._object = self._model.objects[identifier] = Object(kind, resolution, has_slices=slices)

    def _component(self, attributes: dict[str, str]) -> Placement:
        if f"{PRODUCTION} path" in attributes and self._name != self._package.root:
            raise CorruptModel("a part of the 3MF refers to another part, which only its root may; export it again")
        component = self._reference(attributes)
        part, identifier = component.key
        if part == self._name and identifier not in self._model.objects:
            self._fault(f"object {identifier[:20]!a} is used before it is defined")
        return component

    def _reference(self, attributes: dict[str, str]) -> Placement:
        path = attributes.get(f"{PRODUCTION} path", attributes.get("path"))
        part = self._name if path is None else self._package.resolve(path, self._name)
        printable = attributes.get("printable", "1").strip().lower() not in ("0", "false")
        resolution = _resolution(attributes.get("modelresolution"))
        return Placement((part, attributes["objectid"]), _transform(attributes.get("transform")), printable, resolution)

    def _setting_of(self, tag: str, attributes: dict[str, str]) -> str | None:
        """The key of a setting of Cura that the text of this element is the value of."""
        if tag == _CURA_SETTING:
            return attributes.get("key", "")[:100]
        if len(self._path) == 2:
            name = attributes.get("name", "")
            if not name or name in self._metadata:
                self._fault(f"metadata named {name[:40]!a}, twice or empty")
            if len(self._metadata) < 10_000:
                self._metadata.add(name)
        prefix, colon, name = attributes.get("name", "").partition(":")
        in_object = len(self._path) > 2 and self._path[-3] == _OBJECT
        return name[:100] if colon and in_object and self._prefixes.get(prefix, prefix) in (CURA, "cura") else None

    def _fault(self, *texts: str) -> None:
        for text in texts:
            if text not in self._model.faults and len(self._model.faults) < _MOST_FAULTS:
                self._model.faults.append(text)

    def _broken(self, tag: str) -> CorruptModel:
        line = self._parser.CurrentLineNumber
        return CorruptModel(f"the 3MF's <{tag.rpartition(' ')[2][:20]}> in line {line} is broken; export it again")


def _resolution(text: str | None) -> str:
    if text is not None and text not in _RESOLUTIONS:
        raise CorruptModel(f"the 3MF has the resolution {text[:20]!a}, which 3MF does not know; export it again")
    return text or "fullres"


def _transform(text: str | None) -> NDArray[np.float64]:
    """The 3MF's twelve numbers (rows of a row-vector matrix) as a (4, 4) for column vectors."""
    matrix = np.eye(4)
    if text is not None:
        try:
            numbers = [float(word) for word in text.split()]
        except ValueError:
            numbers = []
        if len(numbers) != 12 or not np.all(np.isfinite(numbers)):
            raise CorruptModel(
                f"the 3MF has the transform {text[:40]!a}, which must be twelve numbers; export it again"
            )
        matrix[:3] = np.array(numbers).reshape(4, 3).T
    return matrix
