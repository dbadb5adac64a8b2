"""Binary STL: an 80-byte header, a facet count, and 50 bytes a facet (normal, three corners, attribute)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.threads import run_ranges
from pricing_engine.mesh.errors import CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.model import Mesh
from pricing_engine.mesh.weld import canonical_mesh

HEADER_BYTES, FACET_BYTES = 84, 50
_GRAIN = 16384


def is_binary_stl(head: bytes, size: int) -> bool:
    """Whether a file of ``size`` bytes that begins with ``head`` (84 bytes or more are looked at) is binary STL.

    A count that matches the size decides, whatever the header says: many binary files begin with "solid". Otherwise
    (trailing bytes, truncated, lying count) it is binary unless it reads as the text of an ASCII STL.
    """
    if len(head) < HEADER_BYTES or size < HEADER_BYTES:
        return False
    if size == HEADER_BYTES + FACET_BYTES * int.from_bytes(head[80:84], "little"):
        return True
    looks_text = head.lstrip()[:5].lower() == b"solid" and b"\0" not in head and all(b < 128 for b in head[80:84])
    return not looks_text


def read_binary_stl(source: str | os.PathLike[str] | bytes, scale: float, threads: int) -> Mesh:
    """Read a file, or the bytes of one, whose unit is ``scale`` mm, into a canonical mesh.

    Trailing bytes are tolerated. Memory: 36 bytes a facet for the corners and what
    :func:`pricing_engine.mesh.weld.canonical_mesh` takes; the file itself passes through small buffers.
    Raises CorruptModel (truncated, lying count), EmptyModel, BadCoordinates, UnreadableFile.
    """
    if isinstance(source, bytes):
        raw = np.frombuffer(source, np.uint8)
        corners = _corner_buffer(source[:HEADER_BYTES], len(source))
        run_ranges(_from_bytes, len(corners), _GRAIN, threads, raw, corners.view(np.uint16))
        return canonical_mesh(corners, threads, scale)
    try:
        file = os.open(Path(source), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check the path and its permissions") from error
    try:
        corners = _corner_buffer(os.pread(file, HEADER_BYTES, 0), os.fstat(file).st_size)
        run_ranges(_from_file, len(corners), _GRAIN, threads, file, corners.view(np.uint16))
    except OSError as error:
        raise UnreadableFile(f"{source}: {error.strerror}; check that it is a file") from error
    finally:
        os.close(file)
    return canonical_mesh(corners, threads, scale)


def _corner_buffer(head: bytes, size: int) -> NDArray[np.float32]:
    """An (F, 9) buffer for the corners, once the header's count is believed."""
    if len(head) < HEADER_BYTES:
        raise CorruptModel(f"binary STL ends within its header ({size} bytes); export it again")
    count = int.from_bytes(head[80:84], "little")
    held = (size - HEADER_BYTES) // FACET_BYTES
    if count > held:
        raise CorruptModel(f"binary STL promises {count} facets but holds {held}; it is truncated, export it again")
    if count == 0:
        raise EmptyModel("binary STL has no facets; export it again with its surface")
    return np.empty((count, 9), np.float32)


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
