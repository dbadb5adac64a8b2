"""ASCII STL: ``solid``, facets of three ``vertex x y z`` each, ``endsolid``; a file may have several solids.

Unambiguous dialects are accepted: keywords in any case and on any line, ``end loop`` for ``endloop``, a repeated
``solid``, a missing ``endsolid``, ``color`` lines, comments (``#``, ``//``, ``;``), a missing normal. Anything else
raises :class:`CorruptModel` with its line.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.number_scanner import is_space, read_number, text_bytes
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote, excerpt, line_of

_DONE, _BAD_NUMBER, _UNEXPECTED, _TRUNCATED, _NOT_THREE_CORNERS, _COMMA = range(6)
_OUTSIDE, _FACET, _LOOP, _AFTER_LOOP = range(4)
_SHORTEST_FACET = len("facet outer loop vertex 0 0 0 vertex 0 0 0 vertex 0 0 0 endloop endfacet")


def read_ascii_stl(data: bytes) -> RawMesh:
    """Read all solids as one mesh; the order of the corners defines the outside, normals are ignored.

    O(bytes) time, 72 bytes a facet beside the text. Raises :class:`CorruptModel`.
    """
    raw = text_bytes(data)
    corners = np.empty((3 * (len(raw) // (_SHORTEST_FACET + 1) + 1), 3))
    status, at, count, solid_open = _scan(raw, corners)
    if status != _DONE:
        raise CorruptModel(_error_message(data, status, at))
    notes = (ReaderNote("missing_endsolid", "the file ends without 'endsolid'; check that it is complete"),)
    facets = np.arange(count, dtype=np.int32).reshape(-1, 3)
    return RawMesh(corners[:count], facets, None, notes if solid_open else ())


def _error_message(data: bytes, status: int, at: int) -> str:
    where = f"line {line_of(data, at)}"
    if status == _TRUNCATED:
        return f"the ASCII STL is cut off: it ends at {where} within a facet; export or upload it again"
    if status == _NOT_THREE_CORNERS:
        return f"{where}: an STL facet must have three corners; export the model again, triangulated"
    if status == _COMMA:
        return f"{where}: {excerpt(data, at)} has a decimal comma; export the model again with decimal points"
    if status == _BAD_NUMBER:
        return f"{where}: {excerpt(data, at)} is not a number; export the model again"
    return f"{where}: {excerpt(data, at)} does not belong in an ASCII STL here; export the model again"


@inlined
def _skip_space(data, at):  # type: ignore[no-untyped-def]
    while at < len(data) and is_space(data[at]):
        at += 1
    return at


@inlined
def _skip_word(data, at):  # type: ignore[no-untyped-def]
    while at < len(data) and not is_space(data[at]):
        at += 1
    return at


@inlined
def _matches(data, at, keyword):  # type: ignore[no-untyped-def]
    """Return whether the token at ``at`` is ``keyword`` (lower-case bytes) in any case."""
    if at + len(keyword) > len(data) or (at + len(keyword) < len(data) and not is_space(data[at + len(keyword)])):
        return False
    for i in range(len(keyword)):  # noqa: SIM110 - numba compiles no generators
        if (data[at + i] | 32) != keyword[i]:
            return False
    return True


@inlined
def _end_of_keyword(data, at, keyword):  # type: ignore[no-untyped-def]
    """Return the end of ``endX`` or ``end X`` at ``at``, or -1; ``keyword`` is ``endx`` in lower case."""
    if _matches(data, at, keyword):
        return at + len(keyword)
    if _matches(data, at, b"end"):
        second = _skip_space(data, at + 3)
        if _matches(data, second, keyword[3:]):
            return second + len(keyword) - 3
    return -1


@inlined
def _starts_comment(data, at):  # type: ignore[no-untyped-def]
    return data[at] == 35 or data[at] == 59 or (data[at] == 47 and at + 1 < len(data) and data[at + 1] == 47)


@inlined
def _skip_numbers(data, at, limit):  # type: ignore[no-untyped-def]
    """Skip up to ``limit`` numbers."""
    for _ in range(limit):
        token = _skip_space(data, at)
        after = read_number(data, token, len(data))[1]
        if after == token:
            return at
        at = _skip_word(data, after)
    return at


@inlined
def _skip_name(data, at):  # type: ignore[no-untyped-def]
    """Skip a solid's name: to the end of the line, or to the first facet where the file is a single line."""
    while at < len(data) and data[at] != 10 and data[at] != 13:
        if is_space(data[at]) and _matches(data, at + 1, b"facet"):
            keyword = _skip_space(data, at + 6)
            if _matches(data, keyword, b"normal"):
                number = _skip_space(data, keyword + 6)
                if read_number(data, number, len(data))[1] > number:
                    return at
        at += 1
    return at


@kernel
def _scan(data, corners):  # type: ignore[no-untyped-def]
    """Run a state machine over the tokens; return ``(status, position, corners, whether a solid is open)``."""
    end = len(data)
    state, count, first, solid_open = _OUTSIDE, 0, 0, False
    at = 0
    while True:
        at = _skip_space(data, at)
        if at >= end:
            return (_DONE if state == _OUTSIDE else _TRUNCATED), at, count, solid_open
        if state == _LOOP and _matches(data, at, b"vertex"):
            at += 6
            if count >= len(corners):
                return _NOT_THREE_CORNERS, at, count, solid_open
            for axis in range(3):
                at = _skip_space(data, at)
                value, after = read_number(data, at, end)
                if after == at or (after < end and not is_space(data[after])):
                    status = _TRUNCATED if after >= end else _COMMA if data[after] == 44 else _BAD_NUMBER
                    return status, at, count, solid_open
                corners[count, axis] = value
                at = after
            count += 1
        elif state == _OUTSIDE and _matches(data, at, b"facet"):
            at = _skip_space(data, at + 5)
            if _matches(data, at, b"normal"):
                at += 6
                for _ in range(3):
                    token = _skip_space(data, at)
                    if _matches(data, token, b"outer"):
                        break
                    at = _skip_word(data, token)
            state = _FACET
        elif state == _FACET and _matches(data, at, b"outer"):
            at = _skip_space(data, at + 5)
            if not _matches(data, at, b"loop"):
                return (_TRUNCATED if at + 4 >= end else _UNEXPECTED), at, count, solid_open
            at += 4
            state, first = _LOOP, count
        elif state == _LOOP and _end_of_keyword(data, at, b"endloop") > 0:
            if count - first != 3:
                return _NOT_THREE_CORNERS, at, count, solid_open
            at = _end_of_keyword(data, at, b"endloop")
            state = _AFTER_LOOP
        elif state == _AFTER_LOOP and _end_of_keyword(data, at, b"endfacet") > 0:
            at = _end_of_keyword(data, at, b"endfacet")
            state = _OUTSIDE
        elif state == _OUTSIDE and _matches(data, at, b"solid"):
            solid_open = True
            at = _skip_name(data, at + 5)
        elif state == _OUTSIDE and _end_of_keyword(data, at, b"endsolid") > 0:
            solid_open = False
            at = _skip_name(data, _end_of_keyword(data, at, b"endsolid"))
        elif _starts_comment(data, at):
            line_end = at
            while line_end < end and data[line_end] != 10 and data[line_end] != 13:
                line_end += 1
            at = line_end if line_end < end else _skip_name(data, at)  # the last line may hold all facets
        elif _matches(data, at, b"color") or _matches(data, at, b"colour"):
            at = _skip_numbers(data, _skip_word(data, at), 4)
        else:
            keyword = _skip_word(data, at)
            return (_TRUNCATED if keyword >= end else _UNEXPECTED), at, count, solid_open
