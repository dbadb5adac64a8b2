"""Wavefront OBJ: vertices and faces; groups, materials, normals and texture coordinates do not change the shape.

Two passes of one scanner over the bytes, the first only counting, so memory is exact: O(bytes) time, 24 bytes a vertex
and 8 bytes a face corner.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.parsed import Note, Parsed, excerpt, line_of
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.text import is_space, read_number

_PASSED_OVER = np.frombuffer(
    b"vn vt vp g o s l p mg usemtl mtllib usemap maplib cstype deg bmat step curv curv2 surf parm trim hole scrv sp "
    b"end con bevel c_interp d_interp lod shadow_obj trace_obj ctech stech ",
    np.uint8,
)
_DONE, _BAD_NUMBER, _BAD_INDEX, _FEW = range(4)


def read_obj(data: bytes) -> Parsed:
    """Polygons are triangulated; negative indices count back from the last vertex so far."""
    raw = np.frombuffer(data, np.uint8)
    nothing = np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.int64)
    _, _, vertex_count, corner_count, face_count, _ = _scan(raw, *nothing, False)
    vertices, corners = np.empty((vertex_count, 3)), np.empty(corner_count, np.int64)
    starts = np.empty(face_count + 1, np.int64)
    outcome, at, _, filled, faces, odd = _scan(raw, vertices, corners, starts, True)
    where = f"line {line_of(data, at)}"
    if outcome == _BAD_INDEX:
        raise CorruptModel(f"{where}: {excerpt(data, at)} names a vertex that is not there; export the model again")
    if outcome == _FEW:
        raise CorruptModel(f"{where}: a face needs at least three corners; export the model again")
    if outcome != _DONE or filled != corner_count or faces != face_count:
        raise CorruptModel(f"{where}: {excerpt(data, at)} is no coordinate; export the model again")
    starts[face_count] = corner_count
    facets, notes = triangulate(vertices, starts, corners)
    if odd:
        notes += (Note("unknown_lines", f"{odd} lines hold no OBJ statement and were left out"),)
    return Parsed(vertices, facets, None, notes)


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
def _known(data, at, after):  # type: ignore[no-untyped-def]
    """Whether the word is one of the statements of OBJ that this reader may pass over."""
    i = 0
    while i < len(_PASSED_OVER):
        length = 0
        same = True
        while _PASSED_OVER[i + length] != 32:
            same = same and at + length < after and data[at + length] == _PASSED_OVER[i + length]
            length += 1
        if same and at + length == after:
            return True
        i += length + 1
    return False


@kernel
def _scan(data, vertices, corners, starts, fill):  # type: ignore[no-untyped-def]
    """Returns ``(outcome, place, vertices, corners, faces, odd lines)``."""
    end = len(data)
    at, vertex, corner, face, odd = 0, 0, 0, 0, 0
    while at < end:
        while at < end and is_space(data[at]):
            at += 1
        word = at
        while at < end and not is_space(data[at]) and data[at] != 35 and _blank(data, at, end) == 0:
            at += 1
        length = at - word
        if length == 1 and data[word] == 118:  # v
            if fill and vertex >= len(vertices):
                return _BAD_NUMBER, word, vertex, corner, face, odd
            for axis in range(3):
                step = _blank(data, at, end)
                while step > 0:
                    at += step
                    step = _blank(data, at, end)
                if fill:
                    value, after = read_number(data, at, end)
                    rest = after < end and not is_space(data[after]) and data[after] != 35
                    if after == at or (rest and _blank(data, after, end) == 0):
                        return _BAD_NUMBER, at, vertex, corner, face, odd
                    vertices[vertex, axis] = value
                    at = after
            vertex += 1
        elif length == 1 and data[word] == 102:  # f
            first = corner
            if fill and face >= len(starts):
                return _BAD_INDEX, word, vertex, corner, face, odd
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
                        return _BAD_INDEX, token, vertex, corner, face, odd
                    corners[corner] = index
                corner += 1
                while at < end and not is_space(data[at]) and data[at] != 35 and _blank(data, at, end) == 0:
                    at += 1
            if corner - first < 3:
                return _FEW, word, vertex, corner, face, odd
            face += 1
        elif length > 0 and not _known(data, word, at):
            odd += 1
        while at < end and data[at] != 10 and data[at] != 13:
            if data[at] == 35:  # a backslash in a comment continues nothing
                while at < end and data[at] != 10 and data[at] != 13:
                    at += 1
            else:
                at += max(_blank(data, at, end), 1)
    return _DONE, at, vertex, corner, face, odd
