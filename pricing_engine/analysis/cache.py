"""Analyses kept on disk under the hash of what they depend on, up to a number of bytes; the longest unused go first."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, analysis_id
from pricing_engine.analysis.model import Analysis, AnalysisFormatError
from pricing_engine.mesh.errors import UnreadableFile

Measure = Callable[[Path, str | None, Settings], Analysis]

MOST_BYTES = 1 << 30
_KEEP = 0.9  # of the bound, when it is passed: the folder is listed once for many analyses


class AnalysisCache:
    """A folder of analyses, a file each, which processes may share.

    Raises OSError where the folder can't be written. ``get`` is one read; ``put`` lists the folder when it is full.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes
        self._held: int | None = None  # bytes, as far as this process knows

    def get(self, key: str) -> bytes | None:
        """The JSON kept under ``key``; None when there is none, or when it was cut short."""
        entry = self._entry(key)
        try:
            content = entry.read_bytes()
            os.utime(entry)  # used: it stays longer
        except FileNotFoundError:
            return None
        return content if content.endswith(b"}") else None

    def put(self, key: str, analysis: bytes) -> None:
        """Keep ``analysis``: written beside and renamed, so that a reader never sees half of it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(analysis)
        os.replace(file.name, self._entry(key))
        if self._held is None:
            self._held = sum(size for _, size, _ in self._entries())
        else:
            self._held += len(analysis)
        if self._held > self._most:
            self._evict()

    def _entry(self, key: str) -> Path:
        return self._folder / f"{key.removeprefix('sha256:')}.json"

    def _entries(self) -> list[tuple[int, int, str]]:
        """When each was last used, its bytes and its path."""
        found = []
        for entry in os.scandir(self._folder):
            try:
                status = entry.stat()
            except FileNotFoundError:  # another process has evicted it
                continue
            found.append((status.st_mtime_ns, status.st_size, entry.path))
        return found

    def _evict(self) -> None:
        entries = sorted(self._entries())
        held = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if held <= _KEEP * self._most:
                break
            Path(path).unlink(missing_ok=True)
            held -= size
        self._held = held


def cached_analysis(
    measure: Measure, folder: Path | None, path: Path, unit: str | None, settings: Settings
) -> Analysis:
    """The analysis of the model at ``path``: from ``folder`` if it is there, else by ``measure``, and kept there."""
    if folder is None or not path.is_file():
        return measure(path, unit, settings)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key, cache = analysis_id(digest, unit, settings), AnalysisCache(folder)
    found = _decoded(cache.get(key))
    if found is not None:
        return found
    analysis = measure(path, unit, settings)
    try:
        cache.put(key, json.dumps(analysis.to_dict()).encode())
    except OSError as error:
        raise UnreadableFile(f"{folder}: can't keep analyses here ({error.strerror}); name another --cache") from error
    return analysis


def _decoded(content: bytes | None) -> Analysis | None:
    """The kept analysis; None when there is none or it is of another engine or schema, so that it is measured anew."""
    if content is None:
        return None
    try:
        analysis = Analysis.from_dict(json.loads(content))
    except (ValueError, AnalysisFormatError):
        return None
    return analysis if analysis.engine_version == ENGINE_VERSION else None
