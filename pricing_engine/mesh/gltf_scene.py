"""The triangles of a glTF scene (glTF 2.0, sections 3.5 to 3.7): placed, morphed, skinned and instanced.

Coordinates keep the scene's axes; animations are ignored. O(JSON + binary chunk + placed facets), each bounded before
anything is placed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh import gltf_deform
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_accessors import Accessors, checked_integer, item_at
from pricing_engine.mesh.gltf_extensions import (
    DRACO,
    INSTANCING,
    Json,
    check_extensions,
    compression_error,
)
from pricing_engine.mesh.gltf_nodes import SceneGraph
from pricing_engine.mesh.instances import Instance, PartMesh, assemble, check_facet_count
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote, check_indices
from pricing_engine.mesh.strips import cut_strips

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MAX_INSTANCES = 100_000


@dataclass(frozen=True, slots=True)
class _Primitive:
    """``part`` of a mesh primitive; ``used_vertices``: indices of its vertices in the file (None: all)."""

    source: Json
    part: PartMesh
    used_vertices: NDArray[np.int64] | None


class Scene:
    """One glTF document with its binary chunk."""

    def __init__(self, document: Json, binary: bytes) -> None:
        self._document, self._stored_bytes = document, len(binary)
        self._notes = check_extensions(document)
        self._accessors = Accessors(document, binary)
        self._graph = SceneGraph(document)
        self._meshes: dict[int, list[_Primitive]] = {}
        self._skins: dict[int, NDArray[np.float64]] = {}

    def to_raw_mesh(self) -> RawMesh:
        """Return all placed meshes in metres; glTF allows each node once, so the work is finite."""
        nodes = self._graph.visible()
        notes = (*self._notes, *self._graph.notes, *self._check_size(nodes))
        instances = [instance for index in nodes for instance in self._place(index)]
        return RawMesh(*assemble(instances), "m", notes)

    def _check_size(self, nodes: list[int]) -> tuple[ReaderNote, ...]:
        """Reject a scene that multiplies its facets beyond the limits, from the counts alone.

        Returns a note where primitives are not triangles.
        """
        stored_facets: dict[tuple[int, int, int], int] = {}
        sizes: dict[int, tuple[int, int]] = {}
        skipped: dict[int, int] = {}
        facets, instances = 0, 0
        for index in nodes:
            mesh = checked_integer(self._document["nodes"][index]["mesh"])
            if mesh not in sizes:
                counts = []
                for primitive in item_at(self._document["meshes"], mesh)["primitives"]:
                    mode, position = primitive.get("mode", _TRIANGLES), primitive["attributes"].get("POSITION")
                    if mode not in (_TRIANGLES, _STRIP, _FAN) or position is None:
                        skipped[mesh] = skipped.get(mesh, 0) + 1
                        continue
                    corners = checked_integer(primitive.get("indices", position))
                    count = self._accessors.count(corners)
                    counts.append(count // 3 if mode == _TRIANGLES else max(count - 2, 0))
                    stored_facets[checked_integer(position), corners, mode] = counts[-1]
                sizes[mesh] = sum(counts), len(counts)
            facets += sizes[mesh][0] * self._instance_count(self._document["nodes"][index])
            instances += sizes[mesh][1]
        check_facet_count(facets, min(sum(stored_facets.values()), self._stored_bytes))
        if instances > _MAX_INSTANCES:
            raise CorruptModel(f"the GLB places more than {_MAX_INSTANCES} parts; export fewer copies")
        text = f"{sum(skipped.values())} sets of points or lines were skipped"
        return (ReaderNote("not_triangles", text),) if skipped else ()

    def _instance_count(self, node: Json) -> int:
        attributes = node.get("extensions", {}).get(INSTANCING, {}).get("attributes")
        return self._accessors.count(next(iter(attributes.values()))) if attributes else 1

    def _place(self, index: int) -> list[Instance]:
        """Return the placed parts of one node."""
        node = self._document["nodes"][index]
        primitives = self._mesh(checked_integer(node["mesh"]))
        weights = node.get("weights", self._document["meshes"][node["mesh"]].get("weights", []))
        parts = [self._morph(primitive, weights) for primitive in primitives]
        instancing = node.get("extensions", {}).get(INSTANCING, {}).get("attributes")
        if "skin" in node:
            if instancing:
                raise CorruptModel(
                    "the GLB has instances of a skinned mesh, which Facet does not read; export it unskinned"
                )
            matrices = self._joint_matrices(checked_integer(node["skin"]))
            deformed = [
                self._deform(part, primitive, matrices) for part, primitive in zip(parts, primitives, strict=True)
            ]
            return [Instance(part, np.eye(4)) for part in deformed]  # a skinned mesh ignores the transform of its node
        if instancing:
            parts = [gltf_deform.instantiate(part, *self._instances(instancing)) for part in parts]
        return [Instance(part, self._graph.world_transform(index)) for part in parts]

    def _mesh(self, index: int) -> list[_Primitive]:
        if index not in self._meshes:
            primitives = self._document["meshes"][index]["primitives"]
            self._meshes[index] = [found for p in primitives if (found := self._primitive(p)) is not None]
        return self._meshes[index]

    def _primitive(self, primitive: Json) -> _Primitive | None:
        mode, position = primitive.get("mode", _TRIANGLES), primitive["attributes"].get("POSITION")
        if mode not in (_TRIANGLES, _STRIP, _FAN) or position is None:
            return None
        sources = [position, *([primitive["indices"]] if "indices" in primitive else [])]
        if DRACO in primitive.get("extensions", {}) and not all(map(self._accessors.has_data, sources)):
            raise compression_error(DRACO)
        vertices = self._accessors.read(position, "VEC3")
        if "indices" in primitive:
            corners = self._accessors.read(primitive["indices"], "SCALAR").ravel().astype(np.int64)
        else:
            corners = np.arange(len(vertices))
        check_indices(corners, len(vertices))
        facets = _facets(corners, mode)
        if len(facets) == 0:
            return None
        if len(vertices) <= 3 * len(facets):
            return _Primitive(primitive, PartMesh(vertices, facets), None)
        used_vertices, renumbered = np.unique(
            facets, return_inverse=True
        )  # instances of unused vertices would waste memory
        return _Primitive(primitive, PartMesh(vertices[used_vertices], renumbered.reshape(-1, 3)), used_vertices)

    def _attribute(self, primitive: _Primitive, accessor: object, kind: str) -> NDArray[np.float64]:
        values = self._accessors.read(accessor, kind)
        return values if primitive.used_vertices is None else values[primitive.used_vertices]

    def _morph(self, primitive: _Primitive, weights: list[Any]) -> PartMesh:
        targets = [
            (float(weight), self._attribute(primitive, target["POSITION"], "VEC3"))
            for weight, target in zip(weights, primitive.source.get("targets", []), strict=False)
            if weight and "POSITION" in target
        ]
        part = primitive.part
        return replace(part, vertices=gltf_deform.morph(part.vertices, targets)) if targets else part

    def _instances(self, attributes: Json) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return translation (N, 3), rotation (N, 4) and scale (N, 3) of each instance."""
        count = self._accessors.count(next(iter(attributes.values())))
        kinds = ("TRANSLATION", "VEC3", (0, 0, 0)), ("ROTATION", "VEC4", (0, 0, 0, 1)), ("SCALE", "VEC3", (1, 1, 1))
        found = []
        for name, kind, default in kinds:
            row = np.array(default, np.float64)
            values = self._accessors.read(attributes[name], kind) if name in attributes else np.tile(row, (count, 1))
            if len(values) != count:
                raise CorruptModel("the GLB gives two counts of instances; export the model again")
            found.append(values)
        return found[0], found[1], found[2]

    def _joint_matrices(self, index: int) -> NDArray[np.float64]:
        """Return each joint's matrix (J, 4, 4): its world transform times its inverse bind matrix."""
        if index not in self._skins:
            skin = item_at(self._document["skins"], index)
            joints = [checked_integer(joint, 0, len(self._document["nodes"])) for joint in skin["joints"]]
            matrices = np.array([self._graph.world_transform(joint) for joint in joints]).reshape(-1, 4, 4)
            if "inverseBindMatrices" in skin:
                inverse = self._accessors.read(skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4)
                if len(inverse) < len(joints):
                    raise CorruptModel("a skin of the GLB has fewer matrices than joints; export the model again")
                with np.errstate(all="ignore"):
                    matrices = matrices @ np.swapaxes(inverse[: len(joints)], 1, 2)
            if not np.all(np.isfinite(matrices)):
                raise CorruptModel("a joint transform of the GLB is not finite; export the model again")
            self._skins[index] = matrices
        return self._skins[index]

    def _deform(self, part: PartMesh, primitive: _Primitive, matrices: NDArray[np.float64]) -> PartMesh:
        attributes = primitive.source["attributes"]
        sets = 0
        while f"JOINTS_{sets}" in attributes and f"WEIGHTS_{sets}" in attributes:
            sets += 1
        if not sets:
            raise CorruptModel("the GLB has a skin for a mesh without joints and weights; export it unskinned")
        joints, weights = (
            np.hstack([self._attribute(primitive, attributes[f"{name}_{i}"], "VEC4") for i in range(sets)])
            for name in ("JOINTS", "WEIGHTS")
        )
        return gltf_deform.skin(part, joints, weights, matrices)


def _facets(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise CorruptModel("the GLB's last triangle has fewer than three corners; export the model again")
        return corners.reshape(-1, 3)
    if len(corners) < 3:
        return np.empty((0, 3), np.int64)
    if mode == _FAN:
        return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], axis=1)
    return cut_strips(np.array([0, len(corners)]), corners)
