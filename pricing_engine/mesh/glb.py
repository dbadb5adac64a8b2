"""GLB container (glTF 2.0, section 4 "GLB File Format"): a JSON and a binary chunk; see :mod:`.gltf_scene`.

No library reads it: external URIs are rejected, no facet is merged or dropped, and every offset is checked.
"""

from __future__ import annotations

import json
import struct

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_extensions import Json
from pricing_engine.mesh.gltf_scene import Scene
from pricing_engine.mesh.raw_mesh import RawMesh

_JSON, _BIN = 0x4E4F534A, 0x004E4942


def read_glb(data: bytes) -> RawMesh:
    """Read the triangles of the default scene, in metres; points and lines are skipped with a note.

    Raises :class:`CorruptModel` or, where every part is hidden, :class:`EmptyModel`.
    """
    try:
        document, binary = _chunks(data)
        return Scene(document, binary).to_raw_mesh()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise CorruptModel("the GLB's JSON description is broken; export the model again") from error


def _chunks(data: bytes) -> tuple[Json, bytes]:
    """Return the JSON chunk, parsed, and the binary chunk (section 4.4)."""
    if len(data) < 20:
        raise CorruptModel("the GLB is cut off; export or upload it again")
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2:
        raise CorruptModel(f"the GLB has version {version}, only version 2 is read; export it as binary glTF 2.0")
    if length > len(data):
        raise CorruptModel(f"the GLB is cut off: it has {len(data)} of {length} bytes; export or upload it again")
    document: Json | None = None
    binary = b""
    offset = 12
    while offset + 8 <= length:
        size, chunk_type = struct.unpack_from("<II", data, offset)
        offset += 8
        if size > length - offset:
            raise CorruptModel("a chunk of the GLB extends beyond the file; export or upload it again")
        if chunk_type == _JSON and document is None:
            document = json.loads(data[offset : offset + size].rstrip(b"\0"))  # some writers pad with NULs, not blanks
        elif chunk_type == _BIN and not binary:
            binary = data[offset : offset + size]
        offset += size
    if not isinstance(document, dict):
        raise CorruptModel("the GLB has no JSON description; export the model again")
    return document, binary
