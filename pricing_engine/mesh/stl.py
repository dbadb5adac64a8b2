"""Binary STL: an 80-byte header, a facet count, and 50 bytes a facet (normal, three corners, attribute)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.mesh.errors import CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.raw_mesh import Note
from pricing_engine.mesh.sniff import UNKNOWN_COUNT
from pricing_engine.mesh.weld import LARGEST_MM, canonical_mesh

HEADER_BYTES, FACET_BYTES = 84, 50
_GRAIN = 16384
_SMALLEST = 1e-30  # rounding leaves 1e-17 where a rotated model had 0; text and noise read as floats are often less


def are_facets(records: bytes | NDArray[np.uint8]) -> bool:
    """Whether whole records can be facets: all coordinates finite, at most 1e9, none absurdly small, not all zero."""
    rows = np.frombuffer(records, np.uint8).reshape(-1, FACET_BYTES)
    size = np.abs(np.ascontiguousarray(rows[:, 12:48]).view("<f4"))
    return bool(size.any()) and bool(np.all((size <= LARGEST_MM) & ((size == 0) | (size >= _SMALLEST))))


def count_facets(read: Callable[[int, int], bytes], size: int) -> tuple[int, tuple[Note, ...]]:
    """How many facets of a file of ``size`` bytes to read; ``read(length, offset)`` gives its bytes.

    The header's count is believed unless whole records follow it that can be facets (or it is one of the two that
    programs write before they know it, 0 and 2**32 - 1): then all records are read, with a warning. What follows the
    facets otherwise is left out and reported. Raises CorruptModel for a file that is shorter than its count.
    """
    head = read(HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES:
        raise CorruptModel(f"binary STL ends within its header ({size} bytes); export it again")
    stated = int.from_bytes(head[80:84], "little")
    held, rest = divmod(size - HEADER_BYTES, FACET_BYTES)
    if stated > held and (stated != UNKNOWN_COUNT or rest or not held):
        raise CorruptModel(f"binary STL promises {stated} facets but holds {held}; it is truncated, export it again")
    first = stated if stated <= held else 0
    empty = more = True
    for lo in range(first, held, _GRAIN):
        block = read(FACET_BYTES * (min(lo + _GRAIN, held) - lo), HEADER_BYTES + FACET_BYTES * lo)
        blank = not any(block)
        empty &= blank
        more &= blank or are_facets(block)
        if not more:
            break
    if held > first and more and not empty:
        text = f"the header counts {stated:,} facets, but the file holds {held:,}: all of them were read"
        return held, (Note("facet_count", text),)
    if first == 0:
        raise EmptyModel("binary STL has no facets; export it again with its surface")
    left = size - HEADER_BYTES - FACET_BYTES * first
    if left == 0:
        return first, ()
    code = "trailing_bytes" if held == first or (more and empty) else "data_left_out"
    return first, (Note(code, f"{left:,} bytes follow the facets that the header counts and were left out"),)


def read_binary_stl(source: str | os.PathLike[str] | bytes, scale: float, threads: int) -> Mesh:
    """Read a file, or the bytes of one, whose unit is ``scale`` mm, into a canonical mesh.

    How many facets are read: :func:`count_facets`. Memory: 36 bytes a facet for the corners and what
    :func:`pricing_engine.mesh.weld.canonical_mesh` takes; the file itself passes through small buffers.
    Raises CorruptModel (truncated, lying count), EmptyModel, BadCoordinates, UnreadableFile.
    """
    if isinstance(source, bytes):
        raw = np.frombuffer(source, np.uint8)
        count = count_facets(lambda length, at: source[at : at + length], len(source))[0]
        corners = np.empty((count, 9), np.float32)
        run_ranges(_from_bytes, len(corners), _GRAIN, threads, raw, corners.view(np.uint16))
        return canonical_mesh(corners, threads, scale)
    try:
        file = os.open(Path(source), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check the path and its permissions") from error
    try:
        count = count_facets(lambda length, at: os.pread(file, length, at), os.fstat(file).st_size)[0]
        corners = np.empty((count, 9), np.float32)
        run_ranges(_from_file, len(corners), _GRAIN, threads, file, corners.view(np.uint16))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check that it is a file") from error
    finally:
        os.close(file)
    return canonical_mesh(corners, threads, scale)


def _from_file(lo: int, hi: int, file: int, halves: NDArray[np.uint16]) -> None:
    wanted = FACET_BYTES * (hi - lo)
    block = os.pread(file, wanted, HEADER_BYTES + FACET_BYTES * lo)
    if len(block) < wanted:
        raise CorruptModel("binary STL became shorter while it was read; try again")
    _unpack(lo, hi, np.frombuffer(block, np.uint16), halves)  # type: ignore[no-untyped-call]


def _from_bytes(lo: int, hi: int, raw: NDArray[Any], halves: NDArray[np.uint16]) -> None:
    block = raw[HEADER_BYTES + FACET_BYTES * lo : HEADER_BYTES + FACET_BYTES * hi].view(np.uint16)
    _unpack(lo, hi, block, halves)  # type: ignore[no-untyped-call]


@kernel
def _unpack(lo, hi, block, halves):  # type: ignore[no-untyped-def]
    """Copy the corners of facets ``lo .. hi`` as 16-bit halves: the file aligns nothing to more than two bytes."""
    for facet in range(lo, hi):
        start = 25 * (facet - lo) + 6
        for half in range(18):
            halves[facet, half] = block[start + half]
