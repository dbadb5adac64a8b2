"""Which format a file is in, by its content alone."""

from __future__ import annotations

import re

from pricing_engine.mesh.errors import CorruptModel, UnknownFormat
from pricing_engine.mesh.number_scanner import BOM, text_bytes

HEAD_BYTES = 1 << 18
UNKNOWN_COUNT = 2**32 - 1  # what some programs write into the header of a binary STL before they know it
FORMATS = {"stl": (".stl",), "obj": (".obj",), "ply": (".ply",), "off": (".off", ".coff"), "3mf": (".3mf",),
           "glb": (".glb",), "step": (".step", ".stp", ".p21")}  # fmt: skip
"""The formats and the suffixes that agree with them."""

OFF_HEADER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*((?:ST)?C?N?(4?n?)OFF)(?=[\s#\d])", re.IGNORECASE)
_STRANGERS = (
    (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"), (b"MZ", "a Windows program"), (b"\x1f\x8b", "a gzip archive"), (b"Rar!",
    "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"), (b"{\\rtf", "a text document"), (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"Kaydara FBX", "an FBX scene"), (b"BLENDER", "a Blender scene"), (b"3D Geometry File", "a Rhino file"),
    (b"AC10", "a DWG drawing"),
)  # fmt: skip
_MEND = "send STL, OBJ, PLY, OFF, 3MF, GLB or STEP"
_STEP = re.compile(rb"(?:\s|/\*[^*]{0,4000}\*/)*ISO-10303-21\s*;")
_ASCII_STL = re.compile(rb"(?:\s|(?:#|//|;)[^\r\n]*[\r\n])*solid\b", re.IGNORECASE)
_STL_WORD = re.compile(rb"\b(?:facet|end\s*solid)\b", re.IGNORECASE)
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|(?:[\t\n\r -~]\0){8}|(?:\0[\t\n\r -~]){8}")
_OBJ_LINE = re.compile(rb"(?:^|[\r\n])[ \t]*v[ \t\\]+[-+.\dnNiI]")
_JSON_SCENE = re.compile(rb'\s*\{[^\0]*"asset"')
_WEB = re.compile(rb"\s*<(?:!doctype\s+html|html|\?xml|svg|!--)", re.IGNORECASE)


def sniff(head: bytes, size: int) -> str:
    """The format of a file that begins with ``head`` (``HEAD_BYTES``, or all of it): a key of :data:`FORMATS`,
    or ``stl-binary``.

    Raises :class:`UnknownFormat` or, for what can only be a broken STL, :class:`CorruptModel`.
    """
    if len(head) >= 84 and size == 84 + 50 * int.from_bytes(head[80:84], "little"):
        return "stl-binary"  # the size decides, whatever the header says: many begin with "solid"
    if head.startswith(b"PK\x03\x04"):
        return "3mf"
    if head.startswith(b"glTF"):
        return "glb"
    text = head.removeprefix(BOM)
    if re.match(rb"ply[ \t]*[\r\n]", text):
        return "ply"
    for magic, name in _STRANGERS:
        if head.startswith(magic):
            raise UnknownFormat(f"the file is {name}, no 3D model; {_MEND}")
    if _WEB.match(text):
        raise UnknownFormat(f"the file is a web page or XML, no 3D model; {_MEND}")
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
            raise UnknownFormat("the file is glTF as JSON, which needs other files; export it as .glb")
        if _is_text(text):
            raise UnknownFormat(f"the file is text, but no 3D model; {_MEND}")
    if _is_binary_stl(head, size):
        return "stl-binary"
    if _UTF_16.match(head):
        raise UnknownFormat("the file is text in UTF-16; save it as UTF-8 or ASCII and send it again")
    if len(head) < 84:
        raise UnknownFormat(f"the file is no 3D model that is read; {_MEND}")
    count = int.from_bytes(head[80:84], "little")
    raise CorruptModel(
        f"the file is of no known format; as a binary STL its header counts {count} facets, {84 + 50 * count} bytes, "
        f"but it has {size}: it is cut off or broken, export or upload it again"
    )


def _is_binary_stl(head: bytes, size: int) -> bool:
    """Whether the file can be a binary STL whose count does not match its size: something follows the facets, or the
    count is wrong. Then the records themselves must look like facets."""
    count = int.from_bytes(head[80:84], "little")
    if len(head) < 84 or size < 134:
        return False
    if 0 < 50 * count <= size - 84 < 100 * count:
        return True
    if size - 84 < 50 * count and count != UNKNOWN_COUNT:
        return False
    from pricing_engine.mesh.stl import are_facets

    return are_facets(head[84 : 84 + (len(head) - 84) // 50 * 50])


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # the head may end within a character
    return True
