"""The zip around a 3MF (Open Packaging Conventions), read with suspicion: nothing is unpacked to disk.

Bounded: the parts' inflated sizes, their ratio to the packed sizes, and the number of parts; names that point outside
the package are refused, and so are parts of a name twice.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from posixpath import normpath
from urllib.parse import unquote
from xml.parsers import expat

from pricing_engine.mesh.errors import CorruptModel, UnknownFormat

_MODEL_RELATIONSHIP = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_RATIO, _RATIO_FROM = 100, 64 << 20
_MOST_INFLATED = 2 << 30
_MOST_PARTS = 100_000
_BLOCK = 1 << 18


class Package:
    """The parts of one package by name; ``root`` is the name of the 3D model part."""

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
            name = info.filename.replace("\\", "/")
            if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
                raise CorruptModel(f"the zip names {name[:60]!a}, a path outside the package; it is not read")
            if name.lower() in self._infos:
                raise CorruptModel(f"the zip has two parts named {name[:60]!a}; export it again")
            self._infos[name.lower()] = info
        self._inflated = 0
        self.root = self._find_root()

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of a part, inflated piece by piece."""
        info = self._infos.get(name.lower())
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

    def resolve(self, target: str, base: str = "/") -> str:
        """The part that ``target`` names, seen from the part ``base``."""
        path = unquote(target).replace("\\", "/")
        if not path.startswith("/"):
            path = base.rsplit("/", 1)[0] + "/" + path
        if ".." in path.split("/") or ":" in path:
            raise CorruptModel(f"the 3MF refers to {target[:60]!a}, a path outside the package; it is not read")
        return normpath("/" + path).lstrip("/")

    def _find_root(self) -> str:
        if "_rels/.rels" not in self._infos:
            raise UnknownFormat("a zip archive without a 3D model in it; send the STL, OBJ or 3MF itself")
        roots: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            if name.endswith("Relationship") and attributes.get("Type") == _MODEL_RELATIONSHIP:
                roots.append(attributes.get("Target", ""))

        parser = safe_parser()
        parser.StartElementHandler = start
        feed(parser, self.blocks("_rels/.rels"), "_rels/.rels")
        if not roots:
            raise UnknownFormat("a zip archive without a 3D model in it; send the STL, OBJ or 3MF itself")
        return self.resolve(roots[0])


def safe_parser() -> expat.XMLParserType:
    """An expat parser that refuses a document type, and with it every entity but the five of XML itself."""
    parser = expat.ParserCreate()
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
