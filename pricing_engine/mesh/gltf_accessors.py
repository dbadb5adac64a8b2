"""Typed arrays out of a GLB's binary chunk: strides, normalized integers, sparse values; every offset is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_extensions import MESHOPT, Json, compressed

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_FREE_ITEMS, _READINGS = 1 << 22, 4  # each byte of a sane file is read once or twice


def whole(value: object, low: int = 0, high: int = 1 << 40) -> int:
    """``value`` as an index or a size; JSON may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
        raise CorruptModel(f"the GLB has {str(value)[:20]!a} where a whole number belongs; export the model again")
    return value


def pick(items: list[Any], index: object) -> Any:
    """The item at ``index``, which must be one."""
    return items[whole(index, 0, len(items))]


class Accessors:
    """The accessors of one document. What they read together is bounded by the size of the binary chunk."""

    def __init__(self, tree: Json, binary: bytes) -> None:
        self._tree, self._binary = tree, binary
        self._items_left = _FREE_ITEMS + _READINGS * len(binary)

    def count(self, index: object) -> int:
        """How many elements the accessor has."""
        return whole(pick(self._tree["accessors"], index)["count"])

    def has_data(self, index: object) -> bool:
        """Whether the accessor names data; without them its values are zero, or only in a compressed copy."""
        return "bufferView" in pick(self._tree["accessors"], index)

    def read(self, index: object, kind: str) -> NDArray[np.float64]:
        """The values of an accessor of type ``kind`` (VEC3, ...), (count, width) float64."""
        accessor, width = pick(self._tree["accessors"], index), _WIDTHS[kind]
        if accessor["type"] != kind or accessor["componentType"] not in _COMPONENTS:
            raise CorruptModel(f"the GLB's accessor {whole(index)} is of the wrong type; export the model again")
        item = np.dtype(_COMPONENTS[accessor["componentType"]])
        count = whole(accessor["count"])
        self._items_left -= count * width
        if self._items_left < 0:
            raise CorruptModel("the GLB's accessors count more than the file holds; it is broken: export it again")
        if "bufferView" in accessor:
            place = whole(accessor.get("byteOffset", 0))
            values = self._strided(accessor["bufferView"], place, item, count, width).astype(np.float64)
        else:
            values = np.zeros((count, width))
        if "sparse" in accessor:
            self._put_sparse(accessor["sparse"], item, values)
        if accessor.get("normalized") and item.kind != "f":
            values = np.maximum(values / np.iinfo(item).max, -1.0)
        return values

    def _put_sparse(self, sparse: Json, item: np.dtype[Any], values: NDArray[np.float64]) -> None:
        """Replace the rows that the accessor lists."""
        count, rows, new = whole(sparse["count"]), sparse["indices"], sparse["values"]
        row_type = np.dtype(_COMPONENTS[rows["componentType"]])
        if row_type.kind != "u":
            raise CorruptModel("the GLB has a sparse accessor with broken indices; export the model again")
        where = self._strided(rows["bufferView"], whole(rows.get("byteOffset", 0)), row_type, count, 1).ravel()
        if count and int(where.max()) >= len(values):
            raise CorruptModel("a sparse accessor of the GLB names an element that is not there; export it again")
        width = values.shape[1]
        values[where] = self._strided(new["bufferView"], whole(new.get("byteOffset", 0)), item, count, width)

    def _strided(self, view_index: object, place: int, item: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
        """A view of ``count`` rows in a buffer view, ``place`` bytes from its begin."""
        view = pick(self._tree["bufferViews"], view_index)
        buffer = whole(view["buffer"])
        for name in MESHOPT:
            fallback = pick(self._tree["buffers"], buffer).get("extensions", {}).get(name, {}).get("fallback")
            if name in view.get("extensions", {}) and (buffer != 0 or fallback):
                raise compressed(name)
        if buffer != 0 or "uri" in self._tree["buffers"][0]:
            raise CorruptModel("the GLB keeps its mesh in another file; export it with everything embedded")
        stride = whole(view.get("byteStride", 0)) or item.itemsize * width
        first = whole(view.get("byteOffset", 0)) + place
        end = min(len(self._binary), whole(view.get("byteOffset", 0)) + whole(view["byteLength"]))
        if count and first + (count - 1) * stride + item.itemsize * width > end:
            raise CorruptModel("an accessor of the GLB passes its end; it is cut off or broken: export it again")
        if count == 0:
            return np.empty((0, width), item)
        return np.ndarray((count, width), item, self._binary, first, (stride, item.itemsize))
