"""GLB (binary glTF 2.0, Khronos): the triangles of the default scene, placed by its nodes, in metres.

Read here rather than by a library, so that nothing outside the file is ever opened (URIs are refused), no facet is
merged or dropped, and every offset is checked. Compressed meshes are refused by name. Coordinates stay as the scene
has them: glTF's axes are not turned.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import Instance, Part, assemble, check_facet_count
from pricing_engine.mesh.parsed import Note, Parsed, check_indices

_JSON, _BIN = 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_HARMLESS = ("KHR_materials", "KHR_texture", "KHR_lights", "EXT_texture", "KHR_mesh_quantization", "KHR_xmp")
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
Json = dict[str, Any]


def read_glb(data: bytes) -> Parsed:
    """Triangles, strips and fans of every mesh in the scene; points and lines are left out and told."""
    try:
        tree, binary = _chunks(data)
        return _Scene(tree, binary).parsed()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise CorruptModel("the GLB's description is broken; export the model again") from error


def _chunks(data: bytes) -> tuple[Json, bytes]:
    """The JSON and the binary chunk."""
    if len(data) < 20:
        raise CorruptModel("the GLB is cut off; export or upload it again")
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2:
        raise CorruptModel(f"the GLB is of version {version}; export it as glTF 2.0 binary")
    if length > len(data):
        raise CorruptModel(f"the GLB should have {length} bytes and has {len(data)}; it is cut off: upload it again")
    tree: Json | None = None
    binary = b""
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        at += 8
        if size > length - at:
            raise CorruptModel("a chunk of the GLB passes its end; export or upload it again")
        if kind == _JSON and tree is None:
            tree = json.loads(data[at : at + size])
        elif kind == _BIN and not binary:
            binary = data[at : at + size]
        at += size
    if not isinstance(tree, dict):
        raise CorruptModel("the GLB has no description; export the model again")
    return tree, binary


def _whole(value: object, low: int = 0, high: int = 1 << 40) -> int:
    """``value`` as an index or a size; JSON may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
        raise CorruptModel(f"the GLB has {str(value)[:20]!a} where a whole number belongs; export the model again")
    return value


def _pick(items: list[Any], index: object) -> Any:
    return items[_whole(index, 0, len(items))]


class _Scene:
    """One glTF document and its binary chunk."""

    def __init__(self, tree: Json, binary: bytes) -> None:
        self._tree, self._binary = tree, binary
        self._left_out = 0
        self._parts: dict[int, list[Part]] = {}
        for name in tree.get("extensionsRequired", []):
            if not str(name).startswith(_HARMLESS):
                raise CorruptModel(f"the GLB needs {str(name)[:40]!a}, which Facet does not read; export it without")

    def parsed(self) -> Parsed:
        """Place the meshes of the scene; each node may be in it once, as glTF demands, so this ends."""
        nodes: list[Json] = self._tree.get("nodes", [])
        instances: list[Instance] = []
        seen: set[int] = set()
        stack = [(_whole(i, 0, len(nodes)), np.eye(4)) for i in self._roots(nodes)]
        wanted = 0
        while stack:
            index, above = stack.pop()
            if index in seen:
                raise CorruptModel(f"the GLB's node {index} is in the scene twice or contains itself; export it again")
            seen.add(index)
            node = nodes[index]
            with np.errstate(all="ignore"):
                transform = above @ _transform(node)
            if "mesh" in node:
                for part in self._mesh(node["mesh"]):
                    wanted += len(part.facets)
                    instances.append(Instance(part, transform))
                stored = sum(len(p.facets) for parts in self._parts.values() for p in parts)
                check_facet_count(wanted, stored)
            stack += [(_whole(child, 0, len(nodes)), transform) for child in node.get("children", [])]
        notes = (Note("not_triangles", f"{self._left_out} sets of points or lines were left out"),)
        return Parsed(*assemble(instances), "m", notes if self._left_out else ())

    def _roots(self, nodes: list[Json]) -> list[Any]:
        scenes = self._tree.get("scenes", [])
        if scenes:
            roots: list[Any] = _pick(scenes, self._tree.get("scene", 0)).get("nodes", [])
            return roots
        children = {child for node in nodes for child in node.get("children", [])}
        return [index for index in range(len(nodes)) if index not in children]

    def _mesh(self, index: object) -> list[Part]:
        mesh = _pick(self._tree["meshes"], index)
        key = _whole(index)
        if key not in self._parts:
            self._parts[key] = [part for p in mesh["primitives"] if (part := self._primitive(p)) is not None]
        return self._parts[key]

    def _primitive(self, primitive: Json) -> Part | None:
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            self._left_out += 1
            return None
        vertices = self._accessor(primitive["attributes"]["POSITION"], 3, "VEC3")
        if "indices" in primitive:
            corners = self._accessor(primitive["indices"], 1, "SCALAR").ravel().astype(np.int64)
        else:
            corners = np.arange(len(vertices))
        check_indices(corners, len(vertices))
        return Part(vertices, _facets(corners, mode))

    def _accessor(self, index: object, width: int, kind: str) -> NDArray[np.float64]:
        """The values of an accessor, (count, width) float64."""
        accessor = _pick(self._tree["accessors"], index)
        if "sparse" in accessor or "bufferView" not in accessor:
            raise CorruptModel("the GLB has sparse accessors, which Facet does not read; export it without")
        if accessor["type"] != kind or accessor["componentType"] not in _COMPONENTS:
            raise CorruptModel(f"the GLB's accessor {_whole(index)} is of the wrong type; export the model again")
        view = _pick(self._tree["bufferViews"], accessor["bufferView"])
        buffer = _whole(view["buffer"])
        if buffer != 0 or "uri" in self._tree["buffers"][0]:
            raise CorruptModel("the GLB keeps its mesh in another file; export it with everything embedded")
        item = np.dtype(_COMPONENTS[accessor["componentType"]])
        count = _whole(accessor["count"])
        stride = _whole(view.get("byteStride", 0)) or item.itemsize * width
        first = _whole(view.get("byteOffset", 0)) + _whole(accessor.get("byteOffset", 0))
        end = min(len(self._binary), _whole(view.get("byteOffset", 0)) + _whole(view["byteLength"]))
        if count and first + (count - 1) * stride + item.itemsize * width > end:
            raise CorruptModel("an accessor of the GLB passes its end; it is cut off or broken: export it again")
        if count == 0:
            return np.empty((0, width))
        strided: NDArray[Any] = np.ndarray((count, width), item, self._binary, first, (stride, item.itemsize))
        values: NDArray[np.float64] = strided.astype(np.float64)
        if accessor.get("normalized") and item.kind != "f":
            values = np.maximum(values / np.iinfo(item).max, -1.0)
        return values


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


def _transform(node: Json) -> NDArray[np.float64]:
    """The node's matrix, or its translation, rotation (quaternion x y z w) and scale."""
    matrix = np.eye(4)
    if "matrix" in node:
        matrix = np.array(node["matrix"], np.float64).reshape(4, 4).T.copy()
    else:
        x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
        turn = np.array(
            [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
             [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
             [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
        )  # fmt: skip
        matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64).reshape(1, 3)
        matrix[:3, 3] = np.array(node.get("translation", (0, 0, 0)), np.float64).reshape(3)
    if not np.all(np.isfinite(matrix)):
        raise CorruptModel("a transform of the GLB is not finite; export the model again")
    return matrix
