"""Analyses kept on disk under the hash of what they depend on, up to a number of bytes; the longest unused go first."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, analysis_id
from pricing_engine.analysis.schema import Analysis, AnalysisFormatError
from pricing_engine.mesh.errors import UnreadableFile

Measure = Callable[[Path, str | None, Settings], Analysis]

MOST_BYTES = 1 << 30
_KEEP = 0.9  # of the bound, when it is passed: the oldest are looked for once for many analyses
_USED_EVERY_S = 60.0  # an entry's last use is noted no more often
_PATIENCE_S = 10.0  # for another process that is writing
_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS analyses (key TEXT PRIMARY KEY, content BLOB NOT NULL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON analyses (used);
"""


class AnalysisCache:
    """A folder with one SQLite file, which threads and processes may share: a row costs a tenth of a file.

    Nothing is lost that can't be measured again, so nothing waits for the disk. Raises OSError where the folder can't
    be used. Each call is some 50 microseconds, :meth:`put` a scan of the oldest entries when the bound is passed.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._lock = most_bytes, Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(
                folder / "analyses.sqlite", timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._rows.executescript(_SCHEMA)
            self._held = self._size()
        except sqlite3.Error as error:
            raise OSError(0, f"{folder / 'analyses.sqlite'}: {error}") from error

    def get(self, key: str) -> bytes | None:
        """The JSON kept under ``key``, if it is there."""
        with self._lock:
            row = self._ask("SELECT content, used FROM analyses WHERE key = ?", key)
            now = time.time()
            if row and now - row[0][1] > _USED_EVERY_S:
                self._ask("UPDATE analyses SET used = ? WHERE key = ?", now, key)
        return row[0][0] if row else None

    def put(self, key: str, analysis: bytes) -> None:
        """Keep ``analysis``, and drop what was not used for longest where there is too much."""
        with self._lock:
            self._ask("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?)", key, analysis, time.time())
            self._held += len(analysis)
            if self._held > self._most:
                self._held = self._size()  # other processes add and drop too
                for old, size in self._ask("SELECT key, length(content) FROM analyses ORDER BY used"):
                    if self._held <= _KEEP * self._most:
                        break
                    self._ask("DELETE FROM analyses WHERE key = ?", old)
                    self._held -= size

    def close(self) -> None:
        """Let go of the file: the last to do so folds its log into it."""
        self._rows.close()

    def _size(self) -> int:
        """Bytes of all entries."""
        return int(self._ask("SELECT coalesce(sum(length(content)), 0) FROM analyses")[0][0])

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._rows.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise OSError(0, f"the cache can't be used: {error}") from error


def cached_analysis(
    measure: Measure, folder: Path | None, path: Path, unit: str | None, settings: Settings
) -> Analysis:
    """The analysis of the model at ``path``: from ``folder`` if it is there, else by ``measure``, and kept there."""
    if folder is None or not path.is_file():
        return measure(path, unit, settings)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key = analysis_id(digest, unit, settings)
    try:
        with closing(AnalysisCache(folder)) as cache:
            found = _decoded(cache.get(key))
            if found is None:
                found = measure(path, unit, settings)
                cache.put(key, json.dumps(found.to_dict()).encode())
    except OSError as error:
        raise UnreadableFile(f"{folder}: can't keep analyses here ({error.strerror}); name another --cache") from error
    return found


def _decoded(content: bytes | None) -> Analysis | None:
    """The kept analysis; None when there is none or it is of another engine or schema, so that it is measured anew."""
    if content is None:
        return None
    try:
        analysis = Analysis.from_dict(json.loads(content))
    except (ValueError, AnalysisFormatError):
        return None
    return analysis if analysis.engine_version == ENGINE_VERSION else None
