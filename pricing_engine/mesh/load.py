"""Load a model file of any format into a canonical mesh.

The content decides the format; the unit is the file's own or, where the format has none, the caller's. Every fault of
a file is a :class:`pricing_engine.mesh.errors.ModelError` with one line. Readers are imported on first use, which
keeps cold starts short.
"""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.mesh.errors import CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.number_scanner import BOM
from pricing_engine.mesh.raw_mesh import UNIT_MM, RawMesh, ReaderNote
from pricing_engine.mesh.sniff import FORMATS, HEAD_BYTES, sniff

__all__ = ["LoadedModel", "ReaderNote", "load_model"]

UNITS = ("mm", "cm", "m", "in")
MAX_BYTES = 8 << 30
_MAX_BYTES_IN_MEMORY = 2 << 30
_BLOCK = 1 << 20
_BLOCK_FACETS = 1 << 12


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``mesh`` in mm, canonical order; ``sha256`` (hex) and size in ``bytes`` of the file; its ``unit``."""

    mesh: Mesh
    sha256: str
    format: str
    unit: str
    bytes: int
    notes: tuple[ReaderNote, ...]


def load_model(path: str | os.PathLike[str], unit: str | None, threads: int) -> LoadedModel:
    """Read, weld and order a model. ``unit`` (mm, cm, m, in) applies to formats without units; None means mm.

    Raises a :class:`ModelError` for an unreadable file and ``ValueError`` for an unknown ``unit``. O(bytes) time; all
    formats but binary STL are in memory while they are parsed.
    """
    if unit is not None and unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; one of {', '.join(UNITS)}")
    descriptor = _open(path)
    try:
        before = os.fstat(descriptor)
        size = before.st_size
        if size == 0:
            raise UnreadableFile("the file is empty; export or upload it again")
        if size > MAX_BYTES:
            raise UnreadableFile(f"the file has {size} bytes, more than {MAX_BYTES}; decimate the model")
        try:
            head = os.pread(descriptor, HEAD_BYTES, 0)
            mesh, digest, format_name, applied_unit, notes = _read(path, descriptor, head, size, unit, threads)
            after = os.fstat(descriptor)
        except OSError as error:
            raise UnreadableFile(f"the file cannot be read ({error.strerror}); copy it again") from error
        except MemoryError as error:
            raise CorruptModel("the model needs more memory than is available; decimate it") from error
    finally:
        os.close(descriptor)
    if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
        raise UnreadableFile("the file changed while it was read; wait until it is complete and try again")
    _check_area(mesh)
    return LoadedModel(mesh, digest, format_name, applied_unit, size, (*_suffix_note(path, format_name), *notes))


def _read(
    path: str | os.PathLike[str], descriptor: int, head: bytes, size: int, unit: str | None, threads: int
) -> tuple[Mesh, str, str, str, tuple[ReaderNote, ...]]:
    """``(mesh, sha256, format, unit, notes)``."""
    format_name = sniff(head, size)
    if format_name == "stl-binary":
        from pricing_engine.mesh.stl import count_facets, read_binary_stl

        applied_unit = unit or "mm"
        notes = count_facets(lambda length, offset: os.pread(descriptor, length, offset), size)[1]
        with ThreadPoolExecutor(max_workers=1) as pool:  # hashing releases the GIL and runs beside the reading
            digest_task = pool.submit(_digest, descriptor)
            mesh = read_binary_stl(path, UNIT_MM[applied_unit], threads)
            return mesh, digest_task.result(), "stl", applied_unit, notes
    if size > _MAX_BYTES_IN_MEMORY:
        raise UnreadableFile(f"the file has {size} bytes, more than {_MAX_BYTES_IN_MEMORY}; export it as binary STL")
    data = _read_all(descriptor, size)
    digest = hashlib.sha256(data).hexdigest()
    raw = _parse(format_name, data.removeprefix(BOM))
    del data
    applied_unit = raw.unit or unit or "mm"
    mesh = _to_mesh(raw, UNIT_MM[applied_unit], threads)
    stated = raw.stated_unit or applied_unit
    notes = raw.notes
    if raw.unit and unit and unit != stated:
        notes += (ReaderNote("unit_in_file", f"the file states its unit {stated}, so the unit {unit} was ignored"),)
    return mesh, digest, format_name, stated, notes


def _parse(format_name: str, data: bytes) -> RawMesh:
    """Parse the bytes with the reader of their format."""
    if format_name == "3mf":
        from pricing_engine.mesh.threemf import read_3mf

        return read_3mf(data)
    if format_name == "glb":
        from pricing_engine.mesh.glb import read_glb

        return read_glb(data)
    if format_name == "step":
        from pricing_engine.mesh.step import read_step

        return read_step(data)
    if format_name == "ply":
        from pricing_engine.mesh.ply import read_ply

        return read_ply(data)
    if format_name == "off":
        from pricing_engine.mesh.off import read_off

        return read_off(data)
    if format_name == "obj":
        from pricing_engine.mesh.obj import read_obj

        return read_obj(data)
    from pricing_engine.mesh.ascii_stl import read_ascii_stl

    return read_ascii_stl(data)


def _to_mesh(raw: RawMesh, scale: float, threads: int) -> Mesh:
    """Scale to mm, weld and order. The weld checks every vertex, also those without facets."""
    from pricing_engine.mesh.weld import canonical_indexed

    vertices = raw.vertices
    if scale != 1.0:
        with np.errstate(over="ignore", invalid="ignore"):
            vertices = vertices * scale
    return canonical_indexed(vertices, raw.facets, threads)


def _check_area(mesh: Mesh) -> None:
    """Raise :class:`EmptyModel` if every facet has zero area; stop at the first block with a proper facet."""
    for lo in range(0, mesh.facet_count, _BLOCK_FACETS):
        a, b, c = (mesh.vertices[mesh.facets[lo : lo + _BLOCK_FACETS, i]] for i in range(3))
        if bool(np.any(np.cross(b - a, c - a))):
            return
    raise EmptyModel("every facet of the model has zero area; export it again with its surface")


def _read_all(descriptor: int, size: int) -> bytes:
    """Return the file's content; the caller detects a change of size."""
    with open(os.dup(descriptor), "rb") as file:
        return file.read(size)


def _digest(descriptor: int) -> str:
    """Return the SHA-256 of the file, read block by block."""
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(descriptor, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def _suffix_note(path: str | os.PathLike[str], format_name: str) -> tuple[ReaderNote, ...]:
    suffix = Path(os.fsdecode(path)).suffix.lower()
    if suffix in FORMATS[format_name]:
        return ()
    reason = f"the suffix is {suffix!a}" if suffix else "the name has no suffix"
    return (ReaderNote("suffix_disagrees", f"{reason}, but the content is {format_name.upper()} and was read as such"),)


def _open(path: str | os.PathLike[str]) -> int:
    """Open a regular file without blocking; FIFOs and devices are rejected. Raises :class:`UnreadableFile`."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: opening a device may have effects
            description = "a directory" if os.path.isdir(path) else "not a regular file"
            raise UnreadableFile(f"the path is {description}; give the path of the model file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UnreadableFile("the file does not exist; check the path") from error
    except PermissionError as error:
        raise UnreadableFile("no permission to read the file; change its permissions") from error
    except (OSError, ValueError) as error:
        raise UnreadableFile(
            f"the file cannot be opened ({getattr(error, 'strerror', None) or error}); check the path"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile("the path is not a regular file; give the path of the model file")
    return descriptor
