"""PLY (Stanford): ASCII and both binary orders, polygon lists and triangle strips; other elements are passed over."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.parsed import Note, Parsed, check_indices
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.text import read_numbers, whole_numbers

_CODES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
          "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4",
          "uint32": "u4", "float32": "f4",
          "float64": "f8", "int64": "i8", "uint64": "u8"}  # fmt: skip
_FIRST_LINE = re.compile(rb"ply[ \t]*(\r\n|\n|\r)")
_MAX_HEADER = 1 << 20
Lists = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Property:
    """``code`` is a numpy type; ``counter`` that of a list's length, empty for a scalar."""

    name: str
    code: str
    counter: str = ""


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    rows: int
    properties: list[_Property] = field(default_factory=list)


def read_ply(data: bytes) -> Parsed:
    """Read a PLY; strips are cut into facets (a -1 ends a strip, every other facet turned as strips are)."""
    order, elements, start = _header(data)
    body = _AsciiBody(data, start) if order == "" else _BinaryBody(data, start, order)
    vertices = np.empty((0, 3))
    faces: Lists | None = None
    strips: Lists | None = None
    for element in elements:
        lists = {p.name for p in element.properties if p.counter}
        if element.name == "vertex":
            if lists:
                raise CorruptModel("the PLY's vertices hold lists, which is not read; export the model again")
            vertices = body.scalars(element, ("x", "y", "z"))
        elif element.name == "face" and lists & {"vertex_indices", "vertex_index"}:
            faces = body.lists(element, "vertex_indices" if "vertex_indices" in lists else "vertex_index")
        elif element.name == "tristrips" and lists & {"vertex_indices", "vertex_index"}:
            strips = body.lists(element, "vertex_indices" if "vertex_indices" in lists else "vertex_index")
        else:
            body.skip(element)
    if faces is None and strips is None:
        raise CorruptModel("the PLY has points but no faces; export a surface, not a point cloud")
    parts: list[NDArray[np.int32]] = []
    notes: tuple[Note, ...] = ()
    if faces is not None:
        check_indices(faces[1], len(vertices), "face")
        facets, notes = triangulate(vertices, *faces)
        parts.append(facets)
    if strips is not None:
        parts.append(_cut_strips(*strips, len(vertices)))
    return Parsed(vertices, parts[0] if len(parts) == 1 else np.concatenate(parts), None, notes)


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """``(byte order or "" for ASCII, elements, where the body begins)``."""
    first = _FIRST_LINE.match(data)
    ending = first.group(1) if first else b"\n"  # the same as the first line's: the body may begin with any byte
    last = re.compile(rb"[\r\n]end_header[ \t]*" + ending).search(data, 0, _MAX_HEADER)
    if last is None:
        raise CorruptModel("the PLY header has no end; the file is cut off: export or upload it again")
    order: str | None = None
    elements: list[_Element] = []
    for line in data[: last.start()].decode("latin-1").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) >= 2:
            order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}.get(words[1])
        elif (
            words[0] == "element"
            and len(words) == 3
            and words[2].isascii()
            and words[2].isdigit()
            and len(words[2]) < 19
        ):
            elements.append(_Element(words[1], int(words[2])))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in _CODES:
            elements[-1].properties.append(_Property(words[2], _CODES[words[1]]))
        elif (
            words[:2] == ["property", "list"]
            and elements
            and len(words) == 5
            and _integers(words[2])
            and words[3] in _CODES
        ):
            elements[-1].properties.append(_Property(words[4], _CODES[words[3]], _CODES[words[2]]))
        else:
            raise CorruptModel(f"the PLY header has the line {line[:40]!a}, which is no PLY; export the model again")
    if order is None:
        raise CorruptModel("the PLY header names no format that is read; export it as binary or ASCII PLY")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) != len(names) or sum(e.name == element.name for e in elements) > 1:
            raise CorruptModel(f"the PLY header has two of a name in or as {element.name[:40]!a}; export it again")
    return order, elements, last.end()


def _integers(name: str) -> bool:
    return _CODES.get(name, "f")[0] != "f"


def _too_short(element: _Element) -> CorruptModel:
    return CorruptModel(
        f"the PLY header counts {element.rows} of {element.name[:40]!a}, more than the file holds; it is "
        "cut off or its header is wrong: export or upload it again"
    )


def _cut_strips(starts: NDArray[np.int64], corners: NDArray[np.int64], vertex_count: int) -> NDArray[np.int32]:
    """Facets of the strips; within a strip facet k is (k, k+1, k+2), turned for odd k. O(corners).

    Facets with a repeated corner only stitch strips together (they are notation, not geometry) and are left out.
    """
    first = np.zeros(len(corners), bool)
    first[starts[:-1][np.diff(starts) > 0]] = True
    ends = corners == -1
    first[1:] |= ends[:-1]
    check_indices(corners[~ends], vertex_count, "strip")
    place = np.arange(len(corners))
    within = place - np.maximum.accumulate(np.where(first, place, 0))
    third = np.flatnonzero((within >= 2) & ~ends)
    odd = (within[third] & 1).astype(np.int64)
    cut = np.stack([corners[third - 2 + odd], corners[third - 1 - odd], corners[third]], axis=1).astype(np.int32)
    stitch = (cut[:, 0] == cut[:, 1]) | (cut[:, 1] == cut[:, 2]) | (cut[:, 2] == cut[:, 0])
    return np.ascontiguousarray(cut[~stitch])


class _AsciiBody:
    """The rows of an ASCII PLY as one run of numbers."""

    def __init__(self, data: bytes, start: int) -> None:
        self._values = read_numbers(data, start)[0]
        self._at = 0

    def scalars(self, element: _Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        """The columns ``names`` of an element without lists, (rows, names) float64."""
        width = len(element.properties)
        columns = _columns(element, names)
        if element.rows * width > len(self._values) - self._at:
            raise _too_short(element)
        block = self._values[self._at : self._at + element.rows * width].reshape(-1, width)
        self._at += element.rows * width
        return np.ascontiguousarray(block[:, columns])

    def lists(self, element: _Element, name: str) -> Lists:
        """The list ``name`` of each row: (starts (rows + 1), items) int64."""
        if element.rows * len(element.properties) > len(self._values) - self._at:
            raise _too_short(element)
        is_list = np.array([bool(p.counter) for p in element.properties])
        target = next((i for i, p in enumerate(element.properties) if p.name == name), -1)
        places, sizes = np.zeros(element.rows, np.int64), np.zeros(element.rows, np.int64)
        self._at = int(_walk_numbers(self._values, self._at, is_list, target, places, sizes))
        if self._at < 0:
            raise _too_short(element)
        starts = np.concatenate(([0], np.cumsum(sizes)))
        items = self._values[np.arange(starts[-1]) + np.repeat(places - starts[:-1], sizes)]
        return starts, whole_numbers(items, "the corners of PLY faces")

    def skip(self, element: _Element) -> None:
        """Pass over an element."""
        if element.properties:
            self.lists(element, "") if any(p.counter for p in element.properties) else self.scalars(element, ())


class _BinaryBody:
    """The rows of a binary PLY."""

    def __init__(self, data: bytes, start: int, order: str) -> None:
        self._data, self._at, self._order = data, start, order

    def scalars(self, element: _Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        """The columns ``names`` of an element without lists, (rows, names) float64."""
        _columns(element, names)
        row = np.dtype([(p.name or "_", self._order + p.code) for p in element.properties])
        if element.rows * row.itemsize > len(self._data) - self._at:
            raise _too_short(element)
        block = np.frombuffer(self._data, row, element.rows, self._at)
        self._at += element.rows * row.itemsize
        out = np.empty((element.rows, len(names)))
        for column, name in enumerate(names):
            out[:, column] = block[name]
        return out

    def lists(self, element: _Element, name: str) -> Lists:
        """The list ``name`` of each row: (starts (rows + 1), items) int64."""
        properties = element.properties
        least = sum(np.dtype(p.counter or p.code).itemsize for p in properties)
        if element.rows * least > len(self._data) - self._at:
            raise _too_short(element)
        target = next((i for i, p in enumerate(properties) if p.name == name), -1)
        if target >= 0 and properties[target].code[0] == "f":
            raise CorruptModel("the PLY's faces name their corners by fractions; export the model again")
        quick = self._triangles(element, target) if target >= 0 else None
        if quick is not None:
            return quick
        raw = np.frombuffer(self._data, np.uint8)
        counters = np.array([np.dtype(p.counter).itemsize if p.counter else 0 for p in properties])
        signed = np.array([p.counter[:1] == "i" for p in properties])
        widths = np.array([np.dtype(p.code).itemsize for p in properties])
        places, sizes = np.zeros(element.rows, np.int64), np.zeros(element.rows, np.int64)
        big = self._order == ">"
        self._at = int(_walk_bytes(raw, self._at, counters, signed, widths, big, target, places, sizes))
        if self._at < 0:
            raise _too_short(element)
        starts = np.concatenate(([0], np.cumsum(sizes)))
        items = np.empty(int(starts[-1]), np.int64)
        if target >= 0:
            _gather(raw, places, sizes, widths[target], properties[target].code[0] == "i", big, items)
        return starts, items

    def _triangles(self, element: _Element, target: int) -> Lists | None:
        """The same where every list has three items, as most files do: one strided copy. Otherwise None."""
        fields: list[tuple[str, str] | tuple[str, str, int]] = []
        for i, p in enumerate(element.properties):
            fields += [(f"n{i}", self._order + p.counter), (f"p{i}", self._order + p.code, 3)] if p.counter else [
                (f"p{i}", self._order + p.code)
            ]  # fmt: skip
        row = np.dtype(fields)
        if element.rows * row.itemsize > len(self._data) - self._at:
            return None
        block = np.frombuffer(self._data, row, element.rows, self._at)
        if not all(bool(np.all(block[f"n{i}"] == 3)) for i, p in enumerate(element.properties) if p.counter):
            return None
        self._at += element.rows * row.itemsize
        return np.arange(0, 3 * element.rows + 1, 3), block[f"p{target}"].astype(np.int64).ravel()

    def skip(self, element: _Element) -> None:
        """Pass over an element."""
        if element.properties:
            self.lists(element, "") if any(p.counter for p in element.properties) else self.scalars(element, ())


def _columns(element: _Element, names: tuple[str, ...]) -> list[int]:
    have = [p.name for p in element.properties]
    missing = [name for name in names if name not in have]
    if missing:
        raise CorruptModel(f"the PLY's vertices have no {missing[0]}; export the model again")
    return [have.index(name) for name in names]


@kernel
def _walk_numbers(values, at, is_list, target, places, sizes):  # type: ignore[no-untyped-def]
    """Find the target list of each row; returns where the rows end, or -1 if they pass the end of the file."""
    for row in range(len(places)):
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
                places[row], sizes[row] = at + 1, int(size)
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
def _walk_bytes(data, at, counters, signed, widths, big, target, places, sizes):  # type: ignore[no-untyped-def]
    """As :func:`_walk_numbers`, over bytes."""
    end = len(data)
    for row in range(len(places)):
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
                places[row], sizes[row] = at, size
            at += size * widths[i]
    return at if at <= end else -1


@kernel
def _gather(data, places, sizes, width, signed, big, items):  # type: ignore[no-untyped-def]
    done = 0
    for row in range(len(places)):
        for i in range(sizes[row]):
            items[done] = _integer(data, places[row] + i * width, width, signed, big)
            done += 1
