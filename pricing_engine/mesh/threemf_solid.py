"""From objects of a 3MF to instances of solid parts: roles, types and ranges of triangles decide what is material."""

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
from pricing_engine.mesh.slicer_project import MATERIAL, NEGATIVE, Project, TriangleRange, cura_role
from pricing_engine.mesh.threemf_model import Key, Object, Placement

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some triangles of an object; ``role`` is :data:`MATERIAL` or :data:`NEGATIVE`."""

    part: PartMesh
    role: str


class Builder:
    """Places items and counts what it leaves out, by kind, each object and part once."""

    def __init__(self, objects: dict[Key, Object], root: str, project: Project) -> None:
        self._objects, self._root, self._project = objects, root, project
        self._pieces: dict[tuple[Key, str | None], list[_Piece]] = {}
        self._solids: dict[Key, list[Instance]] = {}
        self._differences: dict[tuple[tuple[int, bytes], ...], list[PartMesh]] = {}
        self._counted: set[tuple[Key, str]] = set()
        self.left_out_types: Counter[str] = Counter()
        self.left_out_roles: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.open_surfaces: Counter[str] = Counter()
        self.subtracted = 0
        self.sliced = sum(thing.has_slices for thing in objects.values())
        self.unmatched = [
            f"part {part[:20]!a} of object {thing[:20]!a}"
            for (thing, part), role in project.parts.items()
            if role != MATERIAL and (root, thing) in objects and not self._has_part(thing, part)
        ]
        self.unmatched += [
            f"triangles of object {thing[:20]!a}"
            for thing, ranges in project.ranges.items()
            if not self._covered(thing, ranges)
        ]

    def place(self, item: Placement) -> Iterator[Instance]:
        """What the item adds to the model. The negative volumes of its object are taken from that object alone."""
        if item.key not in self._solids:
            self._solids[item.key] = self._solid(item.key)
        for instance in self._solids[item.key]:
            with np.errstate(all="ignore"):  # what overflows is refused with the other coordinates
                yield Instance(instance.part, item.transform @ instance.transform)

    def _has_part(self, thing: str, part: str) -> bool:
        components = self._objects[self._root, thing].components
        return any(component.key[1] == part for component in components) if components else part == thing

    def _covered(self, thing: str, ranges: list[TriangleRange]) -> bool:
        """Whether the ranges are those of the object's own mesh, all of it; nothing is asked of what is not placed."""
        if (self._root, thing) not in self._objects:
            return True
        return sum(r.last + 1 - r.first for r in ranges) == len(self._objects[self._root, thing].corners) // 3

    def _solid(self, key: Key) -> list[Instance]:
        """The instances that make up an object, in its own coordinates, its negative volumes taken away."""
        found: dict[str, list[Instance]] = {MATERIAL: [], NEGATIVE: []}
        same: list[tuple[int, bytes]] = []
        for piece, transform in self._walk(key, np.eye(4), None):
            found[piece.role].append(Instance(piece.part, transform))
            same.append((id(piece), transform.tobytes()))  # pieces are kept, so that an id names one for good
        if not found[NEGATIVE] or not found[MATERIAL]:
            return found[MATERIAL]
        if tuple(same) not in self._differences:  # PrusaSlicer writes each copy of an object as one of its own
            self._differences[tuple(same)] = self._difference(found)
        return [Instance(part, np.eye(4)) for part in self._differences[tuple(same)]]

    def _difference(self, found: dict[str, list[Instance]]) -> list[PartMesh]:
        self.subtracted += len(found[NEGATIVE])
        parts, negatives = ([PartMesh(*assemble([each])) for each in found[role]] for role in (MATERIAL, NEGATIVE))
        for part in (*parts, *negatives):
            if not np.isfinite(part.vertices).all():
                raise CorruptModel("a coordinate of the 3MF is no number or infinite; repair the model")
        return [part for part in subtract(parts, negatives) if len(part.facets)]

    def _walk(self, key: Key, transform: Floats, role: str | None) -> Iterator[tuple[_Piece, Floats]]:
        """All pieces of an object and its components, depth first; components nest within bounds, checked before."""
        thing = self._objects[key]
        own = cura_role(thing.settings, self._project)
        if own is None and key[0] == self._root:
            own = self._project.parts.get((key[1], key[1])) if not thing.components else None
        role = own or role
        if thing.numbers:
            if (key, role) not in self._pieces:
                self._pieces[key, role] = list(self._split(key, thing, role))
            for piece in self._pieces[key, role]:
                yield piece, transform
        for component in thing.components:
            named = self._project.parts.get((key[1], component.key[1])) if key[0] == self._root else None
            with np.errstate(all="ignore"):
                inner = transform @ component.transform
            yield from self._walk(component.key, inner, named or role)

    def _split(self, key: Key, thing: Object, role: str | None) -> Iterator[_Piece]:
        """The pieces of a mesh that count: all of it, or the ranges that the slicer names and what they leave."""
        vertices = np.frombuffer(thing.numbers, np.float64).reshape(-1, 3)
        facets = np.frombuffer(thing.corners, np.int64).reshape(-1, 3)
        check_indices(facets, len(vertices))
        ranges = self._project.ranges.get(key[1], []) if key[0] == self._root else []
        if ranges and ranges[-1].last >= len(facets):
            raise CorruptModel(
                f"the slicer's settings name triangle {ranges[-1].last} of object {key[1][:20]!a}, which has "
                f"{len(facets)}; save the project again"
            )
        roles = np.full(len(facets), -1)
        for number, each in enumerate(ranges):
            roles[each.first : each.last + 1] = number
        for number in range(-1, len(ranges)):
            chosen = facets[roles == number] if ranges else facets
            if len(chosen):
                given = role if number < 0 else ranges[number].role
                piece = self._piece((key, str(number)), thing.kind, PartMesh(vertices, chosen), given)
                if piece is not None:
                    yield piece

    def _piece(self, name: tuple[Key, str], kind: str, part: PartMesh, role: str | None) -> _Piece | None:
        """``part`` with its role; None, counted once a ``name``, where it is no material.

        A role from the slicer decides over the type ``other``, which Bambu gives to whatever is not a normal part.
        """
        if role is not None and role not in (MATERIAL, NEGATIVE):
            self._leave_out(name, self.left_out_roles, role)
        elif role == NEGATIVE:
            return _Piece(part, NEGATIVE)
        elif kind in ("support", "solidsupport"):
            self._leave_out(name, self.left_out_types, kind)
        elif kind == "other" and role is None:
            self._leave_out(name, self.others, kind)
        elif kind == "surface" and not _is_closed(part):
            self._leave_out(name, self.open_surfaces, f"object {name[0][1][:20]!a}")
        else:
            return _Piece(part, MATERIAL)
        return None

    def _leave_out(self, name: tuple[Key, str], counter: Counter[str], kind: str) -> None:
        if (name[0], f"{name[1]} {kind}") not in self._counted:
            self._counted.add((name[0], f"{name[1]} {kind}"))
            counter[kind] += 1


def _is_closed(part: PartMesh) -> bool:
    """Whether every edge is in an even number of facets, once equal positions are one. O(n log n)."""
    _, number = np.unique(part.vertices + 0.0, axis=0, return_inverse=True)
    corners = number.reshape(-1)[part.facets]
    edges = np.sort(corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    _, uses = np.unique(edges, axis=0, return_counts=True)
    return bool((uses % 2 == 0).all())
