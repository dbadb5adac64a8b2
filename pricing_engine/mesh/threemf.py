"""3MF (3MF Consortium, core 1.4 and the production extension 1.2): what the build places, in the file's unit.

Only objects that a printable item of the build names are read, with their transforms and components, through other
model parts of the package too, and as the slicer that saved the project means them
(:mod:`pricing_engine.mesh.slicer_project`): negative volumes are taken away, whatever else is no material is left out
and reported. Nothing that could change the price is passed over in silence: an extension that the file requires and
that is not read is refused, as the specification wants, and one that it only uses is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.instances import assemble, check_facet_count
from pricing_engine.mesh.raw_mesh import Note, Parsed
from pricing_engine.mesh.slicer_project import Project, read_project
from pricing_engine.mesh.threemf_faults import package_faults
from pricing_engine.mesh.threemf_model import Key, ModelPart, Object, Placement, read_model_part
from pricing_engine.mesh.threemf_names import describe
from pricing_engine.mesh.threemf_package import Package
from pricing_engine.mesh.threemf_solid import Builder

_DEEPEST = 100
_MOST_INSTANCES = 100_000
_MOST_PARTS_READ = 10_000
_PLACEHOLDERS = {
    "slices": "a low-resolution mesh that stands in for slices",
    "lowres": "a low-resolution placeholder",
    "obfuscated": "an obfuscated placeholder",
}


def read_3mf(data: bytes) -> Parsed:
    """Read the build of a 3MF as one model. Memory: 24 bytes a vertex and 24 a facet beside the result."""
    package = Package(data)
    loader = _Loader(package)
    root = loader.part(package.root)
    if not root.items:
        raise CorruptModel("the 3MF builds nothing: no item in its build; place the object on the plate and save again")
    project = read_project(package)
    items = [item for item in root.items if item.printable]
    objects = loader.load(items)
    if len(loader.units) > 1:
        listed = ", ".join(sorted(loader.units))
        raise CorruptModel(
            f"the parts of the 3MF are in different units ({listed}; mm where none is stated): nobody can tell which "
            "holds; export it again in one"
        )
    _check_size(objects, items)
    builder = Builder(objects, package.root, project)
    instances = [instance for item in items for instance in builder.place(item)]
    notes = (
        *_notes(root.items, project, builder),
        *_extension_notes(loader.models.values()),
        *loader.notes,
        *_fault_note([*package_faults(package), *(f for model in loader.models.values() for f in model.faults)]),
    )
    if not instances:
        why = "; ".join(note.message for note in notes) or "its objects are empty"
        raise EmptyModel(f"nothing in the 3MF's build is material: {why}"[:280])
    return Parsed(*assemble(instances), root.unit, notes)


class _Loader:
    """Model parts and objects by need. An object that has alternatives is replaced by the first full one that can be
    read."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self.models: dict[str, ModelPart] = {}
        self.units = {self.part(package.root).unit}
        self.notes: list[Note] = []

    def part(self, name: str) -> ModelPart:
        """The model part of key ``name``, parsed once."""
        if name not in self.models:
            if len(self.models) >= _MOST_PARTS_READ:
                raise CorruptModel(f"the 3MF is in more than {_MOST_PARTS_READ} model parts, too many to read")
            facets = sum(len(o.corners) // 3 for model in self.models.values() for o in model.objects.values())
            self.models[name] = read_model_part(self._package, name, facets)
        return self.models[name]

    def load(self, items: Iterable[Placement]) -> dict[Key, Object]:
        """All objects that ``items`` place, directly or as components."""
        objects: dict[Key, Object] = {}
        waiting = [item.key for item in items]
        while waiting:
            key = waiting.pop()
            if key not in objects:
                objects[key] = self._full(self._find(key))
                waiting += [component.key for component in objects[key].components]
        return objects

    def _find(self, key: Key) -> Object:
        found = self.part(key[0]).objects.get(key[1])
        if found is None:
            raise CorruptModel(f"the 3MF refers to object {key[1][:20]!a}, which is not in it; export it again")
        if found.components and found.numbers:
            raise CorruptModel(f"object {key[1][:20]!a} of the 3MF has a mesh and components; export it again")
        self.units.add(self.models[key[0]].unit)
        return found

    def _full(self, thing: Object) -> Object:
        """The object itself, or the first of its alternatives at full resolution that can be read."""
        for alternative in thing.alternatives:
            if alternative.resolution == "fullres":
                try:
                    chosen = self._find(alternative.key)
                except CorruptModel as error:
                    message = f"an alternative of an object was not read ({error})"
                    self.notes = [Note("alternative_not_read", message[:280])]
                else:
                    if chosen.alternatives:
                        raise CorruptModel("an alternative in the 3MF has alternatives of its own; export it again")
                    return replace(chosen, kind=thing.kind, resolution="fullres", settings=thing.settings)
        if thing.resolution in _PLACEHOLDERS:
            raise CorruptModel(
                f"an object of the 3MF is {_PLACEHOLDERS[thing.resolution]} ({thing.resolution}) without a full mesh "
                "that can be read; export it at full resolution"
            )
        return thing


def _check_size(objects: dict[Key, Object], items: Iterable[Placement]) -> None:
    """Refuse components that contain themselves or multiply beyond measure, before any is placed. O(components)."""
    sizes: dict[Key, tuple[int, int]] = {}
    entered: set[Key] = set()
    stack = [(item.key, False) for item in items]
    depth: dict[Key, int] = {}
    while stack:
        key, leaving = stack.pop()
        thing = objects[key]
        children = [component.key for component in thing.components]
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
    wanted = [sizes[item.key] for item in items]
    check_facet_count(sum(f for f, _ in wanted), sum(len(o.corners) // 3 for o in objects.values()))
    if sum(n for _, n in wanted) > _MOST_INSTANCES:
        raise CorruptModel(f"the 3MF places more than {_MOST_INSTANCES} objects, too many to read; export fewer copies")


def _notes(items: list[Placement], project: Project, builder: Builder) -> Iterable[Note]:
    """What was left out or taken away, and what a person has to look at."""
    hidden = sum(not item.printable for item in items)
    if hidden:
        yield Note("not_printable", f"{hidden} items are marked as not printable and were left out")
    for code, counted, text in (
        ("not_model_objects", builder.left_out_types, "objects that are supports or the like were left out"),
        ("slicer_parts_left_out", builder.left_out_roles, "parts of the slicer's project are no material"),
        ("other_objects_left_out", builder.others, "objects of type other are in the build, where none may be"),
        ("open_surface_left_out", builder.open_surfaces, "surface objects are not closed, so they have no volume"),
    ):
        if counted:
            yield Note(code, f"{_total(counted)} {text}: {_listed(counted)}")
    if builder.sliced:
        text = f"{builder.sliced} objects have slices, which are not read; their meshes are priced"
        yield Note("slices_not_read", text)
    if builder.subtracted:
        yield Note("negative_parts_subtracted", f"{builder.subtracted} negative volumes were taken away")
    if project.unknown or builder.unmatched:
        named = [*project.unknown, *builder.unmatched]
        yield Note("unknown_slicer_parts", f"the slicer's project names what is not known: {'; '.join(named[:5])}")
    if project.shaping:
        yield Note("slicer_changes_shape", f"the slicer's settings change the shape: {', '.join(project.shaping[:5])}")
    plates = [(name, objects) for name, objects in project.plates if objects]
    on_none = {item.key[1] for item in items}.difference(*(objects for _, objects in plates)) if plates else set()
    if len(plates) > 1 or on_none:
        listed = "; ".join(f"{name!a}: object {', '.join(objects[:10])}" for name, objects in plates[:10])
        beside = f"; beside the plates: object {', '.join(sorted(on_none)[:10])}" if on_none else ""
        yield Note("plates", f"{len(plates)} plates, priced together: {listed}{beside}"[:280])


def _extension_notes(models: Iterable[ModelPart]) -> Iterable[Note]:
    names = sorted({space for model in models for space in model.foreign})
    if names:
        listed = ", ".join(describe(name) for name in names[:5])
        yield Note("extension_not_read", f"the 3MF uses extensions that are not read and may shape it: {listed}")


def _fault_note(faults: list[str]) -> Iterable[Note]:
    if faults:
        yield Note("breaks_3mf", f"the file is not as 3MF says, and was read all the same: {'; '.join(faults)}"[:280])


def _total(counted: Counter[str]) -> int:
    return sum(counted.values())


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(counted.items())[:5])
