"""Analysis cache (``analysis/cache.py``): lookup, size limit, sharing between processes, errors."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from pricing_engine.analysis.cache import AnalysisCache, CacheError, cached_analysis
from pricing_engine.analysis.settings import Settings
from pricing_engine.mesh.errors import UnreadableFile

KEY = "sha256:{:064x}".format
ENTRY = b"{" + b" " * 98 + b"}"


def test_stored_analyses_are_found(tmp_path: Path) -> None:
    cache = AnalysisCache(tmp_path / "new")
    assert cache.get(KEY(1)) is None
    cache.put(KEY(1), b'{"a": 1}')
    cache.put(KEY(1), b'{"a": 2}')
    assert AnalysisCache(tmp_path / "new").get(KEY(1)) == b'{"a": 2}'


def test_the_least_recently_used_are_evicted_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    cache = AnalysisCache(tmp_path, max_bytes=1000)
    for number in range(10):
        now += 100
        cache.put(KEY(number), ENTRY)
    now += 100
    assert cache.get(KEY(0)) == ENTRY  # updates its last use
    now += 100
    cache.put(KEY(10), ENTRY)
    stored = [number for number in range(11) if cache.get(KEY(number)) is not None]
    assert stored == [0, 3, 4, 5, 6, 7, 8, 9, 10]


def test_processes_share_the_folder(tmp_path: Path) -> None:
    one, two = AnalysisCache(tmp_path, 300), AnalysisCache(tmp_path, 300)
    for number in range(20):
        (one, two)[number % 2].put(KEY(number), ENTRY)
    assert sum(one.get(KEY(number)) is not None for number in range(20)) <= 5
    assert two.get(KEY(19)) is not None


def test_an_unusable_folder_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file: File exists"):
        AnalysisCache(tmp_path / "file")
    (tmp_path / "analyses.sqlite").write_bytes(b"no database at all, but long enough to look like one" * 40)
    with pytest.raises(CacheError, match=r"analyses\.sqlite: file is not a database"):
        AnalysisCache(tmp_path)


def test_a_closed_cache_releases_its_file(tmp_path: Path) -> None:
    with AnalysisCache(tmp_path) as cache:
        cache.put(KEY(1), ENTRY)
    assert [path.name for path in tmp_path.iterdir()] == ["analyses.sqlite"], "the write-ahead log is merged"
    with pytest.raises(CacheError, match="closed"):
        cache.get(KEY(1))


def test_an_unreadable_model_is_reported_by_its_measurement(tmp_path: Path) -> None:
    def refuse(path: Path, unit: str | None, settings: Settings) -> NoReturn:
        raise UnreadableFile("no such file")

    with AnalysisCache(tmp_path) as cache, pytest.raises(UnreadableFile):
        cached_analysis(refuse, cache, tmp_path / "missing.stl", None, Settings())
