"""PLY (Stanford, Turk 1994): ASCII and both binary orders, polygon lists, strips; other elements are skipped."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.ply_body import AsciiBody, BinaryBody, Body, ListColumn, PlyElement, PlyProperty
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote, check_indices
from pricing_engine.mesh.strips import cut_strips

_CODES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
          "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4",
          "uint32": "u4", "float32": "f4",
          "float64": "f8", "int64": "i8", "uint64": "u8"}  # fmt: skip
_LINE_END = re.compile(r"\r\n|\n|\r")
_LAST_LINE = re.compile(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)")
_MAX_HEADER = 1 << 20
_MAX_LINE_END_BYTES = 2  # extra line end of a binary file; shorter than any row


def read_ply(data: bytes) -> RawMesh:
    """Read vertices, faces and strips. Raises :class:`CorruptModel`, also for point clouds."""
    byte_order, elements, body_starts = _header(data)
    for start in body_starts[:-1]:
        body = BinaryBody(data, start, byte_order)
        with suppress(CorruptModel):  # the last start raises it again
            mesh = _read_body(body, elements)
            if body.remaining == 0:
                return mesh
    return _read_body(
        BinaryBody(data, body_starts[-1], byte_order) if byte_order else AsciiBody(data, body_starts[-1]), elements
    )


def _read_body(body: Body, elements: list[PlyElement]) -> RawMesh:
    vertices = np.empty((0, 3))
    faces: ListColumn | None = None
    strips: ListColumn | None = None
    for element in elements:
        lists = {p.name for p in element.properties if p.counter}
        if element.name == "vertex":
            if lists:
                raise CorruptModel(
                    "the PLY's vertices have list properties, which Facet does not read; export the model again"
                )
            vertices = body.scalars(element, ("x", "y", "z"))
        elif element.name == "face" and lists & {"vertex_indices", "vertex_index"}:
            faces = body.lists(element, "vertex_indices" if "vertex_indices" in lists else "vertex_index")
        elif element.name == "tristrips" and lists & {"vertex_indices", "vertex_index"}:
            strips = body.lists(element, "vertex_indices" if "vertex_indices" in lists else "vertex_index")
        else:
            body.skip(element)
    if faces is None and strips is None:
        raise CorruptModel("the PLY has no faces; export a surface, not a point cloud")
    parts: list[NDArray[np.int32]] = []
    notes: tuple[ReaderNote, ...] = ()
    if faces is not None:
        check_indices(faces[1], len(vertices), "face")
        facets, notes = triangulate(vertices, *faces)
        parts.append(facets)
    if strips is not None:
        starts, corners = strips
        check_indices(corners[corners != -1], len(vertices), "strip")
        parts.append(cut_strips(starts, corners).astype(np.int32))
    if body.remaining > _MAX_LINE_END_BYTES:
        message = f"{body.remaining:,} {body.unit} after the rows that the header counts were skipped"
        notes += (ReaderNote("data_left_out", message),)
    return RawMesh(vertices, parts[0] if len(parts) == 1 else np.concatenate(parts), None, notes)


def _header(data: bytes) -> tuple[str, list[PlyElement], tuple[int, ...]]:
    """Parse the header: ``(byte order or "" for ASCII, elements, possible starts of the body)``."""
    header_end = _LAST_LINE.search(data, 0, _MAX_HEADER)
    if header_end is None:
        raise CorruptModel("the PLY is cut off: its header has no end; export or upload it again")
    byte_order: str | None = None
    elements: list[PlyElement] = []
    for line in _LINE_END.split(data[: header_end.start()].decode("latin-1"))[1:]:
        fields = line.split()
        if not fields or fields[0] in ("comment", "obj_info"):
            continue
        if fields[0] == "format" and len(fields) >= 2:
            byte_order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}.get(fields[1])
        elif (
            fields[0] == "element"
            and len(fields) == 3
            and fields[2].isascii()
            and fields[2].isdigit()
            and len(fields[2]) < 19
        ):
            elements.append(PlyElement(fields[1], int(fields[2])))
        elif fields[0] == "property" and elements and len(fields) == 3 and fields[1] in _CODES:
            elements[-1].properties.append(PlyProperty(fields[2], _CODES[fields[1]]))
        elif (
            fields[:2] == ["property", "list"]
            and elements
            and len(fields) == 5
            and _is_integer_type(fields[2])
            and fields[3] in _CODES
        ):
            elements[-1].properties.append(PlyProperty(fields[4], _CODES[fields[3]], _CODES[fields[2]]))
        else:
            raise CorruptModel(f"the PLY header has the line {line[:40]!a}, which is not PLY; export the model again")
    if byte_order is None:
        raise CorruptModel("the PLY header states no known format; export it as binary or ASCII PLY")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) != len(names) or sum(e.name == element.name for e in elements) > 1:
            raise CorruptModel(f"the PLY header repeats a name in or as {element.name[:40]!a}; export the model again")
    end = header_end.end()
    # After CR, the LF may be the first byte of a binary body: take the start from which the rows fill the file.
    return byte_order, elements, (end, end - 1, end) if byte_order and header_end.group(1) == b"\r\n" else (end,)


def _is_integer_type(name: str) -> bool:
    return _CODES.get(name, "f")[0] != "f"
