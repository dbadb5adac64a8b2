"""Paths of a local Ray cluster."""

from __future__ import annotations

from pathlib import Path

from cluster.local.ray_nodes import make_paths


def test_paths_have_a_short_temp_folder_and_a_private_token(tmp_path: Path) -> None:
    one, two = make_paths(tmp_path), make_paths(tmp_path)
    assert len(str(one.temp)) <= 40
    assert one.token.stat().st_mode & 0o777 == 0o600
    assert len(two.token.read_text()) == 64
    one.temp.rmdir()
    two.temp.rmdir()
