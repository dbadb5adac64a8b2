"""GLB (binary glTF 2.0, Khronos): the container, a JSON and a binary chunk. What they hold: :mod:`.gltf_scene`.

Read here rather than by a library, so that nothing outside the file is ever opened (URIs are refused), no facet is
merged or dropped, and every offset is checked.
"""

from __future__ import annotations

import json
import struct

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.gltf_extensions import Json
from pricing_engine.mesh.gltf_scene import Scene
from pricing_engine.mesh.raw_mesh import Parsed

_JSON, _BIN = 0x4E4F534A, 0x004E4942


def read_glb(data: bytes) -> Parsed:
    """The triangles of the default scene, in metres; points and lines are left out and reported."""
    try:
        tree, binary = _chunks(data)
        return Scene(tree, binary).parsed()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise CorruptModel("the GLB's description is broken; export the model again") from error


def _chunks(data: bytes) -> tuple[Json, bytes]:
    """The JSON and the binary chunk."""
    if len(data) < 20:
        raise CorruptModel("the GLB is cut off; export or upload it again")
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2:
        raise CorruptModel(f"the GLB is of version {version}; export it as glTF 2.0 binary")
    if length > len(data):
        raise CorruptModel(f"the GLB should have {length} bytes and has {len(data)}; it is cut off: upload it again")
    tree: Json | None = None
    binary = b""
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        at += 8
        if size > length - at:
            raise CorruptModel("a chunk of the GLB passes its end; export or upload it again")
        if kind == _JSON and tree is None:
            tree = json.loads(data[at : at + size].rstrip(b"\0"))  # to be padded with blanks; some pad it with NULs
        elif kind == _BIN and not binary:
            binary = data[at : at + size]
        at += size
    if not isinstance(tree, dict):
        raise CorruptModel("the GLB has no description; export the model again")
    return tree, binary
