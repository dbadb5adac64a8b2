"""A file in, a canonical mesh out: the one door for every model format.

The format is found by content, the unit comes from the file where its format has one and from the caller otherwise,
and whatever is wrong leaves as a :class:`pricing_engine.mesh.errors.ModelError` with one line. Readers are imported
when their format comes, so a cold start pays for one. See ``docs/decisions/formats.md`` for what each format refuses.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.model import Mesh
from pricing_engine.mesh.parsed import UNIT_MM, Note, Parsed
from pricing_engine.mesh.sniff import BOM, FORMATS, HEAD_BYTES, sniff

__all__ = ["LoadedModel", "Note", "load_model"]

UNITS = ("mm", "cm", "m", "in")
MOST_BYTES = 8 << 30
_MOST_BYTES_IN_MEMORY = 2 << 30
_BLOCK = 1 << 20
_BLOCK_FACETS = 1 << 18
_FARTHEST_MM = 1e9


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``mesh`` in mm and canonical order; ``sha256`` (hex) and ``bytes`` of the file; ``unit`` that its numbers were in."""

    mesh: Mesh
    sha256: str
    format: str
    unit: str
    bytes: int
    notes: tuple[Note, ...]


def load_model(path: str | os.PathLike[str], unit: str | None, threads: int) -> LoadedModel:
    """Read, weld and order a model. ``unit`` (mm, cm, m, in) is for the formats that carry none; None means mm.

    Raises a :class:`ModelError` for whatever can't be read and ``ValueError`` for an unknown ``unit``. Time O(bytes);
    other formats than binary STL are held in memory while they are parsed.
    """
    if unit is not None and unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; one of {', '.join(UNITS)}")
    descriptor = _open(path)
    try:
        before = os.fstat(descriptor)
        size = before.st_size
        if size == 0:
            raise UnreadableFile("the file is empty; export or upload it again")
        if size > MOST_BYTES:
            raise UnreadableFile(f"the file has {size} bytes, more than {MOST_BYTES}; decimate the model")
        try:
            head = os.pread(descriptor, HEAD_BYTES, 0)
            mesh, digest, kind, used, notes = _read(path, descriptor, head, size, unit, threads)
            after = os.fstat(descriptor)
        except OSError as error:
            raise UnreadableFile(f"the file can't be read ({error.strerror}); copy it again") from error
        except MemoryError as error:
            raise CorruptModel("the model needs more memory than there is; decimate it") from error
    finally:
        os.close(descriptor)
    if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
        raise UnreadableFile("the file changed while it was read; wait until it is complete and try again")
    _refuse_flat(mesh)
    return LoadedModel(mesh, digest, kind, used, size, (*_suffix_note(path, kind), *notes))


def _read(
    path: str | os.PathLike[str], descriptor: int, head: bytes, size: int, unit: str | None, threads: int
) -> tuple[Mesh, str, str, str, tuple[Note, ...]]:
    """``(mesh, sha256, format, unit, notes)``."""
    data = None
    if size <= HEAD_BYTES:
        data = head
    try:
        kind = sniff(head, size)
    except CorruptModel, UnknownFormat:
        raise
    if kind == "stl-binary":
        from pricing_engine.mesh.stl import read_binary_stl

        used = unit or "mm"
        with ThreadPoolExecutor(max_workers=1) as pool:  # hashing needs no GIL and so costs no time beside the reading
            digest = pool.submit(_digest, descriptor)
            mesh = read_binary_stl(path, UNIT_MM[used], threads)
            return mesh, digest.result(), "stl", used, _trailing_note(head, size)
    raise NotImplementedError(data)


def _open(path: str | os.PathLike[str]) -> int:
    """A descriptor of a regular file. Opening never waits: a FIFO or a device is refused, not read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: to open a device may already do something
            what = "a directory" if os.path.isdir(path) else "no regular file"
            raise UnreadableFile(f"it is {what}; give the model file itself")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UnreadableFile("there is no such file; check the path") from error
    except PermissionError as error:
        raise UnreadableFile("no permission to read the file; change its permissions") from error
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"the file can't be opened ({getattr(error, 'strerror', None) or error}); check the path") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile("it is no regular file; give the model file itself")
    return descriptor
