"""The nodes of a glTF document: which of them the scene shows, and where each is.

Hidden nodes (KHR_node_visibility) and lower levels of detail (MSFT_lod) are left out and reported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.gltf_accessors import pick, whole
from pricing_engine.mesh.gltf_deform import turned
from pricing_engine.mesh.gltf_extensions import LEVELS, VISIBILITY, Json
from pricing_engine.mesh.raw_mesh import Note


class Nodes:
    """The graph of one document. ``notes`` says what was left out, once :meth:`visible` has been asked for."""

    def __init__(self, tree: Json) -> None:
        self._tree, self._nodes = tree, tree.get("nodes", [])
        self._worlds: dict[int, NDArray[np.float64]] = {}
        self._parents = self._find_parents()
        self._tops: set[int] = set()
        self.notes: list[Note] = []

    def _find_parents(self) -> dict[int, int]:
        parents: dict[int, int] = {}
        for index, node in enumerate(self._nodes):
            for child in node.get("children", []):
                if whole(child, 0, len(self._nodes)) in parents:
                    raise CorruptModel(f"the GLB's node {child} has two parents; export the model again")
                parents[child] = index
        return parents

    def visible(self) -> list[int]:
        """The nodes of the scene that place a mesh, without hidden ones and lower levels of detail."""
        levels = {level for node in self._nodes for level in node.get("extensions", {}).get(LEVELS, {}).get("ids", [])}
        found: list[int] = []
        seen: set[int] = set()
        hidden, lower = 0, 0
        roots = [whole(i, 0, len(self._nodes)) for i in self._roots()]
        self._tops.update(roots)
        stack = [(index, False, False) for index in roots]
        while stack:
            index, is_hidden, is_lower = stack.pop()
            if index in seen:
                raise CorruptModel(f"the GLB's node {index} is in the scene twice or contains itself; export it again")
            seen.add(index)
            node = self._nodes[index]
            is_hidden |= node.get("extensions", {}).get(VISIBILITY, {}).get("visible", True) is False
            is_lower |= index in levels
            if "mesh" in node:
                hidden += is_hidden
                lower += is_lower and not is_hidden
                if not is_hidden and not is_lower:
                    found.append(index)
            stack += [(child, is_hidden, is_lower) for child in node.get("children", [])]
        self._report(hidden, lower, {i for i, node in enumerate(self._nodes) if "mesh" in node} - seen - levels)
        if not found and hidden:
            raise EmptyModel("all parts of the GLB are hidden; export it with what is to be made visible")
        return found

    def _note(self, code: str, message: str) -> None:
        self.notes.append(Note(code, message))

    def _report(self, hidden: int, lower: int, outside: set[int]) -> None:
        if hidden:
            self._note("hidden_nodes", f"{hidden} hidden parts were left out")
        if lower:
            self._note("lower_detail_left_out", f"{lower} parts that stand for others from afar were left out")
        if outside and len(self._tree.get("scenes", [])) > 1 and "scene" not in self._tree:
            self._note("other_scenes", "the file holds several scenes and names none: the first was read")
        elif outside:
            self._note("nodes_outside_the_scene", f"{len(outside)} parts outside the file's scene were left out")
        if self._tree.get("animations"):
            self._note("animation_left_out", "the file is animated: its shape at rest was read")

    def _roots(self) -> list[Any]:
        scenes = self._tree.get("scenes", [])
        if scenes:
            roots: list[Any] = pick(scenes, self._tree.get("scene", 0)).get("nodes", [])
            return roots
        return [index for index in range(len(self._nodes)) if index not in self._parents]

    def world(self, index: int) -> NDArray[np.float64]:
        """The transform (4, 4) of any node; joints need not be in the scene."""
        above: list[int] = []
        while index not in self._worlds:
            if len(above) > len(self._nodes):
                raise CorruptModel("a node of the GLB contains itself; export the model again")
            above.append(index)
            if index in self._tops or index not in self._parents:
                break
            index = self._parents[index]
        world = self._worlds.get(index, np.eye(4))
        for node in reversed(above):
            with np.errstate(all="ignore"):
                world = self._worlds[node] = world @ _transform(self._nodes[node])
        return world


def _transform(node: Json) -> NDArray[np.float64]:
    """The node's matrix, or its translation, rotation (quaternion x y z w) and scale."""
    matrix = np.eye(4)
    if "matrix" in node:
        matrix = np.array(node["matrix"], np.float64).reshape(4, 4).T.copy()
    else:
        if "rotation" in node:
            matrix[:3, :3] = turned(np.array([node["rotation"]], np.float64))[0]
        if "scale" in node:
            matrix[:3, :3] *= np.array(node["scale"], np.float64).reshape(1, 3)
        if "translation" in node:
            matrix[:3, 3] = np.array(node["translation"], np.float64).reshape(3)
    if not np.all(np.isfinite(matrix)):
        raise CorruptModel("a transform of the GLB is not finite; export the model again")
    return matrix
