"""Binary STL: an 80-byte header, a uint32 count, and 50 bytes a facet (normal, three corners, attribute)."""

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
from pricing_engine.mesh.raw_mesh import MAX_COORDINATE_MM, ReaderNote
from pricing_engine.mesh.sniff import UNKNOWN_COUNT
from pricing_engine.mesh.weld import canonical_mesh

HEADER_BYTES, FACET_BYTES = 84, 50
_BLOCK_FACETS = 16384
_MIN_MAGNITUDE = 1e-30  # rotation leaves 1e-17 for 0; text and noise read as floats are often smaller


def are_facets(records: bytes | NDArray[np.uint8]) -> bool:
    """Return whether records can be facets: coordinates finite, at most 1e9, none below 1e-30 but 0, not all 0."""
    rows = np.frombuffer(records, np.uint8).reshape(-1, FACET_BYTES)
    size = np.abs(np.ascontiguousarray(rows[:, 12:48]).view("<f4"))
    return bool(size.any()) and bool(np.all((size <= MAX_COORDINATE_MM) & ((size == 0) | (size >= _MIN_MAGNITUDE))))


def count_facets(read: Callable[[int, int], bytes], size: int) -> tuple[int, tuple[ReaderNote, ...]]:
    """Return how many facets of a file of ``size`` bytes to read, and notes; ``read(length, offset)`` reads bytes.

    The header's count holds unless complete records follow it that can be facets; then all records are read with a
    warning, as with the placeholders 0 and 2**32 - 1. Other trailing bytes are skipped with a note. Raises
    :class:`CorruptModel` for a file shorter than its count, :class:`EmptyModel` without facets.
    """
    head = read(HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES:
        raise CorruptModel(f"the binary STL ends within its header ({size} bytes); export or upload it again")
    header_count = int.from_bytes(head[80:84], "little")
    record_count, remainder = divmod(size - HEADER_BYTES, FACET_BYTES)
    if header_count > record_count and (header_count != UNKNOWN_COUNT or remainder or not record_count):
        raise CorruptModel(
            f"the binary STL is cut off: its header counts {header_count} facets, the file holds {record_count}; "
            "upload it again"
        )
    valid = header_count if header_count <= record_count else 0
    all_blank = all_facets = True
    for lo in range(valid, record_count, _BLOCK_FACETS):
        block = read(FACET_BYTES * (min(lo + _BLOCK_FACETS, record_count) - lo), HEADER_BYTES + FACET_BYTES * lo)
        blank = not any(block)
        all_blank &= blank
        all_facets &= blank or are_facets(block)
        if not all_facets:
            break
    if record_count > valid and all_facets and not all_blank:
        text = f"the header counts {header_count:,} facets, but the file holds {record_count:,}: all of them were read"
        return record_count, (ReaderNote("facet_count", text),)
    if valid == 0:
        raise EmptyModel("the binary STL has no facets; export it again with its surface")
    extra_bytes = size - HEADER_BYTES - FACET_BYTES * valid
    if extra_bytes == 0:
        return valid, ()
    code = "trailing_bytes" if record_count == valid or (all_facets and all_blank) else "data_left_out"
    return valid, (ReaderNote(code, f"{extra_bytes:,} bytes after the facets that the header counts were skipped"),)


def read_binary_stl(source: str | os.PathLike[str] | bytes, scale: float, threads: int) -> Mesh:
    """Read a file, or its bytes, in units of ``scale`` mm into a canonical mesh.

    :func:`count_facets` decides the number of facets. Memory: 36 bytes a facet for the corners and the use of
    :func:`pricing_engine.mesh.weld.canonical_mesh`; the file is read in small blocks.
    Raises CorruptModel (truncated, wrong count), EmptyModel, BadCoordinates, UnreadableFile.
    """
    if isinstance(source, bytes):
        raw = np.frombuffer(source, np.uint8)
        count = count_facets(lambda length, at: source[at : at + length], len(source))[0]
        corners = np.empty((count, 9), np.float32)
        run_ranges(_from_bytes, len(corners), _BLOCK_FACETS, threads, raw, corners.view(np.uint16))
        return canonical_mesh(corners, threads, scale)
    try:
        descriptor = os.open(Path(source), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check the path and its permissions") from error
    try:
        count = count_facets(lambda length, at: os.pread(descriptor, length, at), os.fstat(descriptor).st_size)[0]
        corners = np.empty((count, 9), np.float32)
        run_ranges(_from_file, len(corners), _BLOCK_FACETS, threads, descriptor, corners.view(np.uint16))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check that it is a file") from error
    finally:
        os.close(descriptor)
    return canonical_mesh(corners, threads, scale)


def _from_file(lo: int, hi: int, descriptor: int, halves: NDArray[np.uint16]) -> None:
    length = FACET_BYTES * (hi - lo)
    block = os.pread(descriptor, length, HEADER_BYTES + FACET_BYTES * lo)
    if len(block) < length:
        raise CorruptModel("the binary STL became shorter while it was read; try again")
    _unpack(lo, hi, np.frombuffer(block, np.uint16), halves)


def _from_bytes(lo: int, hi: int, raw: NDArray[Any], halves: NDArray[np.uint16]) -> None:
    block = raw[HEADER_BYTES + FACET_BYTES * lo : HEADER_BYTES + FACET_BYTES * hi].view(np.uint16)
    _unpack(lo, hi, block, halves)


@kernel
def _unpack(lo, hi, block, halves):  # type: ignore[no-untyped-def]
    """Copy the corners of facets ``lo .. hi`` as 16-bit halves: records are aligned to two bytes only."""
    for facet in range(lo, hi):
        start = 25 * (facet - lo) + 6
        for half in range(18):
            halves[facet, half] = block[start + half]
