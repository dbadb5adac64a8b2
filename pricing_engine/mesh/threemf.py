"""3MF (3MF Consortium, core 1.3 and the production extension): what the build places, in the file's unit.

Only objects that an item of the build names are read, with their transforms and components, through other model parts
of the package too. Objects that are not of type ``model`` (supports and the like) are left out and told. An extension
that the file *requires* and that changes the shape is refused, as the specification wants: without it the price would
be wrong. XML is streamed through expat: O(bytes) time, memory for the arrays alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import Instance, Part, assemble, check_facet_count
from pricing_engine.mesh.package import Package, feed, safe_parser
from pricing_engine.mesh.parsed import MAX_FACETS, Note, Parsed, check_indices

_UNITS = {"micron": "um", "millimeter": "mm", "centimeter": "cm", "inch": "in", "foot": "ft", "meter": "m"}
_HARMLESS = ("/core/", "/production/", "/material/", "/slice/", "/trianglesets/")
_DEEPEST = 100
_MOST_INSTANCES = 100_000
Key = tuple[str, str]


@dataclass(slots=True)
class _Object:
    """One ``<object>``: a mesh (numbers and indices in a row) or components, each (part name, id, transform)."""

    kind: str
    numbers: array[float] = field(default_factory=lambda: array("d"))
    corners: array[int] = field(default_factory=lambda: array("q"))
    components: list[tuple[Key, NDArray[np.float64]]] = field(default_factory=list)


@dataclass(slots=True)
class _Model:
    """One model part: its unit, objects by id, and build items."""

    unit: str = "mm"
    objects: dict[str, _Object] = field(default_factory=dict)
    items: list[tuple[Key, NDArray[np.float64]]] = field(default_factory=list)


def read_3mf(data: bytes) -> Parsed:
    """Read the build of a 3MF as one model. Memory: 24 bytes a vertex and 24 a facet beside the result."""
    package = Package(data)
    models = {package.root: _parse_model(package, package.root)}
    root = models[package.root]
    if not root.items:
        raise CorruptModel("the 3MF builds nothing: no item in its build; place the object on the plate and save again")
    objects: dict[Key, _Object] = {}
    waiting = [key for key, _ in root.items]
    while waiting:
        key = waiting.pop()
        if key in objects:
            continue
        if key[0] not in models:
            models[key[0]] = _parse_model(package, key[0])
        if key[1] not in models[key[0]].objects:
            raise CorruptModel(f"the 3MF refers to object {key[1][:20]!a}, which is not in it; export it again")
        objects[key] = models[key[0]].objects[key[1]]
        waiting += [component for component, _ in objects[key].components]
    units = {models[name].unit for name, _ in objects}
    if len(units | {root.unit}) > 1:
        raise CorruptModel("the parts of the 3MF are in different units; export it again in one")
    left_out = _check_size(objects, root.items)
    parts = {key: _part(thing) for key, thing in objects.items() if thing.numbers}
    instances: list[Instance] = []
    for key, transform in root.items:
        if objects[key].kind == "model":
            _place(objects, parts, key, transform, instances)
    notes = (Note("not_model_objects", f"{left_out} objects that are supports or the like were left out"),)
    return Parsed(*assemble(instances), root.unit, notes if left_out else ())


def _place(
    objects: dict[Key, _Object], parts: dict[Key, Part], key: Key, transform: NDArray[np.float64], out: list[Instance]
) -> None:
    if key in parts:
        out.append(Instance(parts[key], transform))
    for component, inner in objects[key].components:
        if objects[component].kind == "model":
            with np.errstate(all="ignore"):
                _place(objects, parts, component, transform @ inner, out)


def _part(thing: _Object) -> Part:
    vertices = np.frombuffer(thing.numbers, np.float64).reshape(-1, 3)
    facets = np.frombuffer(thing.corners, np.int64).reshape(-1, 3)
    check_indices(facets, len(vertices))
    return Part(vertices, facets)


def _check_size(objects: dict[Key, _Object], items: Iterable[tuple[Key, object]]) -> int:
    """Refuse components that contain themselves or multiply beyond measure, before any is placed. O(components).

    Returns how many objects are left out for their type.
    """
    sizes: dict[Key, tuple[int, int]] = {}
    entered: set[Key] = set()
    left_out: set[Key] = set()
    stack = [(key, False) for key, _ in items]
    depth: dict[Key, int] = {}
    while stack:
        key, leaving = stack.pop()
        thing = objects[key]
        if thing.kind != "model":
            left_out.add(key)
            sizes[key] = (0, 0)
            continue
        children = [component for component, _ in thing.components]
        if leaving:
            entered.discard(key)
            facets = len(thing.corners) // 3 + sum(sizes[child][0] for child in children)
            sizes[key] = facets, 1 + sum(sizes[child][1] for child in children)
            depth[key] = 1 + max((depth.get(child, 0) for child in children), default=0)
            if depth[key] > _DEEPEST:
                raise CorruptModel(f"the 3MF nests components more than {_DEEPEST} deep; export it again")
        elif key in entered:
            raise CorruptModel("a 3MF component contains itself; export it again")
        elif key not in sizes:
            entered.add(key)
            stack.append((key, True))
            stack += [(child, False) for child in children if child not in sizes]
    wanted = [sizes[key] for key, _ in items]
    check_facet_count(sum(f for f, _ in wanted), sum(len(o.corners) // 3 for o in objects.values()))
    if sum(n for _, n in wanted) > _MOST_INSTANCES:
        raise CorruptModel(f"the 3MF places more than {_MOST_INSTANCES} objects, too many to read; export fewer copies")
    return len(left_out)


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


def _parse_model(package: Package, name: str) -> _Model:
    """One model part by expat; handlers see names without their namespace prefix."""
    model = _Model()
    current: list[_Object] = []
    stored = 0

    def vertex(attributes: dict[str, str]) -> None:
        current[-1].numbers.extend((float(attributes["x"]), float(attributes["y"]), float(attributes["z"])))

    def triangle(attributes: dict[str, str]) -> None:
        nonlocal stored
        stored += 1
        if stored > MAX_FACETS:
            raise CorruptModel(f"the 3MF has more than {MAX_FACETS} facets; decimate it")
        current[-1].corners.extend((int(attributes["v1"]), int(attributes["v2"]), int(attributes["v3"])))

    def reference(attributes: dict[str, str]) -> tuple[Key, NDArray[np.float64]]:
        path = next((value for key, value in attributes.items() if key.rpartition(":")[2] == "path"), None)
        part = name if path is None else package.resolve(path, "/" + name)
        return (part, attributes["objectid"]), _transform(attributes.get("transform"))

    def start(tag: str, attributes: dict[str, str]) -> None:
        try:
            if tag == "vertex":
                vertex(attributes)
            elif tag == "triangle":
                triangle(attributes)
            else:
                other(tag.rpartition(":")[2], tag, attributes)
        except (KeyError, ValueError, IndexError, OverflowError) as error:
            line = parser.CurrentLineNumber
            raise CorruptModel(f"the 3MF's <{tag[:20]}> in line {line} is broken; export it again") from error

    def other(tag: str, full: str, attributes: dict[str, str]) -> None:
        if tag == "model":
            _check_extensions(attributes)
            unit = attributes.get("unit", "millimeter")
            if unit not in _UNITS:
                raise CorruptModel(f"the 3MF is in the unit {unit[:20]!a}, which 3MF does not know; export it again")
            model.unit = _UNITS[unit]
        elif tag == "object":
            if attributes["id"] in model.objects:
                raise CorruptModel(f"the 3MF has two objects {attributes['id'][:20]!a}; export it again")
            current.append(_Object(attributes.get("type", "model")))
            model.objects[attributes["id"]] = current[-1]
        elif tag == "component":
            current[-1].components.append(reference(attributes))
        elif tag == "item":
            model.items.append(reference(attributes))
        elif tag == "vertex" and full != tag:
            vertex(attributes)
        elif tag == "triangle" and full != tag:
            triangle(attributes)

    parser: expat.XMLParserType = safe_parser()
    parser.StartElementHandler = start
    feed(parser, package.blocks(name), name)
    return model


def _check_extensions(attributes: dict[str, str]) -> None:
    for prefix in attributes.get("requiredextensions", "").split():
        space = attributes.get(f"xmlns:{prefix}", prefix)
        if not any(harmless in space for harmless in _HARMLESS):
            raise CorruptModel(
                f"the 3MF needs the extension {space[:80]!a}, which Facet does not read; export it as a plain mesh"
            )
