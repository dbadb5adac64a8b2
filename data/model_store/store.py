"""The store of customers' models: objects named by the SHA-256 of their bytes, in a folder or in a bucket (obstore).

A model is written to a file beside the store while its hash is made, never wholly in memory, and gets its name in the
end; one that is there already is not stored again. A binary STL bears its suffix, for it is by far the most common and
its size tells how much memory its analysis needs; any other is named by its hash alone and told by its content.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

_INCOMING, _ABANDONED_S = "incoming-", 86_400.0
_SUFFIXES = (".stl", "")
_STL_HEADER, _STL_FACET = 84, 50


class ModelTooLarge(Exception):
    """More bytes than a model may have. ``most``: how many these are."""

    def __init__(self, most: int) -> None:
        super().__init__(f"a model may have {most >> 20} MiB at most")
        self.most = most


class StoreUnavailable(Exception):
    """The store takes no object now: its disk is full or broken, or the bucket is out of reach. Nothing was kept."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A model in the store: ``url`` is where workers read it."""

    sha256: str
    bytes: int
    url: str


class Incoming:
    """A model that is being received: its bytes are given to :meth:`write` as they come."""

    def __init__(self, file: IO[bytes], path: Path, most: int) -> None:
        self._file, self.path, self._most = file, path, most
        self._hash = hashlib.sha256()
        self._head = b""
        self.bytes = 0

    async def write(self, block: bytes) -> None:
        """Keep a block; raises ModelTooLarge, StoreUnavailable."""
        self.bytes += len(block)
        if self.bytes > self._most:
            raise ModelTooLarge(self._most)
        if len(self._head) < _STL_HEADER:
            self._head += block[: _STL_HEADER - len(self._head)]
        self._hash.update(block)
        with _available():
            await asyncio.to_thread(self._file.write, block)

    @property
    def sha256(self) -> str:
        """The hash of what has come so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def name(self) -> str:
        """What the object is called."""
        if len(self._head) == _STL_HEADER:
            (facets,) = struct.unpack_from("<I", self._head, 80)
            if self.bytes == _STL_HEADER + _STL_FACET * facets:
                return f"{self.sha256}.stl"
        return self.sha256


class ModelStore:
    """The store at ``url``: ``file:///folder`` (made where it is missing) or ``s3://bucket/prefix`` and the like.

    ``most_bytes``: how large a model may be.
    """

    def __init__(self, url: str, most_bytes: int) -> None:
        self._url, self.most_bytes = url.rstrip("/"), most_bytes
        parts = urlsplit(self._url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            _sweep(self._folder)
        self._objects: Any = from_url(self._url)

    @asynccontextmanager
    async def receive(self) -> AsyncIterator[Incoming]:
        """A place for the bytes of a model for the time of the block; :meth:`keep` makes it an object.

        What was not kept is gone after the block. Raises StoreUnavailable.
        """
        # Made right here and not in a thread: who is cancelled while a thread makes a file can't remove it.
        with _available():
            descriptor, name = tempfile.mkstemp(".part", _INCOMING, self._folder)
        file = open(descriptor, "wb")  # noqa: SIM115 - closed below, where a full disk may be in the way
        try:
            yield Incoming(file, Path(name), self.most_bytes)
        finally:
            # What keep() has kept is on the disk; what else is still buffered belongs to a file that goes now, and on
            # a full disk writing it would fail a second time.
            with suppress(OSError):
                file.close()
            Path(name).unlink(missing_ok=True)

    async def keep(self, incoming: Incoming) -> Stored:
        """The model as an object that stays; equal bytes are one object. Raises StoreUnavailable."""
        file, path = incoming._file, incoming.path
        with _available():
            await asyncio.to_thread(_flush, file)
            if self._folder:
                await asyncio.to_thread(_name, path, self._folder / incoming.name)
            elif await self._head(incoming.name) is None:
                await obstore.put_async(self._objects, incoming.name, path)
        return Stored(incoming.sha256, incoming.bytes, f"{self._url}/{incoming.name}")

    async def find(self, sha256: str) -> Stored | None:
        """The model with this hash; None where there is none."""
        for suffix in _SUFFIXES:
            size = await self._head(sha256 + suffix)
            if size is not None:
                return Stored(sha256, size, f"{self._url}/{sha256}{suffix}")
        return None

    async def _head(self, name: str) -> int | None:
        try:
            found = await obstore.head_async(self._objects, name)
        except (NotFoundError, FileNotFoundError):
            return None
        return int(found["size"])


@contextmanager
def _available() -> Iterator[None]:
    """Turn what a disk or a bucket says when it fails into StoreUnavailable."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise StoreUnavailable(f"the store of models takes nothing now ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    # No path and no address: this reaches callers.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed had been receiving: nobody receives a model for a day."""
    for left in folder.glob(f"{_INCOMING}*"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if left.stat().st_mtime < time.time() - _ABANDONED_S:
                left.unlink()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _name(path: Path, final: Path) -> None:
    """Give the file its final name, for good; its first name is removed at the end of the block in any case."""
    second = path.with_suffix(".kept")
    try:
        os.link(path, second)
        os.replace(second, final)
    except OSError:
        second.unlink(missing_ok=True)
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
