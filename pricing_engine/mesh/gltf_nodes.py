"""The node graph of a glTF scene (glTF 2.0, section 3.5): visible nodes and their world transforms.

Hidden nodes (KHR_node_visibility) and lower levels of detail (MSFT_lod) are skipped with a note.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.gltf_accessors import checked_integer, item_at
from pricing_engine.mesh.gltf_deform import rotation_matrices
from pricing_engine.mesh.gltf_extensions import LEVEL_OF_DETAIL, VISIBILITY, Json
from pricing_engine.mesh.raw_mesh import ReaderNote


class SceneGraph:
    """The node graph of one document; :meth:`visible` adds to ``notes`` what it skips."""

    def __init__(self, document: Json) -> None:
        self._document, self._nodes = document, document.get("nodes", [])
        self._world_transforms: dict[int, NDArray[np.float64]] = {}
        self._parents = self._find_parents()
        self._scene_roots: set[int] = set()
        self.notes: list[ReaderNote] = []

    def _find_parents(self) -> dict[int, int]:
        parents: dict[int, int] = {}
        for index, node in enumerate(self._nodes):
            for child in node.get("children", []):
                if checked_integer(child, 0, len(self._nodes)) in parents:
                    raise CorruptModel(f"the GLB's node {child} has two parents; export the model again")
                parents[child] = index
        return parents

    def visible(self) -> list[int]:
        """Return the indices of the scene's nodes with a mesh, without hidden ones and lower levels of detail.

        Raises :class:`CorruptModel` for a cycle, :class:`EmptyModel` where all are hidden.
        """
        low_detail_nodes = {
            level
            for node in self._nodes
            for level in node.get("extensions", {}).get(LEVEL_OF_DETAIL, {}).get("ids", [])
        }
        visible: list[int] = []
        visited: set[int] = set()
        hidden, low_detail = 0, 0
        roots = [checked_integer(i, 0, len(self._nodes)) for i in self._roots()]
        self._scene_roots.update(roots)
        stack = [(index, False, False) for index in roots]
        while stack:
            index, is_hidden, is_low_detail = stack.pop()
            if index in visited:
                raise CorruptModel(
                    f"the GLB's node {index} is in the scene twice or contains itself; export the model again"
                )
            visited.add(index)
            node = self._nodes[index]
            is_hidden |= node.get("extensions", {}).get(VISIBILITY, {}).get("visible", True) is False
            is_low_detail |= index in low_detail_nodes
            if "mesh" in node:
                hidden += is_hidden
                low_detail += is_low_detail and not is_hidden
                if not is_hidden and not is_low_detail:
                    visible.append(index)
            stack += [(child, is_hidden, is_low_detail) for child in node.get("children", [])]
        self._report(
            hidden, low_detail, {i for i, node in enumerate(self._nodes) if "mesh" in node} - visited - low_detail_nodes
        )
        if not visible and hidden:
            raise EmptyModel("all parts of the GLB are hidden; show the parts to be made and export it again")
        return visible

    def _note(self, code: str, message: str) -> None:
        self.notes.append(ReaderNote(code, message))

    def _report(self, hidden: int, low_detail: int, outside: set[int]) -> None:
        if hidden:
            self._note("hidden_nodes", f"{hidden} hidden parts were skipped")
        if low_detail:
            self._note("lower_detail_left_out", f"{low_detail} parts of a lower level of detail were skipped")
        if outside and len(self._document.get("scenes", [])) > 1 and "scene" not in self._document:
            self._note("other_scenes", "the file has several scenes and no default: the first was read")
        elif outside:
            self._note("nodes_outside_the_scene", f"{len(outside)} parts outside the file's scene were skipped")
        if self._document.get("animations"):
            self._note("animation_left_out", "the file is animated: its shape without animation was read")

    def _roots(self) -> list[Any]:
        scenes = self._document.get("scenes", [])
        if scenes:
            roots: list[Any] = item_at(scenes, self._document.get("scene", 0)).get("nodes", [])
            return roots
        return [index for index in range(len(self._nodes)) if index not in self._parents]

    def world_transform(self, index: int) -> NDArray[np.float64]:
        """Return the world transform (4, 4) of any node; joints may be outside the scene."""
        path: list[int] = []
        while index not in self._world_transforms:
            if len(path) > len(self._nodes):
                raise CorruptModel("a node of the GLB contains itself; export the model again")
            path.append(index)
            if index in self._scene_roots or index not in self._parents:
                break
            index = self._parents[index]
        world = self._world_transforms.get(index, np.eye(4))
        for node in reversed(path):
            with np.errstate(all="ignore"):
                world = self._world_transforms[node] = world @ _transform(self._nodes[node])
        return world


def _transform(node: Json) -> NDArray[np.float64]:
    """Return the node's local transform (section 3.5.3): its matrix, or translation, rotation and scale."""
    matrix = np.eye(4)
    if "matrix" in node:
        matrix = np.array(node["matrix"], np.float64).reshape(4, 4).T.copy()
    else:
        if "rotation" in node:
            matrix[:3, :3] = rotation_matrices(np.array([node["rotation"]], np.float64))[0]
        if "scale" in node:
            matrix[:3, :3] *= np.array(node["scale"], np.float64).reshape(1, 3)
        if "translation" in node:
            matrix[:3, 3] = np.array(node["translation"], np.float64).reshape(3)
    if not np.all(np.isfinite(matrix)):
        raise CorruptModel("a transform of the GLB is not finite; export the model again")
    return matrix
