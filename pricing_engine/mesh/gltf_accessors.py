"""glTF accessors (glTF 2.0, section 3.6): strided, normalized and sparse arrays of a GLB's binary chunk.

Every count and offset is checked; violations raise :class:`CorruptModel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_extensions import MESHOPT, Json, compression_error

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENT_COUNTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MIN_ITEM_LIMIT, _MAX_READS_PER_BYTE = 1 << 22, 4  # a byte of a valid file is read once or twice


def checked_integer(value: object, minimum: int = 0, limit: int = 1 << 40) -> int:
    """Return ``value`` if it is an integer in ``[minimum, limit)``; otherwise raise :class:`CorruptModel`."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < limit:
        raise CorruptModel(f"the GLB has {str(value)[:20]!a} where an integer is expected; export the model again")
    return value


def item_at(items: list[Any], index: object) -> Any:
    """Return ``items[index]`` with ``index`` checked."""
    return items[checked_integer(index, 0, len(items))]


class Accessors:
    """Accessors of one document. The total of items read is bounded by the size of the binary chunk."""

    def __init__(self, document: Json, binary: bytes) -> None:
        self._document, self._binary = document, binary
        self._remaining_items = _MIN_ITEM_LIMIT + _MAX_READS_PER_BYTE * len(binary)

    def count(self, index: object) -> int:
        """Return the number of elements of an accessor."""
        return checked_integer(item_at(self._document["accessors"], index)["count"])

    def has_data(self, index: object) -> bool:
        """Return whether the accessor has a buffer view; without one its values are zero or only stored compressed."""
        return "bufferView" in item_at(self._document["accessors"], index)

    def read(self, index: object, accessor_type: str) -> NDArray[np.float64]:
        """Return the values of an accessor of type ``accessor_type`` (VEC3, ...), (count, width) float64."""
        accessor, width = item_at(self._document["accessors"], index), _COMPONENT_COUNTS[accessor_type]
        if accessor["type"] != accessor_type or accessor["componentType"] not in _COMPONENTS:
            raise CorruptModel(
                f"the GLB's accessor {checked_integer(index)} is of the wrong type; export the model again"
            )
        component = np.dtype(_COMPONENTS[accessor["componentType"]])
        count = checked_integer(accessor["count"])
        self._remaining_items -= count * width
        if self._remaining_items < 0:
            raise CorruptModel("the GLB's accessors count more items than the file holds; export the model again")
        if "bufferView" in accessor:
            offset = checked_integer(accessor.get("byteOffset", 0))
            values = self._strided(accessor["bufferView"], offset, component, count, width).astype(np.float64)
        else:
            values = np.zeros((count, width))
        if "sparse" in accessor:
            self._apply_sparse(accessor["sparse"], component, values)
        if accessor.get("normalized") and component.kind != "f":
            values = np.maximum(values / np.iinfo(component).max, -1.0)
        return values

    def _apply_sparse(self, sparse: Json, component: np.dtype[Any], values: NDArray[np.float64]) -> None:
        """Replace the rows that a sparse accessor lists (section 3.6.2.3)."""
        count, rows, replacements = checked_integer(sparse["count"]), sparse["indices"], sparse["values"]
        row_type = np.dtype(_COMPONENTS[rows["componentType"]])
        if row_type.kind != "u":
            raise CorruptModel("the GLB has a sparse accessor with broken indices; export the model again")
        targets = self._strided(
            rows["bufferView"], checked_integer(rows.get("byteOffset", 0)), row_type, count, 1
        ).ravel()
        if count and int(targets.max()) >= len(values):
            raise CorruptModel(
                "a sparse accessor of the GLB refers to an element that does not exist; export the model again"
            )
        width = values.shape[1]
        values[targets] = self._strided(
            replacements["bufferView"], checked_integer(replacements.get("byteOffset", 0)), component, count, width
        )

    def _strided(
        self, view_index: object, offset: int, component: np.dtype[Any], count: int, width: int
    ) -> NDArray[Any]:
        """Return a view of ``count`` rows, ``offset`` bytes after the start of a buffer view."""
        view = item_at(self._document["bufferViews"], view_index)
        buffer = checked_integer(view["buffer"])
        for name in MESHOPT:
            fallback = item_at(self._document["buffers"], buffer).get("extensions", {}).get(name, {}).get("fallback")
            if name in view.get("extensions", {}) and (buffer != 0 or fallback):
                raise compression_error(name)
        if buffer != 0 or "uri" in self._document["buffers"][0]:
            raise CorruptModel("the GLB refers to another file for its mesh; export it with all data embedded")
        stride = checked_integer(view.get("byteStride", 0)) or component.itemsize * width
        first = checked_integer(view.get("byteOffset", 0)) + offset
        end = min(len(self._binary), checked_integer(view.get("byteOffset", 0)) + checked_integer(view["byteLength"]))
        if count and first + (count - 1) * stride + component.itemsize * width > end:
            raise CorruptModel(
                "an accessor of the GLB extends beyond its data: it is cut off or broken; export or upload it again"
            )
        if count == 0:
            return np.empty((0, width), component)
        return np.ndarray((count, width), component, self._binary, first, (stride, component.itemsize))
