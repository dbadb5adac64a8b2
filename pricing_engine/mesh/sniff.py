"""Detect the format of a file from its content."""

from __future__ import annotations

import re

from pricing_engine.mesh.errors import CorruptModel, UnknownFormat
from pricing_engine.mesh.number_scanner import BOM, text_bytes

HEAD_BYTES = 1 << 18
UNKNOWN_COUNT = 2**32 - 1  # placeholder of some writers of binary STL
FORMATS = {"stl": (".stl",), "obj": (".obj",), "ply": (".ply",), "off": (".off", ".coff"), "3mf": (".3mf",),
           "glb": (".glb",), "step": (".step", ".stp", ".p21")}  # fmt: skip
"""The formats and their file name suffixes."""

OFF_HEADER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*((?:ST)?C?N?(4?n?)OFF)(?=[\s#\d])", re.IGNORECASE)
_OTHER_FORMATS = (
    (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"), (b"MZ", "a Windows program"), (b"\x1f\x8b", "a gzip archive"), (b"Rar!",
    "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"), (b"{\\rtf", "a text document"), (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"Kaydara FBX", "an FBX scene"), (b"BLENDER", "a Blender scene"), (b"3D Geometry File", "a Rhino file"),
    (b"AC10", "a DWG drawing"),
)  # fmt: skip
_ADVICE = "send STL, OBJ, PLY, OFF, 3MF, GLB or STEP"
_STEP = re.compile(rb"(?:\s|/\*[^*]{0,4000}\*/)*ISO-10303-21\s*;")
_ASCII_STL = re.compile(rb"(?:\s|(?:#|//|;)[^\r\n]*[\r\n])*solid\b", re.IGNORECASE)
_STL_WORD = re.compile(rb"\b(?:facet|end\s*solid)\b", re.IGNORECASE)
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|(?:[\t\n\r -~]\0){8}|(?:\0[\t\n\r -~]){8}")
_OBJ_LINE = re.compile(rb"(?:^|[\r\n])[ \t]*v[ \t\\]+[-+.\dnNiI]")
_JSON_SCENE = re.compile(rb'\s*\{[^\0]*"asset"')
_WEB = re.compile(rb"\s*<(?:!doctype\s+html|html|\?xml|svg|!--)", re.IGNORECASE)


def sniff(head: bytes, size: int) -> str:
    """Return the format of a file: a key of :data:`FORMATS`, or ``stl-binary``.

    ``head``: its first ``HEAD_BYTES``. Raises :class:`UnknownFormat` or, for what can only be a broken binary STL,
    :class:`CorruptModel`.
    """
    if len(head) >= 84 and size == 84 + 50 * int.from_bytes(head[80:84], "little"):
        return "stl-binary"  # by size first: many binary headers begin with "solid"
    if head.startswith(b"PK\x03\x04"):
        return "3mf"
    if head.startswith(b"glTF"):
        return "glb"
    text = head.removeprefix(BOM)
    if re.match(rb"ply[ \t]*[\r\n]", text):
        return "ply"
    for magic, description in _OTHER_FORMATS:
        if head.startswith(magic):
            raise UnknownFormat(f"the file is {description}, not a 3D model; {_ADVICE}")
    if _WEB.match(text):
        raise UnknownFormat(f"the file is a web page or XML, not a 3D model; {_ADVICE}")
    text = text_bytes(text).tobytes()
    if text and b"\0" not in text:
        if _STEP.match(text):
            return "step"
        if OFF_HEADER.match(text):
            return "off"
        if _ASCII_STL.match(text) and _STL_WORD.search(text):
            return "stl"
        if _OBJ_LINE.search(text):
            return "obj"
        if _JSON_SCENE.match(text):
            raise UnknownFormat("the file is glTF as JSON, which refers to other files; export it as .glb")
        if _is_utf8(text):
            raise UnknownFormat(f"the file is text, not a 3D model; {_ADVICE}")
    if _is_binary_stl(head, size):
        return "stl-binary"
    if _UTF_16.match(head):
        raise UnknownFormat("the file is text in UTF-16; save it as UTF-8 or ASCII")
    if len(head) < 84:
        raise UnknownFormat(f"the file is not a known 3D model; {_ADVICE}")
    count = int.from_bytes(head[80:84], "little")
    raise CorruptModel(
        f"the file has no known format; as a binary STL of {count} facets it would have {84 + 50 * count} bytes, "
        f"but it has {size}: it is cut off or broken; export or upload it again"
    )


def _is_binary_stl(head: bytes, size: int) -> bool:
    """Return whether the file can be a binary STL whose count disagrees with its size: its records look like facets."""
    count = int.from_bytes(head[80:84], "little")
    if len(head) < 84 or size < 134:
        return False
    if 0 < 50 * count <= size - 84 < 100 * count:
        return True
    if size - 84 < 50 * count and count != UNKNOWN_COUNT:
        return False
    from pricing_engine.mesh.stl import are_facets

    return are_facets(head[84 : 84 + (len(head) - 84) // 50 * 50])


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # the head may end within a character
    return True
