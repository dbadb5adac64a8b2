"""A file in, a canonical mesh out: the one door for every model format.

The format is found by content, the unit comes from the file where its format has one and from the caller otherwise,
and whatever is wrong leaves as a :class:`pricing_engine.mesh.errors.ModelError` with one line. Readers are imported
when their format comes, so a cold start pays for one.
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
from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.number_scanner import BOM
from pricing_engine.mesh.raw_mesh import UNIT_MM, Note, Parsed
from pricing_engine.mesh.sniff import FORMATS, HEAD_BYTES, sniff

__all__ = ["LoadedModel", "Note", "load_model"]

UNITS = ("mm", "cm", "m", "in")
MOST_BYTES = 8 << 30
_MOST_BYTES_IN_MEMORY = 2 << 30
_BLOCK = 1 << 20
_BLOCK_FACETS = 1 << 12
_FARTHEST_MM = 1e9


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``mesh`` in mm, canonical order; ``sha256`` (hex) and ``bytes`` of the file; ``unit`` its numbers were in."""

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
    kind = sniff(head, size)
    if kind == "stl-binary":
        from pricing_engine.mesh.stl import count_facets, read_binary_stl

        used = unit or "mm"
        notes = count_facets(lambda length, at: os.pread(descriptor, length, at), size)[1]
        with ThreadPoolExecutor(max_workers=1) as pool:  # hashing needs no GIL, so it costs little beside the reading
            digest = pool.submit(_digest, descriptor)
            mesh = read_binary_stl(path, UNIT_MM[used], threads)
            return mesh, digest.result(), "stl", used, notes
    if size > _MOST_BYTES_IN_MEMORY:
        raise UnreadableFile(f"the file has {size} bytes, more than {_MOST_BYTES_IN_MEMORY}; export it as binary STL")
    data = _content(descriptor, size)
    digest_of_data = hashlib.sha256(data).hexdigest()
    parsed = _parse(kind, data.removeprefix(BOM))
    del data
    used = parsed.unit or unit or "mm"
    mesh = _canonical(parsed, UNIT_MM[used], threads)
    told = parsed.stated_unit or used
    notes = parsed.notes
    if parsed.unit and unit and unit != told:
        notes += (Note("unit_in_file", f"the file says that it is in {told}, so the unit {unit} was not used"),)
    return mesh, digest_of_data, kind, told, notes


def _parse(kind: str, data: bytes) -> Parsed:
    """Hand the bytes to the reader of their format."""
    if kind == "3mf":
        from pricing_engine.mesh.threemf import read_3mf

        return read_3mf(data)
    if kind == "glb":
        from pricing_engine.mesh.glb import read_glb

        return read_glb(data)
    if kind == "step":
        from pricing_engine.mesh.step import read_step

        return read_step(data)
    if kind == "ply":
        from pricing_engine.mesh.ply import read_ply

        return read_ply(data)
    if kind == "off":
        from pricing_engine.mesh.off import read_off

        return read_off(data)
    if kind == "obj":
        from pricing_engine.mesh.obj import read_obj

        return read_obj(data)
    from pricing_engine.mesh.ascii_stl import read_ascii_stl

    return read_ascii_stl(data)


def _canonical(parsed: Parsed, scale: float, threads: int) -> Mesh:
    """Scale to mm, check, weld and order. Every vertex is checked, also those that no facet names."""
    from pricing_engine.mesh.weld import canonical_indexed

    if len(parsed.facets) == 0:
        raise EmptyModel("the model has no facets; export it again with its surface")
    vertices = parsed.vertices
    if scale != 1.0:
        with np.errstate(over="ignore", invalid="ignore"):
            vertices = vertices * scale
    for lo in range(0, len(vertices), _BLOCK):
        if not bool(np.all(np.abs(vertices[lo : lo + _BLOCK]) <= _FARTHEST_MM)):
            raise BadCoordinates(
                "coordinates are not numbers, infinite or beyond 1e9 mm; repair the model or check its unit"
            )
    return canonical_indexed(vertices, parsed.facets, threads)


def _refuse_flat(mesh: Mesh) -> None:
    """Raise :class:`EmptyModel` when every facet has zero area. Ends at the first block that holds a real one."""
    for lo in range(0, mesh.facet_count, _BLOCK_FACETS):
        a, b, c = (mesh.vertices[mesh.facets[lo : lo + _BLOCK_FACETS, i]] for i in range(3))
        if bool(np.any(np.cross(b - a, c - a))):
            return
    raise EmptyModel("every facet of the model has zero area; export it again with its surface")


def _content(descriptor: int, size: int) -> bytes:
    """The whole file; a file that grew or shrank meanwhile is caught by the caller."""
    with open(os.dup(descriptor), "rb") as file:
        return file.read(size)


def _digest(descriptor: int) -> str:
    """SHA-256 of the file, streamed through one block."""
    digest, at = hashlib.sha256(), 0
    while block := os.pread(descriptor, _BLOCK, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def _suffix_note(path: str | os.PathLike[str], kind: str) -> tuple[Note, ...]:
    suffix = Path(os.fsdecode(path)).suffix.lower()
    if suffix in FORMATS[kind]:
        return ()
    named = f"the suffix is {suffix!a}" if suffix else "the name has no suffix"
    return (Note("suffix_disagrees", f"{named}, but the content is {kind.upper()}; it was read as that"),)


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
        raise UnreadableFile(
            f"the file can't be opened ({getattr(error, 'strerror', None) or error}); check the path"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile("it is no regular file; give the model file itself")
    return descriptor
