"""A cluster that scales from no worker to three and back to none, on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.autoscaling import FakeMultiNode
from cluster.local.scaling import scale_once

WORKERS = 3


def test_the_cluster_scales_up_and_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = scale_once(tmp_path, FakeMultiNode(max_workers=WORKERS))
    assert result.before == 0
    assert len(result.nodes) == WORKERS
    with capsys.disabled():
        print(f"\nautoscaling 0 -> {WORKERS} in {result.up_s:.1f} s, {WORKERS} -> 0 in {result.down_s:.1f} s")
