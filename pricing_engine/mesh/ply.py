"""PLY (Stanford): ASCII and both binary orders, polygon lists and triangle strips; other elements are passed over."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.ply_body import AsciiBody, BinaryBody, Element, Lists, Property
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import Note, Parsed, check_indices

_CODES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
          "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4",
          "uint32": "u4", "float32": "f4",
          "float64": "f8", "int64": "i8", "uint64": "u8"}  # fmt: skip
_LINE_END = re.compile(r"\r\n|\n|\r")
_LAST_LINE = re.compile(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)")
_MAX_HEADER = 1 << 20
_LINE_END_BYTES = 2  # may end a binary file, or be a number too many in a text: less than any row


def read_ply(data: bytes) -> Parsed:
    """Read a PLY; strips are cut into facets (a -1 ends a strip, every other facet turned as strips are)."""
    order, elements, starts = _header(data)
    for start in starts[:-1]:
        body = BinaryBody(data, start, order)
        with suppress(CorruptModel):  # raised again for the last place
            found = _read_body(body, elements)
            if body.left == 0:
                return found
    return _read_body(BinaryBody(data, starts[-1], order) if order else AsciiBody(data, starts[-1]), elements)


def _read_body(body: AsciiBody | BinaryBody, elements: list[Element]) -> Parsed:
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
    if body.left > _LINE_END_BYTES:
        text = f"{body.left:,} {body.unit} follow what the header counts and were left out"
        notes += (Note("data_left_out", text),)
    return Parsed(vertices, parts[0] if len(parts) == 1 else np.concatenate(parts), None, notes)


def _header(data: bytes) -> tuple[str, list[Element], tuple[int, ...]]:
    """``(byte order or "" for ASCII, elements, places where the body may begin)``."""
    last = _LAST_LINE.search(data, 0, _MAX_HEADER)
    if last is None:
        raise CorruptModel("the PLY header has no end; the file is cut off: export or upload it again")
    order: str | None = None
    elements: list[Element] = []
    for line in _LINE_END.split(data[: last.start()].decode("latin-1"))[1:]:
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
            elements.append(Element(words[1], int(words[2])))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in _CODES:
            elements[-1].properties.append(Property(words[2], _CODES[words[1]]))
        elif (
            words[:2] == ["property", "list"]
            and elements
            and len(words) == 5
            and _integers(words[2])
            and words[3] in _CODES
        ):
            elements[-1].properties.append(Property(words[4], _CODES[words[3]], _CODES[words[2]]))
        else:
            raise CorruptModel(f"the PLY header has the line {line[:40]!a}, which is no PLY; export the model again")
    if order is None:
        raise CorruptModel("the PLY header names no format that is read; export it as binary or ASCII PLY")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) != len(names) or sum(e.name == element.name for e in elements) > 1:
            raise CorruptModel(f"the PLY header has two of a name in or as {element.name[:40]!a}; export it again")
    end = last.end()
    # Of CR and LF, the latter may be the first byte of a binary body: the place from which the rows fill the file.
    return order, elements, (end, end - 1, end) if order and last.group(1) == b"\r\n" else (end,)


def _integers(name: str) -> bool:
    return _CODES.get(name, "f")[0] != "f"


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
