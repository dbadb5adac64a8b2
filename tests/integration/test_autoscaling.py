"""A cluster that really grows from no worker to three and back to none, on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.autoscaling import FakeMultiNode
from cluster.local.scaling import scale_once

WORKERS = 3


def test_none_to_three_to_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = scale_once(tmp_path, FakeMultiNode(max_workers=WORKERS))
    assert seen.before == 0
    assert len(seen.nodes) == WORKERS
    with capsys.disabled():
        print(f"\nautoscaling 0 -> {WORKERS} in {seen.up_s:.1f} s, {WORKERS} -> 0 in {seen.down_s:.1f} s")
