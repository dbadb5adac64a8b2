"""The zip package of a 3MF (Open Packaging Conventions, ECMA-376 part 2); nothing is unpacked to disk.

The inflated sizes, their ratio to the packed sizes and the number of parts are bounded. Names outside the package and
repeated names raise :class:`CorruptModel`. Names compare as in OPC (:func:`part_key`).
"""

from __future__ import annotations

import io
import re
import string
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote
from xml.parsers import expat

from pricing_engine.mesh.errors import CorruptModel, UnknownFormat

MODEL_RELATIONSHIP = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_ENCRYPTED = b"%3McF"
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_HIDDEN_SLASH = re.compile("%2f|%5c", re.IGNORECASE)
_MAX_RATIO, _MIN_RATIO_BYTES = 100, 64 << 20
_MAX_INFLATED_BYTES = 2 << 30
_MAX_PARTS = 100_000
_BLOCK = 1 << 18


def part_key(name: str) -> str:
    """Normalize a part name for comparison (OPC 9.1.1): no leading slash, percent-decoded, ASCII in lower case.

    Raises :class:`CorruptModel` for a name that is or could be outside the package.
    """
    text = name.replace("\\", "/")
    if not _HIDDEN_SLASH.search(text):
        with suppress(UnicodeDecodeError):  # not UTF-8: no percent-encoding
            text = unquote(text, errors="strict")
        segments = text.removeprefix("/").split("/")
        if ".." not in segments and ":" not in segments[0] and "\0" not in text and "\\" not in text:
            return "/".join(segments).translate(_ASCII_LOWER)
    raise CorruptModel(f"the 3MF names {name[:60]!a}, a path outside the package; export the model again")


class Package:
    """The parts of one package by name; ``root`` is the key of the 3D model part."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            infos = self._zip.infolist()
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OSError,
            EOFError,
            IndexError,
            OverflowError,
        ) as error:
            raise CorruptModel("the zip archive is broken or cut off; export or upload it again") from error
        if len(infos) > _MAX_PARTS:
            raise CorruptModel(f"the 3MF has {len(infos)} parts, more than {_MAX_PARTS}; export it again with fewer")
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = _stored_name(info)
            if name.startswith(("/", "\\")):
                raise CorruptModel(
                    f"the zip has {name[:60]!a} with a leading slash, a path outside the package; "
                    "zip the parts again without the slash"
                )
            key = part_key(name)
            if key in self._infos:
                raise CorruptModel(f"the zip has two parts named {name[:60]!a}; export the model again")
            self._infos[key] = info
        self._inflated_bytes = 0
        self.root = self._find_root()

    def __contains__(self, key: str) -> bool:
        """Return whether a part of that key exists."""
        return key in self._infos

    def is_encrypted(self, key: str) -> bool:
        """Return whether the part is encrypted by the secure content extension."""
        return next(self.blocks(key), b"").startswith(_ENCRYPTED)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the content of the part of key ``name``, inflated block by block."""
        info = self._infos.get(name)
        if info is None:
            raise CorruptModel(f"the 3MF refers to {name[:60]!a}, which does not exist; export the model again")
        if info.flag_bits & 1:
            raise CorruptModel("the zip is encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CorruptModel("the zip uses a compression other than deflate, which 3MF does not allow; save it again")
        size = 0
        try:
            with self._zip.open(info) as part:
                while block := part.read(_BLOCK):
                    size += len(block)
                    self._inflated_bytes += len(block)
                    if size > _MIN_RATIO_BYTES and size > _MAX_RATIO * max(info.compress_size, 1):
                        raise CorruptModel(
                            f"{name[:60]!a} inflates over {_MAX_RATIO} times like a zip bomb; save the file again"
                        )
                    if self._inflated_bytes > _MAX_INFLATED_BYTES:
                        raise CorruptModel("the 3MF inflates to over 2 GiB; decimate the model")
                    yield block
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise CorruptModel(f"{name[:60]!a} in the zip is broken; export or upload it again") from error

    def resolve(self, target: str, base: str = "") -> str:
        """Return the key of the part that the URI ``target`` means relative to the part of key ``base``."""
        path = target.replace("\\", "/")
        segments = [] if path.startswith("/") else base.split("/")[:-1]
        for segment in path.split("/"):
            if segment == ".." and segments:
                segments.pop()
            elif segment not in ("", "."):
                segments.append(segment)  # also ".." beyond the root, which part_key rejects
        return part_key("/".join(segments))

    def _find_root(self) -> str:
        if "_rels/.rels" not in self._infos:
            raise UnknownFormat("the zip archive has no 3D model; send the STL, OBJ or 3MF itself")
        roots: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == f"{RELATIONSHIPS} Relationship" and attributes.get("Type") == MODEL_RELATIONSHIP:
                if attributes.get("TargetMode", "Internal") != "Internal":
                    raise CorruptModel("the 3MF's model is outside the package; export it again")
                roots.append(self.resolve(attributes.get("Target", "")))

        parser = safe_parser()
        parser.StartElementHandler = start
        feed(parser, self.blocks("_rels/.rels"), "_rels/.rels")
        if not roots:
            raise UnknownFormat("the zip archive has no 3D model; send the STL, OBJ or 3MF itself")
        if len(set(roots)) > 1:
            raise CorruptModel(f"the 3MF has {len(set(roots))} start parts instead of one; export the model again")
        return roots[0]


def _stored_name(info: zipfile.ZipInfo) -> str:
    """Return the entry's name; decode UTF-8 also where the zip does not flag it, as some writers do."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def safe_parser() -> expat.XMLParserType:
    """Return an expat parser that rejects document types, and so all entities but the five of XML.

    Names in a namespace have the form ``"URI local"``.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def reject(*_: object) -> None:
        raise CorruptModel(
            "the XML declares a document type or entities, which 3MF does not allow; export the model again"
        )

    parser.StartDoctypeDeclHandler = reject
    parser.EntityDeclHandler = reject
    return parser


def feed(parser: expat.XMLParserType, blocks: Iterator[bytes], name: str) -> None:
    """Parse all blocks; raise :class:`CorruptModel` with the line where the XML is broken."""
    try:
        for block in blocks:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        location = f" in line {parser.ErrorLineNumber}"
        raise CorruptModel(f"{name[:60]!a} is broken XML{location}; export the model again") from error
