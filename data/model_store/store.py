"""The store of customers' models: objects named by the SHA-256 of their bytes, in a folder or in a bucket (obstore).

A model is written to a temporary file while it is hashed, never held in memory, and renamed at the end; an existing
object is not stored again. A binary STL has the suffix ``.stl``, for it is by far the most common format and its size
determines the memory its analysis needs; any other is named by its hash alone and identified by its content.
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

_INCOMING_PREFIX, _ABANDONED_AFTER_S = "incoming-", 86_400.0
_SUFFIXES = (".stl", "")
_STL_HEADER, _STL_FACET = 84, 50


class ModelTooLarge(Exception):
    """A model has more than ``max_bytes`` bytes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"a model may have {max_bytes >> 20} MiB at most")
        self.max_bytes = max_bytes


class StoreUnavailable(Exception):
    """The store accepts no object now: its disk is full or broken, or the bucket is unreachable. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store. ``url``: the address for workers."""

    sha256: str
    bytes: int
    url: str


class IncomingModel:
    """A model that is being received: pass its bytes to :meth:`write` as they arrive."""

    def __init__(self, file: IO[bytes], path: Path, max_bytes: int) -> None:
        self._file, self.path, self._max_bytes = file, path, max_bytes
        self._hash = hashlib.sha256()
        self._head = b""
        self.bytes = 0

    async def write(self, block: bytes) -> None:
        """Append a block; raises ModelTooLarge, StoreUnavailable."""
        self.bytes += len(block)
        if self.bytes > self._max_bytes:
            raise ModelTooLarge(self._max_bytes)
        if len(self._head) < _STL_HEADER:
            self._head += block[: _STL_HEADER - len(self._head)]
        self._hash.update(block)
        with _available():
            await asyncio.to_thread(self._file.write, block)

    @property
    def sha256(self) -> str:
        """Return the hash of the bytes received so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def name(self) -> str:
        """Return the object's name."""
        if len(self._head) == _STL_HEADER:
            (facets,) = struct.unpack_from("<I", self._head, 80)
            if self.bytes == _STL_HEADER + _STL_FACET * facets:
                return f"{self.sha256}.stl"
        return self.sha256


class ModelStore:
    """The store at ``url``: ``file:///folder`` (created if missing) or ``s3://bucket/prefix`` and the like.

    ``max_bytes``: the largest size of a model.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        self._url, self.max_bytes = url.rstrip("/"), max_bytes
        parts = urlsplit(self._url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(self._folder)
        self._objects: Any = from_url(self._url)

    @asynccontextmanager
    async def receive(self) -> AsyncIterator[IncomingModel]:
        """Yield a temporary file for the bytes of a model; :meth:`save` makes it an object.

        Without :meth:`save` it is deleted after the block. Raises StoreUnavailable.
        """
        # Not created in a thread: a task cancelled while a thread creates the file could not remove it.
        with _available():
            descriptor, name = tempfile.mkstemp(".part", _INCOMING_PREFIX, self._folder)
        file = open(descriptor, "wb")  # noqa: SIM115 - closed below, where a full disk may raise
        try:
            yield IncomingModel(file, Path(name), self.max_bytes)
        finally:
            # save() has flushed what it stored; any other buffered bytes belong to a file that is deleted now, and on
            # a full disk writing them would fail a second time.
            with suppress(OSError):
                file.close()
            Path(name).unlink(missing_ok=True)

    async def save(self, incoming: IncomingModel) -> StoredModel:
        """Store the model as an object; equal bytes are one object. Raises StoreUnavailable."""
        file, path = incoming._file, incoming.path
        with _available():
            await asyncio.to_thread(_flush, file)
            if self._folder:
                await asyncio.to_thread(_give_final_name, path, self._folder / incoming.name)
            elif await self._head(incoming.name) is None:
                await obstore.put_async(self._objects, incoming.name, path)
        return StoredModel(incoming.sha256, incoming.bytes, f"{self._url}/{incoming.name}")

    async def find(self, sha256: str) -> StoredModel | None:
        """Return the model with this hash; None if there is none."""
        for suffix in _SUFFIXES:
            size = await self._head(sha256 + suffix)
            if size is not None:
                return StoredModel(sha256, size, f"{self._url}/{sha256}{suffix}")
        return None

    async def _head(self, name: str) -> int | None:
        try:
            found = await obstore.head_async(self._objects, name)
        except (NotFoundError, FileNotFoundError):
            return None
        return int(found["size"])


@contextmanager
def _available() -> Iterator[None]:
    """Convert errors of a disk or a bucket into StoreUnavailable."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise StoreUnavailable(f"the model store accepts nothing now ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    # Without path and address: callers receive this text.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of killed processes: no upload lasts for a day."""
    for path in folder.glob(f"{_INCOMING_PREFIX}*"):
        with suppress(FileNotFoundError):  # another process removes them too
            if path.stat().st_mtime < time.time() - _ABANDONED_AFTER_S:
                path.unlink()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _give_final_name(path: Path, final: Path) -> None:
    """Give the file its final name, durably; its first name is removed at the end of the block in any case."""
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
