"""ASCII STL: ``solid``, then facets of three ``vertex x y z`` each, then ``endsolid``; several solids may follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.parsed import Parsed, excerpt, line_of
from pricing_engine.mesh.text import is_space, read_number

_DONE, _BAD_NUMBER, _BAD_WORD, _CUT_OFF, _CORNERS = range(5)
_SHORTEST_FACET = len("facet normal 0 0 0 outer loop vertex 0 0 0 vertex 0 0 0 vertex 0 0 0 endloop endfacet")


def read_ascii_stl(data: bytes, start: int) -> Parsed:
    """Read from byte ``start`` on (after a byte order mark). Memory: 72 bytes a facet beside the text.

    Words may be in any case and on any line. Normals are not read: the order of the corners says what is outside.
    """
    raw = np.frombuffer(data, np.uint8)
    corners = np.empty((3 * ((len(raw) - start) // (_SHORTEST_FACET + 1) + 1), 3))
    outcome, at, count = _scan(raw, start, corners)
    if outcome != _DONE:
        raise CorruptModel(_reason(data, outcome, at))
    soup: NDArray[np.float64] = corners[:count]
    return Parsed(soup, np.arange(count, dtype=np.int32).reshape(-1, 3))


def _reason(data: bytes, outcome: int, at: int) -> str:
    where = f"line {line_of(data, at)}"
    if outcome == _CUT_OFF:
        return f"the ASCII STL ends at {where} without 'endsolid': it is cut off; export or upload it again"
    if outcome == _CORNERS:
        return f"{where}: an STL facet must have three corners; export the model again, triangulated"
    if outcome == _BAD_NUMBER:
        return f"{where}: {excerpt(data, at)} is no coordinate; export the model again"
    return f"{where}: {excerpt(data, at)} does not belong in an ASCII STL there; export the model again"


@inlined
def _matches(data, at, end, word):  # type: ignore[no-untyped-def]
    """Whether the token at ``at`` is ``word`` (lower-case bytes) in any case."""
    if at + len(word) > end or (at + len(word) < end and not is_space(data[at + len(word)])):
        return False
    for i in range(len(word)):  # noqa: SIM110 - numba compiles no generators
        if (data[at + i] | 32) != word[i]:
            return False
    return True


@kernel
def _scan(data, at, corners):  # type: ignore[no-untyped-def]
    """A state machine over the tokens: 0 outside, 1 in a solid, 2 in a facet, 3 in a loop, 4 after the loop."""
    end = len(data)
    state, count, first = 0, 0, 0
    while True:
        while at < end and is_space(data[at]):
            at += 1
        if at >= end:
            return (_DONE if state == 0 else _CUT_OFF), at, count
        if state == 3 and _matches(data, at, end, b"vertex"):
            at += 6
            if count >= len(corners):
                return _CORNERS, at, count
            for axis in range(3):
                while at < end and is_space(data[at]):
                    at += 1
                value, after = read_number(data, at, end)
                if after == at or (after < end and not is_space(data[after])):
                    return (_CUT_OFF if after >= end else _BAD_NUMBER), at, count
                corners[count, axis] = value
                at = after
            count += 1
        elif state == 1 and _matches(data, at, end, b"facet"):
            at += 5
            while at < end and is_space(data[at]):
                at += 1
            if _matches(data, at, end, b"normal"):
                at += 6
                for _ in range(3):
                    while at < end and is_space(data[at]):
                        at += 1
                    while at < end and not is_space(data[at]):
                        at += 1
            state = 2
        elif state == 2 and _matches(data, at, end, b"outer"):
            at += 5
            while at < end and is_space(data[at]):
                at += 1
            if not _matches(data, at, end, b"loop"):
                return (_CUT_OFF if at + 4 >= end else _BAD_WORD), at, count
            at += 4
            state, first = 3, count
        elif state == 3 and _matches(data, at, end, b"endloop"):
            if count - first != 3:
                return _CORNERS, at, count
            at += 7
            state = 4
        elif state == 4 and _matches(data, at, end, b"endfacet"):
            at += 8
            state = 1
        elif (state == 0 and _matches(data, at, end, b"solid")) or (
            state == 1 and _matches(data, at, end, b"endsolid")
        ):
            state = 1 - state
            while at < end and data[at] != 10 and data[at] != 13:  # the rest of the line is a name
                at += 1
        else:
            word = at
            while word < end and not is_space(data[word]):
                word += 1
            return (_CUT_OFF if word >= end else _BAD_WORD), at, count
