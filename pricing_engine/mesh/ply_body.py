"""The body of a PLY: rows of the header's elements, as ASCII numbers or bytes in either order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.number_scanner import read_numbers, to_integers

ListColumn = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class PlyProperty:
    """A property: ``code`` is its numpy type, ``counter`` that of a list's length, empty for a scalar."""

    name: str
    code: str
    counter: str = ""


@dataclass(frozen=True, slots=True)
class PlyElement:
    """An element of the header: ``rows`` rows of ``properties``."""

    name: str
    rows: int
    properties: list[PlyProperty] = field(default_factory=list)


def _truncated(element: PlyElement) -> CorruptModel:
    return CorruptModel(
        f"the PLY header counts {element.rows} of {element.name[:40]!a}, more than the file holds: it is "
        "cut off or its header is wrong; export or upload it again"
    )


class Body(ABC):
    """The rows of a PLY, read one element after the other."""

    unit: str

    @property
    @abstractmethod
    def remaining(self) -> int:
        """Return how many of ``unit`` are unread."""

    @abstractmethod
    def scalars(self, element: PlyElement, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read the columns ``names`` of an element without lists, (rows, names) float64."""

    @abstractmethod
    def lists(self, element: PlyElement, name: str) -> ListColumn:
        """Read the list ``name`` of each row: (starts (rows + 1), items) int64."""

    def skip(self, element: PlyElement) -> None:
        """Skip an element."""
        if element.properties:
            self.lists(element, "") if any(p.counter for p in element.properties) else self.scalars(element, ())


class AsciiBody(Body):
    """The body of an ASCII PLY as one array of numbers."""

    unit = "numbers"

    def __init__(self, data: bytes, start: int) -> None:
        self._values = read_numbers(data, start)[0]
        self._at = 0

    @property
    def remaining(self) -> int:
        """Return how many numbers are unread."""
        return len(self._values) - self._at

    def scalars(self, element: PlyElement, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read the columns as :meth:`Body.scalars`; raises CorruptModel if rows are missing."""
        width = len(element.properties)
        columns = _columns(element, names)
        if element.rows * width > len(self._values) - self._at:
            raise _truncated(element)
        block = self._values[self._at : self._at + element.rows * width].reshape(-1, width)
        self._at += element.rows * width
        return np.ascontiguousarray(block[:, columns])

    def lists(self, element: PlyElement, name: str) -> ListColumn:
        """Read the list as :meth:`Body.lists`; raises CorruptModel if rows are missing or items are no integers."""
        if element.rows * len(element.properties) > len(self._values) - self._at:
            raise _truncated(element)
        is_list = np.array([bool(p.counter) for p in element.properties])
        target = next((i for i, p in enumerate(element.properties) if p.name == name), -1)
        positions, sizes = np.zeros(element.rows, np.int64), np.zeros(element.rows, np.int64)
        self._at = int(_walk_numbers(self._values, self._at, is_list, target, positions, sizes))
        if self._at < 0:
            raise _truncated(element)
        starts = np.concatenate(([0], np.cumsum(sizes)))
        items = self._values[np.arange(starts[-1]) + np.repeat(positions - starts[:-1], sizes)]
        return starts, to_integers(items, "the corners of PLY faces")


class BinaryBody(Body):
    """The body of a binary PLY."""

    unit = "bytes"

    def __init__(self, data: bytes, start: int, byte_order: str) -> None:
        self._data, self._at, self._byte_order = data, start, byte_order

    @property
    def remaining(self) -> int:
        """Return how many bytes are unread."""
        return len(self._data) - self._at

    def scalars(self, element: PlyElement, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read the columns as :meth:`Body.scalars`; raises CorruptModel if rows are missing."""
        _columns(element, names)
        row = np.dtype([(p.name or "_", self._byte_order + p.code) for p in element.properties])
        if element.rows * row.itemsize > len(self._data) - self._at:
            raise _truncated(element)
        block = np.frombuffer(self._data, row, element.rows, self._at)
        self._at += element.rows * row.itemsize
        out = np.empty((element.rows, len(names)))
        for column, name in enumerate(names):
            out[:, column] = block[name]
        return out

    def lists(self, element: PlyElement, name: str) -> ListColumn:
        """Read the list as :meth:`Body.lists`; raises CorruptModel if rows are missing or items are no integers."""
        properties = element.properties
        min_row_bytes = sum(np.dtype(p.counter or p.code).itemsize for p in properties)
        if element.rows * min_row_bytes > len(self._data) - self._at:
            raise _truncated(element)
        target = next((i for i, p in enumerate(properties) if p.name == name), -1)
        if target >= 0 and properties[target].code[0] == "f":
            raise CorruptModel("the PLY's faces have fractional corner indices; export the model again")
        triangles = self._triangle_lists(element, target) if target >= 0 else None
        if triangles is not None:
            return triangles
        bytes_ = np.frombuffer(self._data, np.uint8)
        counters = np.array([np.dtype(p.counter).itemsize if p.counter else 0 for p in properties])
        signed = np.array([p.counter[:1] == "i" for p in properties])
        widths = np.array([np.dtype(p.code).itemsize for p in properties])
        positions, sizes = np.zeros(element.rows, np.int64), np.zeros(element.rows, np.int64)
        big = self._byte_order == ">"
        self._at = int(_walk_bytes(bytes_, self._at, counters, signed, widths, big, target, positions, sizes))
        if self._at < 0:
            raise _truncated(element)
        starts = np.concatenate(([0], np.cumsum(sizes)))
        items = np.empty(int(starts[-1]), np.int64)
        if target >= 0:
            _gather(bytes_, positions, sizes, widths[target], properties[target].code[0] == "i", big, items)
        return starts, items

    def _triangle_lists(self, element: PlyElement, target: int) -> ListColumn | None:
        """Read lists of three items each, the common case, as one strided copy; None for other lists."""
        fields: list[tuple[str, str] | tuple[str, str, int]] = []
        for i, p in enumerate(element.properties):
            if p.counter:
                fields += [(f"n{i}", self._byte_order + p.counter), (f"p{i}", self._byte_order + p.code, 3)]
            else:
                fields.append((f"p{i}", self._byte_order + p.code))
        row = np.dtype(fields)
        if element.rows * row.itemsize > len(self._data) - self._at:
            return None
        block = np.frombuffer(self._data, row, element.rows, self._at)
        if not all(bool(np.all(block[f"n{i}"] == 3)) for i, p in enumerate(element.properties) if p.counter):
            return None
        self._at += element.rows * row.itemsize
        return np.arange(0, 3 * element.rows + 1, 3), block[f"p{target}"].astype(np.int64).ravel()


def _columns(element: PlyElement, names: tuple[str, ...]) -> list[int]:
    have = [p.name for p in element.properties]
    missing = [name for name in names if name not in have]
    if missing:
        raise CorruptModel(f"the PLY's vertices have no {missing[0]}; export the model again")
    return [have.index(name) for name in names]


@kernel
def _walk_numbers(values, at, is_list, target, positions, sizes):  # type: ignore[no-untyped-def]
    """Find the target list of each row; return the end of the rows, or -1 beyond the end of the data."""
    for row in range(len(positions)):
        for i in range(len(is_list)):
            if at >= len(values):
                return -1
            if not is_list[i]:
                at += 1
                continue
            size = values[at]
            if not (0 <= size <= len(values) - at - 1) or size != np.floor(size):
                return -1
            if i == target:
                positions[row], sizes[row] = at + 1, int(size)
            at += 1 + int(size)
    return at


@inlined
def _integer(data, at, width, signed, big):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for i in range(width):
        byte = data[at + i] if big else data[at + width - 1 - i]
        if i == 0 and signed and byte >= 128:
            value = np.int64(-1)
        value = (value << 8) | np.int64(byte)
    return value


@kernel
def _walk_bytes(data, at, counters, signed, widths, big, target, positions, sizes):  # type: ignore[no-untyped-def]
    """Find the target list of each row as :func:`_walk_numbers` does, over bytes."""
    end = len(data)
    for row in range(len(positions)):
        for i in range(len(counters)):
            if at + max(counters[i], 1) > end:
                return -1
            if counters[i] == 0:
                at += widths[i]
                continue
            size = _integer(data, at, counters[i], signed[i], big)
            at += counters[i]
            if size < 0 or size > (end - at) // widths[i]:
                return -1
            if i == target:
                positions[row], sizes[row] = at, size
            at += size * widths[i]
    return at if at <= end else -1


@kernel
def _gather(data, positions, sizes, width, signed, big, items):  # type: ignore[no-untyped-def]
    filled = 0
    for row in range(len(positions)):
        for i in range(sizes[row]):
            items[filled] = _integer(data, positions[row] + i * width, width, signed, big)
            filled += 1
