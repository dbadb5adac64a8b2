"""The zip around a 3MF (Open Packaging Conventions, ECMA-376 part 2), read with suspicion: nothing is unpacked to disk.

Bounded: the parts' inflated sizes, their ratio to the packed sizes, and the number of parts; names that point outside
the package are refused, and so are parts of a name twice. Names are compared as OPC does (:func:`part_key`).
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
_RATIO, _RATIO_FROM = 100, 64 << 20
_MOST_INFLATED = 2 << 30
_MOST_PARTS = 100_000
_BLOCK = 1 << 18


def part_key(name: str) -> str:
    """``name`` as OPC compares part names: no leading slash, percent-encoding undone, ASCII letters in lower case.

    Other letters keep their case. Raises :class:`CorruptModel` for a name that leads or could lead out of the package.
    """
    text = name.replace("\\", "/")
    if not _HIDDEN_SLASH.search(text):
        with suppress(UnicodeDecodeError):  # no UTF-8: the name is what it says
            text = unquote(text, errors="strict")
        segments = text.removeprefix("/").split("/")
        if ".." not in segments and ":" not in segments[0] and "\0" not in text and "\\" not in text:
            return "/".join(segments).translate(_ASCII_LOWER)
    raise CorruptModel(f"the 3MF names {name[:60]!a}, a path outside the package; it is not read")


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
        if len(infos) > _MOST_PARTS:
            raise CorruptModel(f"the 3MF has {len(infos)} parts, too many to read; export it again")
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = _stored_name(info)
            if name.startswith(("/", "\\")):
                raise CorruptModel(
                    f"the zip names {name[:60]!a} with a leading slash, a path outside the package; "
                    "zip the parts again without it"
                )
            key = part_key(name)
            if key in self._infos:
                raise CorruptModel(f"the zip has two parts named {name[:60]!a}; export it again")
            self._infos[key] = info
        self._inflated = 0
        self.root = self._find_root()

    def __contains__(self, key: str) -> bool:
        """Whether there is a part of that key."""
        return key in self._infos

    def encrypted(self, key: str) -> bool:
        """Whether the part is one of the secure content extension's, that only its receiver can open."""
        return next(self.blocks(key), b"").startswith(_ENCRYPTED)

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of the part of key ``name``, inflated piece by piece."""
        info = self._infos.get(name)
        if info is None:
            raise CorruptModel(f"the 3MF refers to {name[:60]!a}, which is not in it; export it again")
        if info.flag_bits & 1:
            raise CorruptModel("the zip is encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CorruptModel("the zip is packed in a way that a 3MF may not be; save it again")
        size = 0
        try:
            with self._zip.open(info) as part:
                while block := part.read(_BLOCK):
                    size += len(block)
                    self._inflated += len(block)
                    if size > _RATIO_FROM and size > _RATIO * max(info.compress_size, 1):
                        raise CorruptModel(
                            f"{name[:60]!a} inflates over {_RATIO} times, as a zip bomb does; it is not read"
                        )
                    if self._inflated > _MOST_INFLATED:
                        raise CorruptModel("the 3MF inflates to over 2 GiB, too much to read; decimate the model")
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
        """The key of the part that the URI ``target`` names, seen from the part of key ``base``."""
        path = target.replace("\\", "/")
        segments = [] if path.startswith("/") else base.split("/")[:-1]
        for segment in path.split("/"):
            if segment == ".." and segments:
                segments.pop()
            elif segment not in ("", "."):
                segments.append(segment)  # ".." beyond the root too, which part_key refuses
        return part_key("/".join(segments))

    def _find_root(self) -> str:
        if "_rels/.rels" not in self._infos:
            raise UnknownFormat("a zip archive without a 3D model in it; send the STL, OBJ or 3MF itself")
        roots: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == f"{RELATIONSHIPS} Relationship" and attributes.get("Type") == MODEL_RELATIONSHIP:
                if attributes.get("TargetMode", "Internal") != "Internal":
                    raise CorruptModel("the 3MF's model lies outside the package; export it again")
                roots.append(self.resolve(attributes.get("Target", "")))

        parser = safe_parser()
        parser.StartElementHandler = start
        feed(parser, self.blocks("_rels/.rels"), "_rels/.rels")
        if not roots:
            raise UnknownFormat("a zip archive without a 3D model in it; send the STL, OBJ or 3MF itself")
        if len(set(roots)) > 1:
            raise CorruptModel(f"the 3MF begins with {len(set(roots))} models, where one may be; export it again")
        return roots[0]


def _stored_name(info: zipfile.ZipInfo) -> str:
    """The entry's name; UTF-8 also where the zip does not say so, as some programs write it."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def safe_parser() -> expat.XMLParserType:
    """An expat parser that refuses a document type, and with it every entity but the five of XML itself.

    Names in a namespace come as ``"URI local"``, others as they are.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise CorruptModel("the XML declares a document type or entities, which a 3MF may not; it is not read")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def feed(parser: expat.XMLParserType, blocks: Iterator[bytes], name: str) -> None:
    """Parse all blocks; raises :class:`CorruptModel` with the line where the XML is broken."""
    try:
        for block in blocks:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        where = f" in line {parser.ErrorLineNumber}"
        raise CorruptModel(f"{name[:60]!a} is broken XML{where}; export the model again") from error
