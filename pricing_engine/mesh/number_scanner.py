"""Scan numbers in text: the byte scanner of the ASCII formats.

A decimal is an integer of up to 19 digits times a power of ten, multiplied in double-double arithmetic (Dekker 1971)
with a table of powers exact to 107 bits. The result is the nearest double for all but about one in 2**40 inputs, and
always the same double for the same text, as a bitwise weld requires. Digits after the nineteenth are dropped. One
pass, O(bytes), no allocation.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.runtime.compile import inlined, kernel
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import excerpt, line_of

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark; :func:`pricing_engine.mesh.load.load_model` drops it for every format."""

_PADDING = np.frombuffer(b"\0\x1a \t\n\v\f\r", np.uint8)  # NUL and ctrl-Z fill the last block of old file systems
_TAIL_BLOCK = 1 << 12
_MIN_EXPONENT, _MAX_EXPONENT = -290, 290


def _power_table() -> NDArray[np.float64]:
    table = np.empty((_MAX_EXPONENT - _MIN_EXPONENT + 1, 2))
    for row, exponent in enumerate(range(_MIN_EXPONENT, _MAX_EXPONENT + 1)):
        exact = Fraction(10) ** exponent
        high = float(exact)
        table[row] = high, float(exact - Fraction(high))
    return table


_POWERS = _power_table()
_SPLITTER = 134217729.0  # 2**27 + 1


def text_bytes(data: bytes) -> NDArray[np.uint8]:
    """Return a view of a text's bytes without trailing NULs, ctrl-Zs and white space."""
    raw = np.frombuffer(data, np.uint8)
    end = len(raw)
    while end > 0:
        block = raw[max(0, end - _TAIL_BLOCK) : end]
        content = np.flatnonzero(~np.isin(block, _PADDING))
        if len(content):
            return raw[: end - len(block) + int(content[-1]) + 1]
        end -= len(block)
    return raw[:0]


@inlined
def is_space(byte):  # type: ignore[no-untyped-def]
    """Return whether a byte is ASCII white space, line ends included."""
    return byte == 32 or 9 <= byte <= 13


@inlined
def _scale(mantissa, exponent):  # type: ignore[no-untyped-def]
    """Return ``mantissa * 10**exponent`` as the nearest double; 0 and inf beyond the table."""
    if mantissa == 0 or exponent < _MIN_EXPONENT:
        return 0.0
    if exponent > _MAX_EXPONENT - 20:
        return np.inf
    high = float(mantissa >> np.uint64(32)) * 4294967296.0
    low = float(mantissa & np.uint64(0xFFFFFFFF))
    a = high + low
    a_low = low - (a - high)
    b, b_low = _POWERS[exponent - _MIN_EXPONENT, 0], _POWERS[exponent - _MIN_EXPONENT, 1]
    product = a * b
    if product < 1e-250 or b > 1e250:  # Dekker's split would underflow or overflow
        return product
    t = _SPLITTER * a
    a1 = t - (t - a)
    t = _SPLITTER * b
    b1 = t - (t - b)
    a2, b2 = a - a1, b - b1
    error = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
    return product + (error + (a * b_low + a_low * b))


@inlined
def read_number(data, at, end):  # type: ignore[no-untyped-def]
    """Return ``(value, end)`` of the number at ``data[at]``; end is ``at`` if there is none. Accepts nan and inf."""
    start = at
    negative = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    mantissa = np.uint64(0)
    digits, exponent, any_digit = 0, 0, False
    fraction = False
    while at < end:
        byte = data[at]
        if 48 <= byte <= 57:
            any_digit = True
            if digits < 19:
                mantissa = mantissa * np.uint64(10) + np.uint64(byte - 48)
                if mantissa != 0:
                    digits += 1
                if fraction:
                    exponent -= 1
            elif not fraction:
                exponent += 1
        elif byte == 46 and not fraction:
            fraction = True
        else:
            break
        at += 1
    if not any_digit:
        return (np.nan, _token_end(data, at, end)) if _is_nan_word(data, at, end) else (np.nan, start)
    if at < end and (data[at] | 32) == 101:
        at += 1
        negative_exponent = at < end and data[at] == 45
        if at < end and (data[at] == 45 or data[at] == 43):
            at += 1
        power, first = 0, at
        while at < end and 48 <= data[at] <= 57:
            power = min(power * 10 + (data[at] - 48), 100000)
            at += 1
        if at == first:
            return np.nan, start
        exponent += -power if negative_exponent else power
    if at < end and data[at] == 35 and data[at - 1] == 46:  # 1.#QNAN, 1.#INF: Microsoft's printf
        return np.nan, _token_end(data, at + 1, end)
    value = _scale(mantissa, exponent)
    return (-value if negative else value), at


@inlined
def _is_nan_word(data, at, end):  # type: ignore[no-untyped-def]
    if at + 3 > end:
        return False
    a, b, c = data[at] | 32, data[at + 1] | 32, data[at + 2] | 32
    return (a == 110 and b == 97 and c == 110) or (a == 105 and b == 110 and c == 102)


@inlined
def _token_end(data, at, end):  # type: ignore[no-untyped-def]
    while at < end and not is_space(data[at]) and data[at] != 35:
        at += 1
    return at


@kernel
def _numbers(data, at, end, values, lines):  # type: ignore[no-untyped-def]
    """Fill ``values`` with every number up to ``end`` and ``lines`` with the first of each line that has one.

    ``#`` starts a comment. Returns ``(bad, numbers, lines)``, bad the position of a token that is not a number, or -1.
    With empty outputs it only counts.
    """
    count, line_count = 0, 0
    at_line_start = True
    while at < end:
        byte = data[at]
        if is_space(byte):
            at_line_start = at_line_start or byte in (10, 13)
            at += 1
            continue
        if byte == 35:
            while at < end and data[at] != 10 and data[at] != 13:
                at += 1
            continue
        if at_line_start:
            if line_count < len(lines):
                lines[line_count] = count
            line_count += 1
            at_line_start = False
        if len(values) > 0:
            value, after = read_number(data, at, end)
            delimited = is_space(data[after]) or data[after] == 35 if after < end else True
            if after == at or not delimited or count >= len(values):
                return at, count, line_count
            values[count] = value
            at = after
        else:
            at = _token_end(data, at, end)
            if at > 0 and at < end and data[at] == 35 and data[at - 1] == 46:  # as read_number does
                at = _token_end(data, at + 1, end)
        count += 1
    return -1, count, line_count


def read_numbers(data: bytes, start: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all numbers of ``data[start:]`` and the index of the first number of each line that has any.

    The second array ends with the count of numbers. Raises :class:`CorruptModel` for a token that is not a number.
    """
    raw = text_bytes(data)
    empty = np.empty(0), np.empty(0, np.int64)
    _, count, line_count = _numbers(raw, start, len(raw), *empty)
    values, lines = np.empty(count), np.empty(line_count + 1, np.int64)
    lines[line_count] = count
    if count:
        bad, filled, filled_lines = _numbers(raw, start, len(raw), values, lines)
        if bad >= 0 or filled != count or filled_lines != line_count:
            raise CorruptModel(
                f"line {line_of(data, bad)}: {excerpt(data, bad)} is not a number; export the model again"
            )
    return values, lines


def to_integers(values: NDArray[np.float64], description: str) -> NDArray[np.int64]:
    """Return ``values`` as int64; raises :class:`CorruptModel` where one is not an integer or beyond 2**53."""
    if not bool(np.all((np.abs(values) < 2.0**53) & (values == np.floor(values)))):
        raise CorruptModel(f"{description} must be integers; export the model again")
    return values.astype(np.int64)
