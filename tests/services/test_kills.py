"""Random kills of replicas, workers and servers, an outage and a hang, while orders are placed: none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.kills import Plan, disturbed
from tests.support.chaos.report import markdown, write
from tests.support.chaos.seed import chaos_seed
from tests.support.stack import Stack


@pytest.mark.timeout(900)
def test_every_acknowledged_order_exists_once(stack: Stack, tmp_path: Path) -> None:
    report = disturbed(stack, Plan(seconds=50, every_s=3, seed=chaos_seed(), long=False), tmp_path)
    write(report, stack, tmp_path)
    print(markdown(report))
    assert not report["findings"], markdown(report)
    assert not report["kinds_never_hit"]
    assert len(report["faults"]) == 2
