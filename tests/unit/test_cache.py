"""Analyses kept on disk: found again, bounded, never half a file."""

from __future__ import annotations

import os
from pathlib import Path

from pricing_engine.analysis.cache import AnalysisCache

KEY = "sha256:{:064x}".format


def test_what_was_put_is_found(tmp_path: Path) -> None:
    cache = AnalysisCache(tmp_path / "new")
    assert cache.get(KEY(1)) is None
    cache.put(KEY(1), b'{"a": 1}')
    assert AnalysisCache(tmp_path / "new").get(KEY(1)) == b'{"a": 1}'


def test_the_longest_unused_go_first_and_the_bound_holds(tmp_path: Path) -> None:
    cache, entry = AnalysisCache(tmp_path, most_bytes=1000), b"{" + b" " * 98 + b"}"
    for i in range(10):
        cache.put(KEY(i), entry)
        os.utime(tmp_path / f"{i:064x}.json", (1_000 + i, 1_000 + i))
    assert cache.get(KEY(0)) == entry  # used, so it stays
    cache.put(KEY(10), entry)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    assert cache.get(KEY(0)) is not None
    assert cache.get(KEY(1)) is None
    assert cache.get(KEY(10)) is not None


def test_a_cut_entry_counts_as_none(tmp_path: Path) -> None:
    cache = AnalysisCache(tmp_path)
    cache.put(KEY(1), b'{"a": 1}')
    (tmp_path / f"{1:064x}.json").write_bytes(b'{"a":')
    assert cache.get(KEY(1)) is None


def test_processes_share_the_folder(tmp_path: Path) -> None:
    one, two = AnalysisCache(tmp_path, 300), AnalysisCache(tmp_path, 300)
    for i in range(20):
        (one, two)[i % 2].put(KEY(i), b"{" + b" " * 98 + b"}")
    assert len(list(tmp_path.iterdir())) <= 5
    assert one.get(KEY(19)) is not None
