"""ASCII STL: ``solid``, then facets of three ``vertex x y z`` each, then ``endsolid``; several solids may follow.

Also read are the dialects whose meaning is beyond doubt: words in any case and on any line, ``end loop`` for
``endloop``, a repeated ``solid``, a missing ``endsolid``, ``color`` lines, comments (``#``, ``//``, ``;``), a normal
that is missing. Anything else is refused with its line.
"""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.number_scanner import is_space, read_number, text_bytes
from pricing_engine.mesh.raw_mesh import Note, Parsed, excerpt, line_of

_DONE, _BAD_NUMBER, _BAD_WORD, _CUT_OFF, _CORNERS, _COMMA = range(6)
_OUTSIDE, _FACET, _LOOP, _AFTER_LOOP = range(4)
_SHORTEST_FACET = len("facet outer loop vertex 0 0 0 vertex 0 0 0 vertex 0 0 0 endloop endfacet")


def read_ascii_stl(data: bytes) -> Parsed:
    """Memory: 72 bytes a facet beside the text. Normals are not read: the order of the corners says what is outside."""
    raw = text_bytes(data)
    corners = np.empty((3 * (len(raw) // (_SHORTEST_FACET + 1) + 1), 3))
    outcome, at, count, open_solids = _scan(raw, corners)
    if outcome != _DONE:
        raise CorruptModel(_reason(data, outcome, at))
    notes = (Note("missing_endsolid", "the file ends without 'endsolid': check that it is whole"),)
    facets = np.arange(count, dtype=np.int32).reshape(-1, 3)
    return Parsed(corners[:count], facets, None, notes if open_solids else ())


def _reason(data: bytes, outcome: int, at: int) -> str:
    where = f"line {line_of(data, at)}"
    if outcome == _CUT_OFF:
        return f"the ASCII STL ends at {where} within a facet: it is cut off; export or upload it again"
    if outcome == _CORNERS:
        return f"{where}: an STL facet must have three corners; export the model again, triangulated"
    if outcome == _COMMA:
        return f"{where}: {excerpt(data, at)} has a decimal comma; export the model again with decimal points"
    if outcome == _BAD_NUMBER:
        return f"{where}: {excerpt(data, at)} is no coordinate; export the model again"
    return f"{where}: {excerpt(data, at)} does not belong in an ASCII STL there; export the model again"


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
def _matches(data, at, word):  # type: ignore[no-untyped-def]
    """Whether the token at ``at`` is ``word`` (lower-case bytes) in any case."""
    if at + len(word) > len(data) or (at + len(word) < len(data) and not is_space(data[at + len(word)])):
        return False
    for i in range(len(word)):  # noqa: SIM110 - numba compiles no generators
        if (data[at + i] | 32) != word[i]:
            return False
    return True


@inlined
def _after_end(data, at, word):  # type: ignore[no-untyped-def]
    """Where ``endWORD`` or ``end WORD`` at ``at`` ends, or -1 if neither is there. ``word`` begins with ``end``."""
    if _matches(data, at, word):
        return at + len(word)
    if _matches(data, at, b"end"):
        second = _skip_space(data, at + 3)
        if _matches(data, second, word[3:]):
            return second + len(word) - 3
    return -1


@inlined
def _is_comment(data, at):  # type: ignore[no-untyped-def]
    return data[at] == 35 or data[at] == 59 or (data[at] == 47 and at + 1 < len(data) and data[at + 1] == 47)


@inlined
def _skip_numbers(data, at, most):  # type: ignore[no-untyped-def]
    """Past at most ``most`` numbers."""
    for _ in range(most):
        token = _skip_space(data, at)
        after = read_number(data, token, len(data))[1]
        if after == token:
            return at
        at = _skip_word(data, after)
    return at


@inlined
def _skip_name(data, at):  # type: ignore[no-untyped-def]
    """Past a solid's name: the rest of the line, or up to the first facet where the whole file is one line."""
    while at < len(data) and data[at] != 10 and data[at] != 13:
        if is_space(data[at]) and _matches(data, at + 1, b"facet"):
            word = _skip_space(data, at + 6)
            if _matches(data, word, b"normal"):
                number = _skip_space(data, word + 6)
                if read_number(data, number, len(data))[1] > number:
                    return at
        at += 1
    return at


@kernel
def _scan(data, corners):  # type: ignore[no-untyped-def]
    """A state machine over the tokens. Returns ``(outcome, place, corners, whether a solid is not ended)``."""
    end = len(data)
    state, count, first, opened = _OUTSIDE, 0, 0, False
    at = 0
    while True:
        at = _skip_space(data, at)
        if at >= end:
            return (_DONE if state == _OUTSIDE else _CUT_OFF), at, count, opened
        if state == _LOOP and _matches(data, at, b"vertex"):
            at += 6
            if count >= len(corners):
                return _CORNERS, at, count, opened
            for axis in range(3):
                at = _skip_space(data, at)
                value, after = read_number(data, at, end)
                if after == at or (after < end and not is_space(data[after])):
                    outcome = _CUT_OFF if after >= end else _COMMA if data[after] == 44 else _BAD_NUMBER
                    return outcome, at, count, opened
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
                return (_CUT_OFF if at + 4 >= end else _BAD_WORD), at, count, opened
            at += 4
            state, first = _LOOP, count
        elif state == _LOOP and _after_end(data, at, b"endloop") > 0:
            if count - first != 3:
                return _CORNERS, at, count, opened
            at = _after_end(data, at, b"endloop")
            state = _AFTER_LOOP
        elif state == _AFTER_LOOP and _after_end(data, at, b"endfacet") > 0:
            at = _after_end(data, at, b"endfacet")
            state = _OUTSIDE
        elif state == _OUTSIDE and _matches(data, at, b"solid"):
            opened = True
            at = _skip_name(data, at + 5)
        elif state == _OUTSIDE and _after_end(data, at, b"endsolid") > 0:
            opened = False
            at = _skip_name(data, _after_end(data, at, b"endsolid"))
        elif _is_comment(data, at):
            line_end = at
            while line_end < end and data[line_end] != 10 and data[line_end] != 13:
                line_end += 1
            at = line_end if line_end < end else _skip_name(data, at)  # the last line may hold all facets
        elif _matches(data, at, b"color") or _matches(data, at, b"colour"):
            at = _skip_numbers(data, _skip_word(data, at), 4)
        else:
            word = _skip_word(data, at)
            return (_CUT_OFF if word >= end else _BAD_WORD), at, count, opened
