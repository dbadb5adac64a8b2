"""Hilbert keys one level at a time, without a table (Hamilton & Rau-Chaplin, "Compact Hilbert indices", 2008)."""

from __future__ import annotations

from collections.abc import Sequence


def _rotate_left(bits: int, by: int) -> int:
    return (bits << by % 3 | bits >> (3 - by % 3)) & 7


def _gray(index: int) -> int:
    return index ^ index >> 1


_INDEX_OF_GRAY = {_gray(index): index for index in range(8)}
_ENTRY = [_gray(2 * ((index - 1) // 2)) if index else 0 for index in range(8)]


def _direction(index: int) -> int:
    """Return the axis along which the curve crosses the sub-cube of an index: its trailing ones, or those before."""
    if index == 0:
        return 0
    odd = index if index % 2 else index - 1
    return (len(bin(odd)) - len(bin(odd).rstrip("1"))) % 3


def step(entry: int, direction: int, octant: int) -> tuple[int, int, int]:
    """Return the key digit of an octant (x | y << 1 | z << 2), and the entry and direction within it."""
    local = _rotate_left(octant ^ entry, 3 - (direction + 1))
    digit = _INDEX_OF_GRAY[local]
    return digit, entry ^ _rotate_left(_ENTRY[digit], direction + 1), (direction + _direction(digit) + 1) % 3


def key(cell: Sequence[int], levels: int) -> int:
    """Return the place of a cell (x, y, z) of a grid with 2**levels cells a side along the curve."""
    x, y, z = cell
    entry = direction = value = 0
    for level in range(levels - 1, -1, -1):
        digit, entry, direction = step(entry, direction, x >> level & 1 | (y >> level & 1) << 1 | (z >> level & 1) << 2)
        value = value << 3 | digit
    return value
