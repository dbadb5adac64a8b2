"""3MF (3MF Consortium, core 1.4, production 1.2): the objects that the build (core, chapter 3.4) places.

Reads the objects of printable build items with transforms and components, also from other model parts, with the roles
that the slicer gave them (:mod:`pricing_engine.mesh.slicer_project`): negative volumes are subtracted, other parts that
are not material are skipped with a note. An extension that the file requires and Facet does not read is an error, as
the specification demands; an optional one gives a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.instances import assemble, check_facet_count
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote
from pricing_engine.mesh.slicer_project import SlicerProject, read_project
from pricing_engine.mesh.threemf_faults import package_faults
from pricing_engine.mesh.threemf_model import ModelObject, ModelPart, ObjectKey, ObjectReference, read_model_part
from pricing_engine.mesh.threemf_names import describe
from pricing_engine.mesh.threemf_package import Package
from pricing_engine.mesh.threemf_solid import SolidBuilder

_MAX_DEPTH = 100
_MAX_INSTANCES = 100_000
_MAX_MODEL_PARTS = 10_000
_MAX_MESSAGE = 280
_PLACEHOLDERS = {
    "slices": "a low-resolution placeholder for slices",
    "lowres": "a low-resolution placeholder",
    "obfuscated": "an obfuscated placeholder",
}


def read_3mf(data: bytes) -> RawMesh:
    """Read the build of a 3MF as one mesh in the file's unit; 24 bytes a vertex and a facet beside the result.

    Raises :class:`CorruptModel`, :class:`EmptyModel` without material, ``UnknownFormat`` for other zip archives.
    """
    package = Package(data)
    loader = _Loader(package)
    root = loader.part(package.root)
    if not root.items:
        raise CorruptModel("the build of the 3MF has no items; place the object on the plate and save the file again")
    project = read_project(package)
    items = [item for item in root.items if item.printable]
    objects = loader.load(items)
    if len(loader.units) > 1:
        units = ", ".join(sorted(loader.units))
        raise CorruptModel(
            f"the parts of the 3MF have different units ({units}; mm where none is stated); "
            "export the model again with one unit"
        )
    _check_size(objects, items)
    builder = SolidBuilder(objects, package.root, project)
    instances = [instance for item in items for instance in builder.place(item)]
    notes = (
        *_notes(root.items, project, builder),
        *_extension_notes(loader.models.values()),
        *loader.notes,
        *_fault_note([*package_faults(package), *(f for model in loader.models.values() for f in model.faults)]),
    )
    if not instances:
        reason = "; ".join(note.message for note in notes) or "its objects are empty"
        raise EmptyModel(f"the build of the 3MF has no material: {reason}"[:_MAX_MESSAGE])
    return RawMesh(*assemble(instances), root.unit, notes)


class _Loader:
    """Loads model parts and objects on demand; the first readable full-resolution alternative replaces an object."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self.models: dict[str, ModelPart] = {}
        self.units = {self.part(package.root).unit}
        self.notes: list[ReaderNote] = []

    def part(self, name: str) -> ModelPart:
        """Return the model part of key ``name``, parsed once."""
        if name not in self.models:
            if len(self.models) >= _MAX_MODEL_PARTS:
                raise CorruptModel(f"the 3MF has more than {_MAX_MODEL_PARTS} model parts; export it again with fewer")
            facets = sum(len(o.corners) // 3 for model in self.models.values() for o in model.objects.values())
            self.models[name] = read_model_part(self._package, name, facets)
        return self.models[name]

    def load(self, items: Iterable[ObjectReference]) -> dict[ObjectKey, ModelObject]:
        """Return all objects that ``items`` place, directly or as components."""
        objects: dict[ObjectKey, ModelObject] = {}
        pending = [item.key for item in items]
        while pending:
            key = pending.pop()
            if key not in objects:
                objects[key] = self._at_full_resolution(self._find_object(key))
                pending += [component.key for component in objects[key].components]
        return objects

    def _find_object(self, key: ObjectKey) -> ModelObject:
        model_object = self.part(key[0]).objects.get(key[1])
        if model_object is None:
            raise CorruptModel(
                f"the 3MF refers to object {key[1][:20]!a}, which does not exist; export the model again"
            )
        if model_object.components and model_object.numbers:
            raise CorruptModel(
                f"object {key[1][:20]!a} of the 3MF has both a mesh and components; export the model again"
            )
        self.units.add(self.models[key[0]].unit)
        return model_object

    def _at_full_resolution(self, model_object: ModelObject) -> ModelObject:
        """Return the object, or its first readable alternative at full resolution (alternatives extension)."""
        for alternative in model_object.alternatives:
            if alternative.resolution == "fullres":
                try:
                    chosen = self._find_object(alternative.key)
                except CorruptModel as error:
                    message = f"an alternative of an object was not read ({error})"
                    self.notes = [ReaderNote("alternative_not_read", message[:_MAX_MESSAGE])]
                else:
                    if chosen.alternatives:
                        raise CorruptModel("an alternative in the 3MF has alternatives itself; export the model again")
                    return replace(chosen, kind=model_object.kind, resolution="fullres", settings=model_object.settings)
        if model_object.resolution in _PLACEHOLDERS:
            raise CorruptModel(
                f"an object of the 3MF is {_PLACEHOLDERS[model_object.resolution]} ({model_object.resolution}) without "
                "a full mesh that Facet reads; export it at full resolution"
            )
        return model_object


def _check_size(objects: dict[ObjectKey, ModelObject], items: Iterable[ObjectReference]) -> None:
    """Reject cyclic components and multiplication beyond the limits before placing any. O(components)."""
    sizes: dict[ObjectKey, tuple[int, int]] = {}
    open_objects: set[ObjectKey] = set()
    stack = [(item.key, False) for item in items]
    depth: dict[ObjectKey, int] = {}
    while stack:
        key, completed = stack.pop()
        model_object = objects[key]
        children = [component.key for component in model_object.components]
        if completed:
            open_objects.discard(key)
            facets = len(model_object.corners) // 3 + sum(sizes[child][0] for child in children)
            sizes[key] = facets, 1 + sum(sizes[child][1] for child in children)
            depth[key] = 1 + max((depth.get(child, 0) for child in children), default=0)
            if depth[key] > _MAX_DEPTH:
                raise CorruptModel(
                    f"the 3MF nests components more than {_MAX_DEPTH} deep; export it with a flatter structure"
                )
        elif key in open_objects:
            raise CorruptModel("a 3MF component contains itself; export the model again")
        elif key not in sizes:
            open_objects.add(key)
            stack.append((key, True))
            stack += [(child, False) for child in children if child not in sizes]
    sizes_placed = [sizes[item.key] for item in items]
    check_facet_count(sum(f for f, _ in sizes_placed), sum(len(o.corners) // 3 for o in objects.values()))
    if sum(n for _, n in sizes_placed) > _MAX_INSTANCES:
        raise CorruptModel(f"the 3MF places more than {_MAX_INSTANCES} objects; export fewer copies")


def _notes(items: list[ObjectReference], project: SlicerProject, builder: SolidBuilder) -> Iterable[ReaderNote]:
    """Yield notes about skipped and subtracted parts and about what needs a review."""
    hidden_count = sum(not item.printable for item in items)
    if hidden_count:
        yield ReaderNote("not_printable", f"{hidden_count} items are marked as not printable and were skipped")
    for code, counts, text in (
        ("not_model_objects", builder.skipped_types, "support objects were skipped"),
        (
            "slicer_parts_left_out",
            builder.skipped_roles,
            "parts of the slicer's project are not material and were skipped",
        ),
        (
            "other_objects_left_out",
            builder.skipped_others,
            "objects of type other were skipped, which a build may not have",
        ),
        (
            "open_surface_left_out",
            builder.open_surfaces,
            "surface objects are not closed, have no volume and were skipped",
        ),
    ):
        if counts:
            yield ReaderNote(code, f"{_total_count(counts)} {text}: {_format_counts(counts)}")
    if builder.sliced:
        text = f"{builder.sliced} objects have slices, which Facet does not read; their meshes are priced"
        yield ReaderNote("slices_not_read", text)
    if builder.subtracted:
        yield ReaderNote("negative_parts_subtracted", f"{builder.subtracted} negative volumes were subtracted")
    if project.unknown or builder.unmatched:
        descriptions = [*project.unknown, *builder.unmatched]
        yield ReaderNote(
            "unknown_slicer_parts", f"the slicer's project has unknown parts: {'; '.join(descriptions[:5])}"
        )
    if project.shape_settings:
        yield ReaderNote(
            "slicer_changes_shape", f"the slicer's settings change the shape: {', '.join(project.shape_settings[:5])}"
        )
    plates = [(name, objects) for name, objects in project.plates if objects]
    off_plate = {item.key[1] for item in items}.difference(*(objects for _, objects in plates)) if plates else set()
    if len(plates) > 1 or off_plate:
        plate_texts = "; ".join(f"{name!a}: object {', '.join(objects[:10])}" for name, objects in plates[:10])
        off_plate_text = f"; outside the plates: object {', '.join(sorted(off_plate)[:10])}" if off_plate else ""
        yield ReaderNote(
            "plates", f"{len(plates)} plates, priced together: {plate_texts}{off_plate_text}"[:_MAX_MESSAGE]
        )


def _extension_notes(models: Iterable[ModelPart]) -> Iterable[ReaderNote]:
    namespaces = sorted({namespace for model in models for namespace in model.unread_namespaces})
    if namespaces:
        titles = ", ".join(describe(name) for name in namespaces[:5])
        yield ReaderNote(
            "extension_not_read",
            f"the 3MF uses extensions that Facet does not read and that may change the shape: {titles}",
        )


def _fault_note(faults: list[str]) -> Iterable[ReaderNote]:
    if faults:
        yield ReaderNote(
            "breaks_3mf",
            f"the file violates the 3MF specification and was read anyway: {'; '.join(faults)}"[:_MAX_MESSAGE],
        )


def _total_count(counts: Counter[str]) -> int:
    return sum(counts.values())


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())[:5])
