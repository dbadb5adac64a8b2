"""Wavefront OBJ: vertices and faces; groups, materials, normals and texture coordinates do not change the shape.

Two passes of one scanner over the bytes, the first only counting, so memory is exact: O(bytes) time, 24 bytes a vertex
and 8 bytes a face corner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.number_scanner import is_space, read_number, text_bytes
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import Note, Parsed, excerpt, line_of

_PASSED_OVER = np.frombuffer(
    b"vn vt vp g o s l p mg usemtl mtllib usemap maplib cstype deg bmat step curv2 parm trim hole scrv sp "
    b"end con bevel c_interp d_interp lod shadow_obj trace_obj ctech stech ",
    np.uint8,
)
_SURFACES = np.frombuffer(b"surf bsp bzp cdp ", np.uint8)
_CURVES = np.frombuffer(b"curv cdc ", np.uint8)
_DONE, _BAD_NUMBER, _BAD_INDEX = range(3)
_ODD, _SURFACE, _CURVE = range(3)


def read_obj(data: bytes) -> Parsed:
    """Polygons are triangulated; negative indices count back from the last vertex so far; free-form shapes are left
    out and reported."""
    raw = text_bytes(data)
    nothing = np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.int64)
    others = np.zeros(3, np.int64)
    _, _, vertex_count, corner_count, face_count = _scan(raw, *nothing, others, False)
    vertices, corners = np.empty((vertex_count, 3)), np.empty(corner_count, np.int64)
    starts = np.empty(face_count + 1, np.int64)
    outcome, at, _, filled, faces = _scan(raw, vertices, corners, starts, others, True)
    where = f"line {line_of(data, at)}"
    if outcome == _BAD_INDEX:
        raise CorruptModel(f"{where}: {excerpt(data, at)} names a vertex that is not there; export the model again")
    if outcome != _DONE or filled != corner_count or faces != face_count:
        raise CorruptModel(f"{where}: {excerpt(data, at)} is no coordinate; export the model again")
    if face_count == 0 and others[_SURFACE]:
        raise EmptyModel("the OBJ holds free-form surfaces and no faces; export it as a mesh of polygons")
    starts[face_count] = corner_count
    facets, notes = triangulate(vertices, starts, corners)
    return Parsed(vertices, facets, None, notes + _notes(others))


def _notes(others: NDArray[np.int64]) -> tuple[Note, ...]:
    """What is to be said of the lines that hold neither a vertex nor a face."""
    found = (
        ("unknown_lines", _ODD, "lines hold no OBJ statement and were left out"),
        ("free_form_surfaces", _SURFACE, "free-form surfaces were left out: export them as polygons"),
        ("free_form_curves", _CURVE, "free-form curves were left out"),
    )
    return tuple(Note(code, f"{others[kind]} {text}") for code, kind, text in found if others[kind])


@inlined
def _blank(data, at, end):  # type: ignore[no-untyped-def]
    """How many bytes of white space within the line are at ``at``; a backslash before a line end continues it."""
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
def _listed(words, data, at, after):  # type: ignore[no-untyped-def]
    """Whether ``data[at:after]`` is one of ``words``, each of which a blank follows."""
    i = 0
    while i < len(words):
        length = 0
        same = True
        while words[i + length] != 32:
            same = same and at + length < after and data[at + length] == words[i + length]
            length += 1
        if same and at + length == after:
            return True
        i += length + 1
    return False


@kernel
def _scan(data, vertices, corners, starts, others, fill):  # type: ignore[no-untyped-def]
    """Returns ``(outcome, place, vertices, corners, faces)``; counts the other lines into ``others``."""
    end = len(data)
    at, vertex, corner, face = 0, 0, 0, 0
    others[:] = 0
    while at < end:
        while at < end and is_space(data[at]):
            at += 1
        word = at
        while at < end and not is_space(data[at]) and data[at] != 35 and _blank(data, at, end) == 0:
            at += 1
        length = at - word
        if length == 1 and data[word] == 118:  # v
            if fill and vertex >= len(vertices):
                return _BAD_NUMBER, word, vertex, corner, face
            for axis in range(3):
                step = _blank(data, at, end)
                while step > 0:
                    at += step
                    step = _blank(data, at, end)
                if fill:
                    value, after = read_number(data, at, end)
                    rest = after < end and not is_space(data[after]) and data[after] != 35
                    if after == at or (rest and _blank(data, after, end) == 0):
                        return _BAD_NUMBER, at, vertex, corner, face
                    vertices[vertex, axis] = value
                    at = after
            vertex += 1
        elif (length == 1 or (length == 2 and data[word + 1] == 111)) and data[word] == 102:  # f, of old fo
            if fill and face >= len(starts):
                return _BAD_INDEX, word, vertex, corner, face
            if fill:
                starts[face] = corner
            while True:
                step = _blank(data, at, end)
                while step > 0:
                    at += step
                    step = _blank(data, at, end)
                if at >= end or is_space(data[at]) or data[at] == 35:
                    break
                token = at
                if fill:
                    back = data[at] == 45
                    if back or data[at] == 43:
                        at += 1
                    index, digits = 0, at
                    while at < end and 48 <= data[at] <= 57:
                        index = min(index * 10 + (data[at] - 48), 1 << 40)
                        at += 1
                    index = vertex - index if back else index - 1
                    sane = at > digits and (at >= end or is_space(data[at]) or data[at] == 47 or data[at] == 35)
                    sane = sane or (at > digits and _blank(data, at, end) > 0)
                    if not sane or index < 0 or index >= len(vertices) or corner >= len(corners):
                        return _BAD_INDEX, token, vertex, corner, face
                    corners[corner] = index
                corner += 1
                while at < end and not is_space(data[at]) and data[at] != 35 and _blank(data, at, end) == 0:
                    at += 1
            face += 1
        elif length > 0 and not _listed(_PASSED_OVER, data, word, at):
            surface, curve = _listed(_SURFACES, data, word, at), _listed(_CURVES, data, word, at)
            others[_SURFACE if surface else _CURVE if curve else _ODD] += 1
        while at < end and data[at] != 10 and data[at] != 13:
            if data[at] == 35:  # a backslash in a comment continues nothing
                while at < end and data[at] != 10 and data[at] != 13:
                    at += 1
            else:
                at += max(_blank(data, at, end), 1)
    return _DONE, at, vertex, corner, face
