"""Analyses kept on disk: found again, bounded, shared, and never an obstacle."""

from __future__ import annotations

from pathlib import Path

import pytest

from pricing_engine.analysis import cache as module
from pricing_engine.analysis.cache import AnalysisCache

KEY = "sha256:{:064x}".format
ENTRY = b"{" + b" " * 98 + b"}"


def test_what_was_put_is_found(tmp_path: Path) -> None:
    cache = AnalysisCache(tmp_path / "new")
    assert cache.get(KEY(1)) is None
    cache.put(KEY(1), b'{"a": 1}')
    cache.put(KEY(1), b'{"a": 2}')
    assert AnalysisCache(tmp_path / "new").get(KEY(1)) == b'{"a": 2}'


def test_the_longest_unused_go_first_and_the_bound_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    cache = AnalysisCache(tmp_path, max_bytes=1000)
    for number in range(10):
        now += 100
        cache.put(KEY(number), ENTRY)
    now += 100
    assert cache.get(KEY(0)) == ENTRY  # used, so it stays
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


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        AnalysisCache(tmp_path / "file")
    (tmp_path / "analyses.sqlite").write_bytes(b"no database at all, but long enough to look like one" * 40)
    with pytest.raises(OSError, match="not a database"):
        AnalysisCache(tmp_path)
