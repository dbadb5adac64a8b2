"""``kill -9`` at random over replicas, workers and servers, while orders are placed: none is lost, none is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.kills import Plan, disturbed, markdown, write
from tests.services.stack import Stack


@pytest.mark.timeout(600)
def test_what_was_acknowledged_is_there_once(stack: Stack, tmp_path: Path) -> None:
    report = disturbed(stack, Plan(seconds=60, every_s=4), tmp_path)
    write(report, stack, tmp_path)
    print(markdown(report))
    assert not report["findings"], markdown(report)
    assert report["kills"] >= 10
    assert not report["kinds_never_hit"]
