"""Wavefront OBJ: ``v`` and ``f`` statements; groups, materials, normals and texture coordinates are ignored.

The scanner passes twice over the bytes, first to count, so memory is exact: O(bytes) time, 24 bytes a vertex and 8 a
face corner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.number_scanner import is_space, read_number, text_bytes
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote, excerpt, line_of

_IGNORED_KEYWORDS = np.frombuffer(
    b"vn vt vp g o s l p mg usemtl mtllib usemap maplib cstype deg bmat step curv2 parm trim hole scrv sp "
    b"end con bevel c_interp d_interp lod shadow_obj trace_obj ctech stech ",
    np.uint8,
)
_SURFACE_KEYWORDS = np.frombuffer(b"surf bsp bzp cdp ", np.uint8)
_CURVE_KEYWORDS = np.frombuffer(b"curv cdc ", np.uint8)
_DONE, _BAD_NUMBER, _BAD_INDEX = range(3)
_UNKNOWN, _SURFACE, _CURVE = range(3)


def read_obj(data: bytes) -> RawMesh:
    """Read vertices and faces; triangulate polygons. Negative indices count back from the last vertex so far.

    Free-form curves and surfaces are skipped with a note. Raises :class:`CorruptModel`, or :class:`EmptyModel` where a
    file has free-form surfaces alone.
    """
    raw = text_bytes(data)
    empty = np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.int64)
    other_lines = np.zeros(3, np.int64)
    _, _, vertex_count, corner_count, face_count = _scan(raw, *empty, other_lines, False)
    vertices, corners = np.empty((vertex_count, 3)), np.empty(corner_count, np.int64)
    starts = np.empty(face_count + 1, np.int64)
    status, at, _, filled, faces = _scan(raw, vertices, corners, starts, other_lines, True)
    where = f"line {line_of(data, at)}"
    if status == _BAD_INDEX:
        raise CorruptModel(
            f"{where}: {excerpt(data, at)} refers to a vertex that does not exist; export the model again"
        )
    if status != _DONE or filled != corner_count or faces != face_count:
        raise CorruptModel(f"{where}: {excerpt(data, at)} is not a number; export the model again")
    if face_count == 0 and other_lines[_SURFACE]:
        raise EmptyModel("the OBJ has free-form surfaces and no faces; export it as a polygon mesh")
    starts[face_count] = corner_count
    facets, notes = triangulate(vertices, starts, corners)
    return RawMesh(vertices, facets, None, notes + _notes(other_lines))


def _notes(other_lines: NDArray[np.int64]) -> tuple[ReaderNote, ...]:
    """Return notes about the lines that are neither vertices nor faces."""
    kinds = (
        ("unknown_lines", _UNKNOWN, "lines are not OBJ statements and were skipped"),
        ("free_form_surfaces", _SURFACE, "free-form surfaces were skipped: export them as polygons"),
        ("free_form_curves", _CURVE, "free-form curves were skipped"),
    )
    return tuple(
        ReaderNote(code, f"{other_lines[kind]} {message}") for code, kind, message in kinds if other_lines[kind]
    )


@inlined
def _blank_length(data, at, end):  # type: ignore[no-untyped-def]
    """Return the length of white space within the line at ``at``; a backslash before a line end continues the line."""
    if at < end:
        if data[at] == 32 or data[at] == 9 or data[at] == 11 or data[at] == 12:
            return 1
        if data[at] == 92 and at + 1 < end:
            if data[at + 1] == 10:
                return 2
            if data[at + 1] == 13:
                return 3 if at + 2 < end and data[at + 2] == 10 else 2
    return 0


@inlined
def _skip_blanks(data, at, end):  # type: ignore[no-untyped-def]
    step = _blank_length(data, at, end)
    while step > 0:
        at += step
        step = _blank_length(data, at, end)
    return at


@inlined
def _is_one_of(keywords, data, at, after):  # type: ignore[no-untyped-def]
    """Return whether ``data[at:after]`` is one of ``keywords``, each followed by a blank."""
    i = 0
    while i < len(keywords):
        length = 0
        matches = True
        while keywords[i + length] != 32:
            matches = matches and at + length < after and data[at + length] == keywords[i + length]
            length += 1
        if matches and at + length == after:
            return True
        i += length + 1
    return False


@kernel
def _scan(data, vertices, corners, starts, other_lines, fill):  # type: ignore[no-untyped-def]
    """Scan all lines; return ``(status, position, vertices, corners, faces)``; fill arrays only if ``fill``.

    Counts unknown and free-form lines into ``other_lines``.
    """
    end = len(data)
    at, vertex, corner, face = 0, 0, 0, 0
    other_lines[:] = 0
    while at < end:
        while at < end and is_space(data[at]):
            at += 1
        keyword = at
        while at < end and not is_space(data[at]) and data[at] != 35 and _blank_length(data, at, end) == 0:
            at += 1
        length = at - keyword
        if length == 1 and data[keyword] == 118:  # v
            if fill and vertex >= len(vertices):
                return _BAD_NUMBER, keyword, vertex, corner, face
            for axis in range(3):
                at = _skip_blanks(data, at, end)
                if fill:
                    value, after = read_number(data, at, end)
                    unread = after < end and not is_space(data[after]) and data[after] != 35
                    if after == at or (unread and _blank_length(data, after, end) == 0):
                        return _BAD_NUMBER, at, vertex, corner, face
                    vertices[vertex, axis] = value
                    at = after
            vertex += 1
        elif (length == 1 or (length == 2 and data[keyword + 1] == 111)) and data[keyword] == 102:  # f, formerly fo
            if fill and face >= len(starts):
                return _BAD_INDEX, keyword, vertex, corner, face
            if fill:
                starts[face] = corner
            while True:
                at = _skip_blanks(data, at, end)
                if at >= end or is_space(data[at]) or data[at] == 35:
                    break
                token = at
                if fill:
                    negative = data[at] == 45
                    if negative or data[at] == 43:
                        at += 1
                    index, digits = 0, at
                    while at < end and 48 <= data[at] <= 57:
                        index = min(index * 10 + (data[at] - 48), 1 << 40)
                        at += 1
                    index = vertex - index if negative else index - 1
                    valid = at > digits and (at >= end or is_space(data[at]) or data[at] == 47 or data[at] == 35)
                    valid = valid or (at > digits and _blank_length(data, at, end) > 0)
                    if not valid or index < 0 or index >= len(vertices) or corner >= len(corners):
                        return _BAD_INDEX, token, vertex, corner, face
                    corners[corner] = index
                corner += 1
                while at < end and not is_space(data[at]) and data[at] != 35 and _blank_length(data, at, end) == 0:
                    at += 1
            face += 1
        elif length > 0 and not _is_one_of(_IGNORED_KEYWORDS, data, keyword, at):
            surface, curve = (
                _is_one_of(_SURFACE_KEYWORDS, data, keyword, at),
                _is_one_of(_CURVE_KEYWORDS, data, keyword, at),
            )
            other_lines[_SURFACE if surface else _CURVE if curve else _UNKNOWN] += 1
        while at < end and data[at] != 10 and data[at] != 13:
            if data[at] == 35:  # a backslash in a comment does not continue it
                while at < end and data[at] != 10 and data[at] != 13:
                    at += 1
            else:
                at += max(_blank_length(data, at, end), 1)
    return _DONE, at, vertex, corner, face
