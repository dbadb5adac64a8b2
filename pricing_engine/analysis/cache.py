"""Cache of analyses on disk, by the hash of their inputs, up to a number of bytes; least recently used go first."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, analysis_id
from pricing_engine.analysis.schema import Analysis, AnalysisFormatError

Measure = Callable[[Path, str | None, Settings], Analysis]

MAX_BYTES = 1 << 30
_EVICT_TO = 0.9  # of the limit, once it is exceeded: one scan evicts many analyses
_TOUCH_INTERVAL_S = 60.0  # minimum between two updates of an entry's last use
_BUSY_TIMEOUT_S = 10.0  # while another process writes
_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS analyses (key TEXT PRIMARY KEY, content BLOB NOT NULL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON analyses (used);
"""


class CacheError(OSError):
    """The cache can't be used; the message is one line with the file and the cause."""


class AnalysisCache:
    """A folder with one SQLite file that threads and processes share: a row costs a tenth of a file.

    Use it as a context manager, or call :meth:`close`. Writes are not synced: every entry can be measured again.
    Raises CacheError, an OSError. A call takes some 50 microseconds; :meth:`put` scans the oldest entries beyond the
    limit.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._lock, self._path = max_bytes, Lock(), folder / "analyses.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except OSError as error:
            raise CacheError(f"{folder}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise CacheError(f"{self._path}: {error}") from error
        try:
            self._connection.executescript(_SCHEMA)
            self._total_bytes = self._size()
        except (sqlite3.Error, CacheError) as error:
            self._connection.close()
            raise CacheError(f"{self._path}: {error}" if isinstance(error, sqlite3.Error) else str(error)) from error

    def __enter__(self) -> AnalysisCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, key: str) -> bytes | None:
        """Return the JSON stored under ``key``, or None."""
        with self._lock:
            row = self._execute("SELECT content, used FROM analyses WHERE key = ?", key)
            now = time.time()
            if row and now - row[0][1] > _TOUCH_INTERVAL_S:
                self._execute("UPDATE analyses SET used = ? WHERE key = ?", now, key)
        return row[0][0] if row else None

    def put(self, key: str, analysis: bytes) -> None:
        """Store ``analysis``, and evict the least recently used entries beyond the limit."""
        with self._lock:
            self._execute("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?)", key, analysis, time.time())
            self._total_bytes += len(analysis)
            if self._total_bytes > self._max_bytes:
                self._total_bytes = self._size()  # other processes add and evict too
                for old, size in self._execute("SELECT key, length(content) FROM analyses ORDER BY used"):
                    if self._total_bytes <= _EVICT_TO * self._max_bytes:
                        break
                    self._execute("DELETE FROM analyses WHERE key = ?", old)
                    self._total_bytes -= size

    def close(self) -> None:
        """Close the file; the last process to do so merges its write-ahead log."""
        self._connection.close()

    def _size(self) -> int:
        """Return the bytes of all entries."""
        return int(self._execute("SELECT coalesce(sum(length(content)), 0) FROM analyses")[0][0])

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise CacheError(f"{self._path}: {error}") from error


def cached_analysis(
    measure: Measure, cache: AnalysisCache | None, path: Path, unit: str | None, settings: Settings
) -> Analysis:
    """Return the analysis of the model at ``path`` from ``cache``, or measure and store it. Raises CacheError."""
    digest = None if cache is None else _digest(path)
    if cache is None or digest is None:
        return measure(path, unit, settings)
    key = analysis_id(digest, unit, settings)
    found = _decode(cache.get(key))
    if found is None:
        found = measure(path, unit, settings)
        cache.put(key, json.dumps(found.to_dict()).encode())
    return found


def _digest(path: Path) -> str | None:
    """Return the file's sha256; None if it can't be read, which measuring it reports."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _decode(content: bytes | None) -> Analysis | None:
    """Return the stored analysis; None if there is none, or if it is of another engine or schema."""
    if content is None:
        return None
    try:
        analysis = Analysis.from_dict(json.loads(content))
    except (ValueError, AnalysisFormatError):
        return None
    return analysis if analysis.engine_version == ENGINE_VERSION else None
