"""Turn 3MF objects into instances of solid parts; roles, types and triangle ranges decide what is material."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.difference import subtract
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import Instance, PartMesh, assemble
from pricing_engine.mesh.raw_mesh import check_indices
from pricing_engine.mesh.slicer_project import MATERIAL, NEGATIVE, SlicerProject, TriangleRange, cura_role
from pricing_engine.mesh.threemf_model import ModelObject, ObjectKey, ObjectReference

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some triangles of an object; ``role`` is :data:`MATERIAL` or :data:`NEGATIVE`."""

    part: PartMesh
    role: str


class SolidBuilder:
    """Places items and counts the skipped objects and parts by kind, each once."""

    def __init__(self, objects: dict[ObjectKey, ModelObject], root: str, project: SlicerProject) -> None:
        self._objects, self._root, self._project = objects, root, project
        self._pieces: dict[tuple[ObjectKey, str | None], list[_Piece]] = {}
        self._solids: dict[ObjectKey, list[Instance]] = {}
        self._differences: dict[tuple[tuple[int, bytes], ...], list[PartMesh]] = {}
        self._counted_parts: set[tuple[ObjectKey, str]] = set()
        self.skipped_types: Counter[str] = Counter()
        self.skipped_roles: Counter[str] = Counter()
        self.skipped_others: Counter[str] = Counter()
        self.open_surfaces: Counter[str] = Counter()
        self.subtracted = 0
        self.sliced = sum(model_object.has_slices for model_object in objects.values())
        self.unmatched = [
            f"part {part[:20]!a} of object {object_id[:20]!a}"
            for (object_id, part), role in project.parts.items()
            if role != MATERIAL and (root, object_id) in objects and not self._has_part(object_id, part)
        ]
        self.unmatched += [
            f"triangles of object {object_id[:20]!a}"
            for object_id, ranges in project.ranges.items()
            if not self._covers_mesh(object_id, ranges)
        ]

    def place(self, item: ObjectReference) -> Iterator[Instance]:
        """Yield the item's instances; negative volumes are subtracted from their own object alone."""
        if item.key not in self._solids:
            self._solids[item.key] = self._solid(item.key)
        for instance in self._solids[item.key]:
            with np.errstate(all="ignore"):  # overflow is rejected by the check of coordinates
                yield Instance(instance.part, item.transform @ instance.transform)

    def _has_part(self, object_id: str, part: str) -> bool:
        components = self._objects[self._root, object_id].components
        return any(component.key[1] == part for component in components) if components else part == object_id

    def _covers_mesh(self, object_id: str, ranges: list[TriangleRange]) -> bool:
        """Return whether the ranges cover the object's own mesh completely; True for objects not placed."""
        if (self._root, object_id) not in self._objects:
            return True
        return sum(r.last + 1 - r.first for r in ranges) == len(self._objects[self._root, object_id].corners) // 3

    def _solid(self, key: ObjectKey) -> list[Instance]:
        """Return an object's instances in its own coordinates, without its negative volumes."""
        instances: dict[str, list[Instance]] = {MATERIAL: [], NEGATIVE: []}
        placed_pieces: list[tuple[int, bytes]] = []
        for piece, transform in self._walk(key, np.eye(4), None):
            instances[piece.role].append(Instance(piece.part, transform))
            placed_pieces.append((id(piece), transform.tobytes()))  # pieces are cached, so ids stay unique
        if not instances[NEGATIVE] or not instances[MATERIAL]:
            return instances[MATERIAL]
        if tuple(placed_pieces) not in self._differences:  # PrusaSlicer stores each copy as its own object
            self._differences[tuple(placed_pieces)] = self._difference(instances)
        return [Instance(part, np.eye(4)) for part in self._differences[tuple(placed_pieces)]]

    def _difference(self, instances: dict[str, list[Instance]]) -> list[PartMesh]:
        self.subtracted += len(instances[NEGATIVE])
        parts, negatives = (
            [PartMesh(*assemble([instance])) for instance in instances[role]] for role in (MATERIAL, NEGATIVE)
        )
        for part in (*parts, *negatives):
            if not np.isfinite(part.vertices).all():
                raise CorruptModel("a coordinate of the 3MF is not a number or infinite; repair the model")
        return [part for part in subtract(parts, negatives) if len(part.facets)]

    def _walk(self, key: ObjectKey, transform: Floats, role: str | None) -> Iterator[tuple[_Piece, Floats]]:
        """Yield all pieces of an object and its components, depth first; the depth is already checked."""
        model_object = self._objects[key]
        own_role = cura_role(model_object.settings, self._project)
        if own_role is None and key[0] == self._root:
            own_role = self._project.parts.get((key[1], key[1])) if not model_object.components else None
        role = own_role or role
        if model_object.numbers:
            if (key, role) not in self._pieces:
                self._pieces[key, role] = list(self._split(key, model_object, role))
            for piece in self._pieces[key, role]:
                yield piece, transform
        for component in model_object.components:
            component_role = self._project.parts.get((key[1], component.key[1])) if key[0] == self._root else None
            with np.errstate(all="ignore"):
                inner = transform @ component.transform
            yield from self._walk(component.key, inner, component_role or role)

    def _split(self, key: ObjectKey, model_object: ModelObject, role: str | None) -> Iterator[_Piece]:
        """Yield the pieces of a mesh that count: all, or the slicer's ranges and the remaining triangles."""
        vertices = np.frombuffer(model_object.numbers, np.float64).reshape(-1, 3)
        facets = np.frombuffer(model_object.corners, np.int64).reshape(-1, 3)
        check_indices(facets, len(vertices))
        ranges = self._project.ranges.get(key[1], []) if key[0] == self._root else []
        if ranges and ranges[-1].last >= len(facets):
            raise CorruptModel(
                f"the slicer's settings refer to triangle {ranges[-1].last} of object {key[1][:20]!a}, which has "
                f"{len(facets)}; save the project again"
            )
        roles = np.full(len(facets), -1)
        for index, range_ in enumerate(ranges):
            roles[range_.first : range_.last + 1] = index
        for index in range(-1, len(ranges)):
            selected = facets[roles == index] if ranges else facets
            if len(selected):
                piece_role = role if index < 0 else ranges[index].role
                piece = self._piece((key, str(index)), model_object.kind, PartMesh(vertices, selected), piece_role)
                if piece is not None:
                    yield piece

    def _piece(self, piece_id: tuple[ObjectKey, str], kind: str, part: PartMesh, role: str | None) -> _Piece | None:
        """Return ``part`` with its role, or None where it is not material, counted once a ``piece_id``.

        A role from the slicer overrides the type ``other``, which Bambu gives to all but normal parts.
        """
        if role is not None and role not in (MATERIAL, NEGATIVE):
            self._count_skipped(piece_id, self.skipped_roles, role)
        elif role == NEGATIVE:
            return _Piece(part, NEGATIVE)
        elif kind in ("support", "solidsupport"):
            self._count_skipped(piece_id, self.skipped_types, kind)
        elif kind == "other" and role is None:
            self._count_skipped(piece_id, self.skipped_others, kind)
        elif kind == "surface" and not _is_closed(part):
            self._count_skipped(piece_id, self.open_surfaces, f"object {piece_id[0][1][:20]!a}")
        else:
            return _Piece(part, MATERIAL)
        return None

    def _count_skipped(self, piece_id: tuple[ObjectKey, str], counter: Counter[str], kind: str) -> None:
        if (piece_id[0], f"{piece_id[1]} {kind}") not in self._counted_parts:
            self._counted_parts.add((piece_id[0], f"{piece_id[1]} {kind}"))
            counter[kind] += 1


def _is_closed(part: PartMesh) -> bool:
    """Return whether every edge has an even number of facets after merging equal positions. O(n log n)."""
    _, vertex = np.unique(part.vertices + 0.0, axis=0, return_inverse=True)
    corners = vertex.reshape(-1)[part.facets]
    edges = np.sort(corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    _, uses = np.unique(edges, axis=0, return_counts=True)
    return bool((uses % 2 == 0).all())
