"""The triangles of a glTF scene, placed by its nodes: morphed, skinned and instanced as the file says.

Coordinates stay as the scene has them: glTF's axes are not turned. Animations are not played: the shape is the one at
rest. Cost: O(JSON + binary chunk + placed facets), each bounded before anything is placed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh import gltf_deform
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_accessors import Accessors, pick, whole
from pricing_engine.mesh.gltf_extensions import (
    DRACO,
    INSTANCING,
    Json,
    check_extensions,
    compressed,
)
from pricing_engine.mesh.gltf_nodes import Nodes
from pricing_engine.mesh.instances import Instance, PartMesh, assemble, check_facet_count
from pricing_engine.mesh.raw_mesh import Note, Parsed, check_indices

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST_INSTANCES = 100_000


@dataclass(frozen=True, slots=True)
class _Primitive:
    """``part`` of a mesh primitive; ``used``: which of the file's vertices it keeps (None: all)."""

    source: Json
    part: PartMesh
    used: NDArray[np.int64] | None


class Scene:
    """One glTF document and its binary chunk."""

    def __init__(self, tree: Json, binary: bytes) -> None:
        self._tree, self._stored_bytes = tree, len(binary)
        self._notes = check_extensions(tree)
        self._accessors = Accessors(tree, binary)
        self._nodes = Nodes(tree)
        self._meshes: dict[int, list[_Primitive]] = {}
        self._skins: dict[int, NDArray[np.float64]] = {}

    def parsed(self) -> Parsed:
        """Place the meshes of the scene; each node may be in it once, as glTF demands, so this ends."""
        nodes = self._nodes.visible()
        notes = (*self._notes, *self._nodes.notes, *self._check_size(nodes))
        instances = [instance for index in nodes for instance in self._place(index)]
        return Parsed(*assemble(instances), "m", notes)

    def _check_size(self, nodes: list[int]) -> tuple[Note, ...]:
        """Refuse what would place facets out of all proportion to the file, from the counts alone.

        Returns a note where a mesh has what is no facet.
        """
        stored: dict[tuple[int, int, int], int] = {}
        sizes: dict[int, tuple[int, int]] = {}
        left_out: dict[int, int] = {}
        facets, instances = 0, 0
        for index in nodes:
            mesh = whole(self._tree["nodes"][index]["mesh"])
            if mesh not in sizes:
                counts = []
                for primitive in pick(self._tree["meshes"], mesh)["primitives"]:
                    mode, position = primitive.get("mode", _TRIANGLES), primitive["attributes"].get("POSITION")
                    if mode not in (_TRIANGLES, _STRIP, _FAN) or position is None:
                        left_out[mesh] = left_out.get(mesh, 0) + 1
                        continue
                    corners = whole(primitive.get("indices", position))
                    count = self._accessors.count(corners)
                    counts.append(count // 3 if mode == _TRIANGLES else max(count - 2, 0))
                    stored[whole(position), corners, mode] = counts[-1]
                sizes[mesh] = sum(counts), len(counts)
            facets += sizes[mesh][0] * self._copies(self._tree["nodes"][index])
            instances += sizes[mesh][1]
        check_facet_count(facets, min(sum(stored.values()), self._stored_bytes))
        if instances > _MOST_INSTANCES:
            raise CorruptModel(f"the GLB places over {_MOST_INSTANCES} parts, too many to read; export fewer copies")
        text = f"{sum(left_out.values())} sets of points or lines were left out"
        return (Note("not_triangles", text),) if left_out else ()

    def _copies(self, node: Json) -> int:
        attributes = node.get("extensions", {}).get(INSTANCING, {}).get("attributes")
        return self._accessors.count(next(iter(attributes.values()))) if attributes else 1

    def _place(self, index: int) -> list[Instance]:
        """The parts of one node."""
        node = self._tree["nodes"][index]
        primitives = self._mesh(whole(node["mesh"]))
        weights = node.get("weights", self._tree["meshes"][node["mesh"]].get("weights", []))
        parts = [self._morph(primitive, weights) for primitive in primitives]
        instancing = node.get("extensions", {}).get(INSTANCING, {}).get("attributes")
        if "skin" in node:
            if instancing:
                raise CorruptModel("the GLB has instances of a skinned mesh, which is not read; export it unskinned")
            matrices = self._skin(whole(node["skin"]))
            placed = [self._bend(part, primitive, matrices) for part, primitive in zip(parts, primitives, strict=True)]
            return [Instance(part, np.eye(4)) for part in placed]  # the joints place it, not the node
        if instancing:
            parts = [gltf_deform.repeated(part, *self._instances(instancing)) for part in parts]
        return [Instance(part, self._nodes.world(index)) for part in parts]

    def _mesh(self, index: int) -> list[_Primitive]:
        if index not in self._meshes:
            primitives = self._tree["meshes"][index]["primitives"]
            self._meshes[index] = [found for p in primitives if (found := self._primitive(p)) is not None]
        return self._meshes[index]

    def _primitive(self, primitive: Json) -> _Primitive | None:
        mode, position = primitive.get("mode", _TRIANGLES), primitive["attributes"].get("POSITION")
        if mode not in (_TRIANGLES, _STRIP, _FAN) or position is None:
            return None
        sources = [position, *([primitive["indices"]] if "indices" in primitive else [])]
        if DRACO in primitive.get("extensions", {}) and not all(map(self._accessors.has_data, sources)):
            raise compressed(DRACO)
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
        used, renamed = np.unique(facets, return_inverse=True)  # copies of what no facet names would cost memory
        return _Primitive(primitive, PartMesh(vertices[used], renamed.reshape(-1, 3)), used)

    def _attribute(self, primitive: _Primitive, accessor: object, kind: str) -> NDArray[np.float64]:
        values = self._accessors.read(accessor, kind)
        return values if primitive.used is None else values[primitive.used]

    def _morph(self, primitive: _Primitive, weights: list[Any]) -> PartMesh:
        targets = [
            (float(weight), self._attribute(primitive, target["POSITION"], "VEC3"))
            for weight, target in zip(weights, primitive.source.get("targets", []), strict=False)
            if weight and "POSITION" in target
        ]
        part = primitive.part
        return replace(part, vertices=gltf_deform.morphed(part.vertices, targets)) if targets else part

    def _instances(self, attributes: Json) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Translation (N, 3), rotation (N, 4) and scale (N, 3) of each copy."""
        count = self._accessors.count(next(iter(attributes.values())))
        kinds = ("TRANSLATION", "VEC3", (0, 0, 0)), ("ROTATION", "VEC4", (0, 0, 0, 1)), ("SCALE", "VEC3", (1, 1, 1))
        found = []
        for name, kind, default in kinds:
            row = np.array(default, np.float64)
            values = self._accessors.read(attributes[name], kind) if name in attributes else np.tile(row, (count, 1))
            if len(values) != count:
                raise CorruptModel("the GLB counts its instances in two ways; export the model again")
            found.append(values)
        return found[0], found[1], found[2]

    def _skin(self, index: int) -> NDArray[np.float64]:
        """The matrices (J, 4, 4) that bring a vertex from its place at binding to where each joint has it."""
        if index not in self._skins:
            skin = pick(self._tree["skins"], index)
            joints = [whole(joint, 0, len(self._tree["nodes"])) for joint in skin["joints"]]
            matrices = np.array([self._nodes.world(joint) for joint in joints]).reshape(-1, 4, 4)
            if "inverseBindMatrices" in skin:
                inverse = self._accessors.read(skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4)
                if len(inverse) < len(joints):
                    raise CorruptModel("a skin of the GLB has fewer matrices than joints; export the model again")
                with np.errstate(all="ignore"):
                    matrices = matrices @ np.swapaxes(inverse[: len(joints)], 1, 2)
            if not np.all(np.isfinite(matrices)):
                raise CorruptModel("a skin of the GLB is not finite; export the model again")
            self._skins[index] = matrices
        return self._skins[index]

    def _bend(self, part: PartMesh, primitive: _Primitive, matrices: NDArray[np.float64]) -> PartMesh:
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
        return gltf_deform.skinned(part, joints, weights, matrices)


def _facets(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise CorruptModel("the GLB's triangles have a corner too few; export the model again")
        return corners.reshape(-1, 3)
    if len(corners) < 3:
        return np.empty((0, 3), np.int64)
    if mode == _FAN:
        return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], axis=1)
    k = np.arange(len(corners) - 2)
    odd = k & 1
    cut: NDArray[np.int64] = np.stack([corners[k + odd], corners[k + 1 - odd], corners[k + 2]], axis=1)
    stitch = (cut[:, 0] == cut[:, 1]) | (cut[:, 1] == cut[:, 2]) | (cut[:, 2] == cut[:, 0])
    kept: NDArray[np.int64] = cut[~stitch]
    return kept
